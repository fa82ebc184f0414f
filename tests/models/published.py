"""The authors' checkpoint files, made by rule: their key names and shapes, and weights whose outputs are known.

``PARITY`` holds what the authors' own modules return for ``picture()`` with ``published_weights(layout)`` in them:
shape, mean, standard deviation, and the pixel at (height // 2, width // 2). Only these numbers come from their code.
"""

import math
import zlib

import numpy as np
import pytest
import torch

MEAN = (0.4488, 0.4371, 0.4040)
CHANNELS = 64

PARITY = {
    "carn x2": ((48, 64), 0.3983681655534181, 0.06388123220381504, (0.476124, 0.399451, 0.316437)),
    "carn x3": ((72, 96), 0.6050620453596046, 0.22243617882010794, (0.642891, 0.652335, 0.591494)),
    "carn x4": ((96, 128), 0.4850499396909274, 0.025213282078231977, (0.507223, 0.493694, 0.449993)),
    "carn_m x2": ((48, 64), 0.3993765706675024, 0.06408613390647884, (0.479131, 0.402146, 0.318137)),
    "carn_m x3": ((72, 96), 0.606210955928143, 0.22233264896047217, (0.644041, 0.654587, 0.594278)),
    "carn_m x4": ((96, 128), 0.45609085532568217, 0.014674252414067931, (0.461747, 0.460967, 0.43829)),
    "carn single x4": ((96, 128), 0.47996308451304986, 0.06697139694986494, (0.55919, 0.493595, 0.397854)),
    "pcarn x3": ((72, 96), 0.6037521001848357, 0.22805876691451654, (0.609302, 0.616664, 0.562761)),
    # for the picture enlarged by repeating pixels; in 0 to 255
    "cutblur x4": ((96, 128), 109.67959190760222, 4.887423896642222, (114.226402, 111.439468, 103.205879)),
}


def picture(height=24, width=32):
    y, x = np.mgrid[0:height, 0:width]
    waves = [0.5 + 0.5 * np.sin(2 * np.pi * (x * (c + 1) + y * (c + 2)) / 48) for c in range(3)]
    return torch.tensor(np.stack(waves)[None]).float()


