"""OWAN's published checkpoint file, made by rule: its key names and shapes."""

from models.published import conv


def _depthwise(name, channels, kernel):
    return {f"{name}.weight": (channels, 1, kernel, kernel)}


def _pointwise(name, out_channels, in_channels):
    return conv(name, out_channels, in_channels, 1, bias=False)


def _step(name, channels):
    keys = _pointwise(f"{name}._out.0", channels, 8 * channels)
    for k, kernel in enumerate((1, 3, 5, 7)):
        for i in (0, 3):
            keys |= _depthwise(f"{name}._ops.{k}.op.{i}", channels, kernel)
            keys |= _pointwise(f"{name}._ops.{k}.op.{i + 1}", channels, channels)
    for k, kernel in enumerate((3, 5, 7), start=4):
        keys |= _depthwise(f"{name}._ops.{k}.op.0", channels, kernel)
        keys |= _pointwise(f"{name}._ops.{k}.op.1", channels, channels)
    return keys


def owan(*, channels=16, blocks=10, steps=4, in_channels=3):
    keys = conv("FEB.0", channels, in_channels, 3, bias=False) | conv("conv2", in_channels, channels, 3, bias=False)
    for i in range(1, 5):
        keys |= _depthwise(f"FEB.{i}.conv1", channels, 3) | _depthwise(f"FEB.{i}.conv2", channels, 3)
    for i in range(blocks):
        weights = 8 * steps
        keys |= {
            f"layers.{2 * i}.ca_fc.0.weight": (2 * weights, channels),
            f"layers.{2 * i}.ca_fc.0.bias": (2 * weights,),
            f"layers.{2 * i}.ca_fc.2.weight": (weights, 2 * weights),
            f"layers.{2 * i}.ca_fc.2.bias": (weights,),
        }
        keys |= _pointwise(f"layers.{2 * i + 1}.preprocess.op.0", channels, channels)
        for k in range(steps):
            keys |= _step(f"layers.{2 * i + 1}._ops.{k}", channels)
    return keys
