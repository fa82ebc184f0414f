"""One small network for each mode of every network of the registry, and pictures to run it on."""

from typing import Any, NamedTuple

import torch
from torch import nn

from restorekit.layers import DIV2K_MEAN, initialize
from restorekit.models import create_model


class Case(NamedTuple):
    name: str
    options: dict[str, Any]
    export: bool = True  # whether test_deployment learns from this mode what the others of the network do not show
    then: str | None = None  # method that leads on to this mode
    init: str = "he-normal"  # gentler where features that grow from block to block would saturate a softmax


_SMALL = {"channels": 4, "blocks": 2, "units": 2}
_RESIDUAL = {"channels": 8, "blocks": 2}
_EXPERTS = {"units": 2, "blocks": 2, "channels": 4, "extraction_channels": 8}
_SPARSE = {"channels": 8, "width": 2, "blocks": 2, "num_sparsity_groups": 2, "cardinality": 4}
_TRANSFORMER = {"channels": 4, "blocks": (1, 1, 1, 1), "heads": (1, 2, 2, 4), "refinement_blocks": 1}
_IDR = {"hub_size": 3, **_TRANSFORMER}
_3E = ("encoder1", "encoder2", "encoder3")

CASES = {
    "carn as in PCARN": Case("carn", {"scale": 3, "fusion_relu": False, "global_skip": True, **_SMALL}, export=False),
    "carn desubpixel x3": Case("carn", {"scale": 3, "head": "desubpixel", **_SMALL}),
    "carn without cascades": Case(
        "carn", {"scale": 2, "local_cascade": False, "global_cascade": False, **_SMALL}, export=False
    ),
    "carn x1": Case("carn", {"scale": 1, **_SMALL}, export=False),
    "carn x2": Case("carn", {"scale": 2, **_SMALL}),
    "carn x2, x3, x4": Case("carn", {"scale": (2, 3, 4), **_SMALL}),
    "carn_m desubpixel x2": Case("carn_m", {"scale": 2, "head": "desubpixel", **_SMALL}, export=False),
    "carn_m x4": Case("carn_m", {"scale": 4, **_SMALL}),
    "carn_m x8": Case("carn_m", {"scale": 8, "mean": (0.1, 0.2, 0.3), **_SMALL}, export=False),
    "dncnn": Case("dncnn", {"depth": 4, "channels": 4}),
    "dncnn merged": Case("dncnn", {"depth": 4, "in_channels": 3, "channels": 4, "batch_norm": False}, export=False),
    "edsr desubpixel x4": Case("edsr", {"scale": 4, "head": "desubpixel", **_RESIDUAL}),
    "edsr restoration": Case("edsr", {"scale": 1, **_RESIDUAL}, export=False),
    "edsr x2": Case("edsr", {"scale": 2, **_RESIDUAL}),
    "edsr x3 scaled branches": Case("edsr", {"scale": 3, "res_scale": 0.1, **_RESIDUAL}, export=False),
    "fsrcnn x2": Case("fsrcnn", {"scale": 2, "channels": 6, "shrunk_channels": 4, "blocks": 2}),
    "fsrcnn x3": Case("fsrcnn", {"scale": 3, "in_channels": 3, "channels": 6, "blocks": 1}, export=False),
    "fsrcnn x8": Case("fsrcnn", {"scale": 8, "channels": 6, "shrunk_channels": 4, "blocks": 1}, export=False),
    "idr": Case("idr", {"degradation": "noise", **_IDR}, init="uniform"),
    "idr for blur": Case(
        "idr", {"degradation": "blur", "placement": ("decoder1",), **_IDR}, export=False, init="uniform"
    ),
    "idr for haze": Case("idr", {"degradation": "haze", "placement": _3E[2:], **_IDR}, export=False, init="uniform"),
    "idr, stage 2": Case("idr", _IDR, then="reformulate", init="uniform"),
    "idr, stage 2, as its authors' code": Case(
        "idr", {"placement": _3E, "additive_first": True, **_IDR}, export=False, then="reformulate", init="uniform"
    ),
    "mepsnet": Case("mepsnet", {"experts": 2, "num_templates": 3, **_EXPERTS}),
    "mepsnet without sharing": Case("mepsnet", {"experts": 1, "num_templates": None, **_EXPERTS}, export=False),
    "owan": Case("owan", {"channels": 4, "blocks": 2, "steps": 2}),
    "pcarn x2, x3": Case("pcarn", {"scale": (2, 3), **_SMALL}),
    "pcarn_m x4": Case("pcarn_m", {"scale": 4, **_SMALL}),
    "progressive_carn x4, stage 1": Case("progressive_carn", {"scale": 4, "stage": 1, **_SMALL}, export=False),
    "progressive_carn x8": Case("progressive_carn", {"scale": 8, **_SMALL}),
    "progressive_carn x8, stage 0": Case("progressive_carn", {"scale": 8, "stage": 0, **_SMALL}, export=False),
    "rcan desubpixel x3": Case(
        "rcan", {"scale": 3, "residual_groups": 1, "reduction": 2, "head": "desubpixel", **_RESIDUAL}, export=False
    ),
    "rcan restoration": Case(
        "rcan", {"scale": 1, "residual_groups": 1, "reduction": 2, "mean": (0.1, 0.2, 0.3), **_RESIDUAL}, export=False
    ),
    "rcan x4": Case("rcan", {"scale": 4, "residual_groups": 2, "reduction": 2, "channels": 16, "blocks": 2}),
    "rdn x1": Case("rdn", {"scale": 1, "channels": 4, "growth": 3, "blocks": 2, "layers": 2}),
    "rdn x4": Case("rdn", {"scale": 4, "channels": 4, "growth": 3, "blocks": 2, "layers": 2}, export=False),
    "restormer": Case("restormer", _TRANSFORMER),
    "restormer without norm bias": Case("restormer", {"norm_bias": False, **_TRANSFORMER}, export=False),
    "ridnet": Case("ridnet", {"channels": 4, "blocks": 2, "reduction": 2}),
    "rnan x1": Case("rnan", {"scale": 1, "channels": 4, "blocks": 1}, init="uniform"),
    "rnan x3": Case("rnan", {"scale": 3, "channels": 4, "blocks": 1}, init="uniform"),
    "sparse_resnet x1": Case("sparse_resnet", {"scale": 1, **_SPARSE}, export=False),
    "sparse_resnet x2": Case("sparse_resnet", {"scale": 2, **_SPARSE}),
    "sparse_resnet x2 dense": Case("sparse_resnet", {"scale": 2, **_SPARSE, "num_sparsity_groups": None}, export=False),
    "sparse_resnet x3 windows": Case(
        "sparse_resnet", {"scale": 3, "pool_size": 4, "mlp_depth": 2, **_SPARSE}, export=False
    ),
    "sparse_resnet x4 without weight norm": Case(
        "sparse_resnet", {"scale": 4, "weight_norm": False, "patches": True, **_SPARSE}, export=False
    ),
    "srcnn x1": Case("srcnn", {"scale": 1, "channels": (6, 4)}, export=False),
    "srcnn x3": Case("srcnn", {"scale": 3, "in_channels": 3, "channels": (6, 4), "kernel_sizes": (5, 1, 3)}),
    "srresnet without normalisation x3": Case("srresnet", {"scale": 3, "batch_norm": False, **_RESIDUAL}),
    "srresnet without normalisation x8": Case("srresnet", {"scale": 8, "batch_norm": False, **_RESIDUAL}, export=False),
    "srresnet x1": Case("srresnet", {"scale": 1, **_RESIDUAL}, export=False),
    "srresnet x4": Case("srresnet", {"scale": 4, **_RESIDUAL}),
    "vdsr x2": Case("vdsr", {"scale": 2, "channels": 4, "depth": 4}),
    "vdsr x8": Case("vdsr", {"scale": 8, "channels": 4, "depth": 3}, export=False),
    "zssr with biases x2": Case("zssr", {"scale": 2, "channels": 4, "depth": 3, "bias": True}, export=False),
    "zssr x4": Case("zssr", {"scale": 4, "channels": 4, "depth": 3}),
}


def build(case):
    """A network whose every weight matters: large convolutions, no parameter at an inert initial value."""
    torch.manual_seed(0)
    model = create_model(case.name, **case.options)
    if case.then is not None:
        getattr(model, case.then)()
    initialize(model, case.init)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.running_mean, 0, 0.1)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
    return model


def statistics(model):
    """Names of the BatchNorm buffers."""
    norms = [name for name, layer in model.named_modules() if isinstance(layer, nn.BatchNorm2d)]
    return {f"{norm}.{kind}" for norm in norms for kind in ("running_mean", "running_var", "num_batches_tracked")}


def own_means(model):
    """Names of mean colours that are no constants, the only other buffers that a state dict may hold."""
    mean = model.config.get("mean")
    return set() if mean in {None, DIV2K_MEAN} or set(mean) <= {0.0} else {"take_mean.shift", "put_mean.shift"}


def pictures(model, height=7, width=5, batch=2, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(batch, model.in_channels, height, width, generator=generator, dtype=torch.float64).to(dtype)


def close(out, expected, tolerance):
    """Whether the largest difference is small beside the largest value."""
    return (out - expected).abs().max() <= tolerance * expected.abs().max()


def modes(model):
    return [{"scale": scale} for scale in model.scales]