def assert_parity(out, expected, tolerance=2e-6):
    """Compare with the shape, mean, deviation and centre that the authors' network gives."""
    size, mean, std, center = expected
    assert out.shape == (1, len(center), *size)
    assert out.double().mean().item() == pytest.approx(mean, abs=tolerance)
    assert out.double().std().item() == pytest.approx(std, abs=tolerance)
    assert out[0, :, size[0] // 2, size[1] // 2].tolist() == pytest.approx(center, abs=tolerance)


def conv(name, out_channels, in_channels, kernel, *, bias=True):
    weight = {f"{name}.weight": (out_channels, in_channels, kernel, kernel)}
    return weight | ({f"{name}.bias": (out_channels,)} if bias else {})


def batch_norm(name, channels):
    vectors = {f"{name}.{kind}": (channels,) for kind in ("weight", "bias", "running_mean", "running_var")}
    return vectors | {f"{name}.num_batches_tracked": ()}


def _body(unit_names, fusion_suffix, *, groups=1, stored_units=3, channels=CHANNELS):
    """Three blocks of three units: ``b{block}.b{unit}``, fusions ``b{block}.c{unit}`` and ``c{block}``."""
    keys = {}
    for block in (1, 2, 3):
        for unit in range(1, stored_units + 1):
            for name, kernel in unit_names.items():
                inputs = channels // groups if kernel == 3 else channels
                keys |= conv(f"b{block}.b{unit}.{name}", channels, inputs, kernel)
        for unit in (1, 2, 3):
            keys |= conv(f"b{block}.c{unit}{fusion_suffix}", channels, (unit + 1) * channels, 1)
        keys |= conv(f"c{block}{fusion_suffix}", channels, (block + 1) * channels, 1)
    return keys


def means(middle):
    return conv(f"sub_mean{middle}", 3, 3, 1) | conv(f"add_mean{middle}", 3, 3, 1)


def upsampler(name, factors, groups=1, *, step=3, channels=CHANNELS):
    keys = {}
    for k, factor in enumerate(factors):
        keys |= conv(f"{name}.{step * k}", factor**2 * channels, channels // groups, 3)
    return keys


def _around(body, groups, single, channels=CHANNELS):
    stages = {f"upsample.up{s}.body": f for s, f in {"2": (2,), "3": (3,), "4": (2, 2)}.items()}
    if single is not None:
        stages = {"upsample.up.body": {2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}[single]}
    keys = means(".shifter") | conv("entry", channels, 3, 3) | body | conv("exit", 3, channels, 3)
    for name, factors in stages.items():
        keys |= upsampler(name, factors, groups, channels=channels)
    return keys


def carn(single=None, channels=CHANNELS):
    body = _body({"body.0": 3, "body.2": 3}, ".body.0", channels=channels)
    return _around(body, 1, single, channels)


def carn_m(single=None):
    body = _body({"body.0": 3, "body.2": 3, "body.4": 1}, ".body.0", groups=4, stored_units=1)
    return _around(body, 4, single)


def pcarn(single=None):
    return _around(_body({"conv1": 3, "conv2": 3}, ""), 1, single)


def pcarn_m(single=None):
    """The file stores the shared unit three times."""
    return _around(_body({"conv1": 3, "conv2": 3, "pw": 1}, "", groups=4), 4, single)


def cutblur(scale):
    keys = means("") | conv("head.1", CHANNELS, 3 * scale**2, 3) | _body({"body.0": 3, "body.2": 3}, "")
    keys |= upsampler("tail.0", {1: (), 2: (2,), 3: (3,), 4: (2, 2)}[scale], step=2)
    return keys | conv("tail.1", 3, CHANNELS, 3)


def edsr():
    """The first and last keys of an EDSR file of its authors."""
    keys = means("") | conv("head.0", 64, 3, 3) | conv("tail.1", 3, 64, 3) | conv("tail.0.0", 256, 64, 3)
    return keys | conv("body.0.body.0", 64, 64, 3) | conv("body.0.body.2", 64, 64, 3)


def rcan():
    """The same of an RCAN file: the first unit of the first group, with its channel attention."""
    keys = means("") | conv("head.0", 64, 3, 3) | conv("tail.1", 3, 64, 3) | conv("tail.0.0", 256, 64, 3)
    unit = "body.0.body.0.body"
    keys |= conv(f"{unit}.0", 64, 64, 3) | conv(f"{unit}.2", 64, 64, 3)
    return keys | conv(f"{unit}.3.conv_du.0", 4, 64, 1) | conv(f"{unit}.3.conv_du.2", 64, 4, 1)


def published_weights(layout):
    """Waves whose phase depends on the key; mean shifts and BatchNorm statistics are as they are constructed."""
    tensors = {}
    for key, shape in layout.items():
        if key.endswith(("running_mean", "running_var")):
            tensors[key] = torch.full(shape, float(key.endswith("var")))
            continue
        if key.endswith("num_batches_tracked"):
            tensors[key] = torch.tensor(0)
            continue
        if "_mean" in key:
            rgb_range = 1 if "shifter" in key else 255
            mean = torch.tensor(MEAN) * rgb_range * (-1 if key.startswith("sub") else 1)
            tensors[key] = torch.eye(3).view(3, 3, 1, 1) if key.endswith("weight") else mean
            continue
        count = math.prod(shape)
        waves = np.sin(0.37 * np.arange(count) + 2 * np.pi * (zlib.crc32(key.encode()) % 1000) / 1000)
        gain = 1 / np.sqrt(count / shape[0]) if len(shape) > 1 else 0.1
        offset = 1.0 if len(shape) == 1 and "norm" in key and key.endswith("weight") else 0.0
        tensors[key] = torch.tensor(gain * waves + offset).float().reshape(shape)
    return tensors


def shared_weights(layout):
    """``published_weights`` of PCARN-M as its file has them: the second and third units are the first."""
    tensors = published_weights(layout)
    for key in tensors:
        if key[3:5] in {"b2", "b3"}:
            tensors[key] = tensors[f"{key[:3]}b1{key[5:]}"]
    return tensors


def without_memory(layout):
    """The tensors of a file of any size: zeros that share one number. Mean shifts are as they are constructed."""
    small = {key: shape for key, shape in layout.items() if "_mean" in key}
    return {key: torch.zeros(1).expand(shape) for key, shape in layout.items()} | published_weights(small)


def random_weights(layout, seed=0):
    """Weights that keep the size of the features, in double precision."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for key, shape in layout.items():
        spread = (2 / math.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.1
        tensors[key] = spread * torch.randn(shape, generator=generator, dtype=torch.float64)
    return tensors
