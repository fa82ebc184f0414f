"""The record that describes a published checkpoint, and what the readers of all networks share."""

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from restorekit.layers import DIV2K_MEAN
from restorekit.layers.mean_shift import is_constant

StateDict = Mapping[str, Tensor]
Reading = tuple[dict[str, Any], dict[str, Tensor]]  # constructor arguments, renamed tensors

UNSAID: Final = object()
"""Value of an option that changes what is computed and that the tensors do not tell."""


@dataclass(frozen=True)
class Layout:
    """One published naming of the tensors of a network."""

    name: str
    matches: Callable[[Collection[str]], bool]  # by key names alone
    read: Callable[[StateDict], Reading]


def has(*keys: str) -> Callable[[Collection[str]], bool]:
    """A test for files that have all these keys."""

    def matches(found: Collection[str]) -> bool:
        return all(key in found for key in keys)

    return matches


def count(state: Iterable[str], pattern: str) -> int:
    """How many there are of what is numbered from 0: one more than the largest number that the pattern's group holds.

    Raises:
        ValueError: More than there are keys; such a file is made up.
    """
    keys = list(state)
    total = max((int(found[1]) + 1 for key in keys if (found := re.match(pattern, key))), default=0)
    if total > len(keys):
        raise ValueError(f"its keys count to {total} where there are only {len(keys)} tensors")
    return total


def bounded(state: StateDict, *counts: int) -> None:
    """Require that there are as many tensors as things numbered within each other, before all of them are named.

    Raises:
        ValueError: Fewer; a file of a few keys could otherwise ask for millions of names.
    """
    if math.prod(counts) > len(state):
        numbers = " times ".join(map(str, counts))
        raise ValueError(f"its keys count to {numbers} layers where there are only {len(state)} tensors")


def read_upsampler(state: StateDict, name: str, channels: int) -> tuple[int, dict[str, str]]:
    """Enlargement factor and renamed layers of a chain of convolutions and pixel shuffles, at every second index."""
    stages = (count(state, rf"{name}\.(\d+)\.") + 1) // 2
    scale = math.prod(shuffle_factor(state[f"{name}.{2 * stage}.weight"], channels) for stage in range(stages))
    return scale, {f"{name}.{2 * stage}": f"upsampler.convs.{stage}" for stage in range(stages)}


def shuffle_factor(weight: Tensor, channels: int) -> int:
    """Enlargement of the pixel shuffle behind a convolution, from the channels that it makes."""
    return round(math.sqrt(weight.shape[0] / channels))


def folded_head(state: StateDict, colours: int) -> dict[str, Any]:
    """Scale and head of a CutBlur network, from the colours that its first convolution takes."""
    scale = round((state["head.1.weight"].shape[1] / colours) ** 0.5)
    return {"scale": scale, "head": "desubpixel" if scale > 1 else "conv"}


def rename(state: StateDict, names: Mapping[str, str], kinds: Iterable[str] = ("weight", "bias")) -> dict[str, Tensor]:
    """Pick layers by their old names and give their tensors the new ones."""
    kinds = tuple(kinds)
    return {f"{new}.{kind}": state[f"{old}.{kind}"] for old, new in names.items() for kind in kinds}


def absorb_range(tensors: dict[str, Tensor]) -> None:
    """Make a network for pictures in 0 to 255 one for 0 to 1: in its first and last convolution, in place."""
    tensors["entry.weight"] = tensors["entry.weight"] * 255
    for key in ("exit.weight", "exit.bias"):
        tensors[key] = tensors[key] / 255


def absorb_mean_shift(
    state: StateDict, tensors: dict[str, Tensor], *, rgb_range: float, middle: str = ""
) -> tuple[float, ...]:
    """Absorb the file's 1x1 convolutions ``sub_mean`` and ``add_mean`` and its range into ``entry`` and ``exit``.

    With x in [0, 1] the file computes W R x + b in front and A y + c behind. Taken as W R (x - m), m = -W^-1 b / R,
    the first is a mean in [0, 1] and a factor for the entry's kernel: exact at the zero-padded border too, and true
    for files whose mean shifts were trained.

    Args:
        state: The file's tensors.
        tensors: Renamed ones; ``entry`` and ``exit`` are changed in place.
        rgb_range: Largest value R of the pictures that the file's network takes.
        middle: What stands between "sub_mean" and ".weight".

    Returns:
        The mean colour m.
    """
    if not state[f"sub_mean{middle}.bias"].is_floating_point():
        raise ValueError(f"sub_mean{middle}.bias must hold a mean colour, got {state[f'sub_mean{middle}.bias'].dtype}")
    weight, bias = state[f"sub_mean{middle}.weight"].double().flatten(1), state[f"sub_mean{middle}.bias"].double()
    behind, constant = state[f"add_mean{middle}.weight"].double().flatten(1), state[f"add_mean{middle}.bias"].double()
    precision = max(1e-6, torch.finfo(state[f"sub_mean{middle}.bias"].dtype).eps)  # half precision rounds the mean
    mean = _published_or_own(-torch.linalg.solve(weight, bias) / rgb_range, precision)
    kernel, dtype = tensors["entry.weight"], tensors["entry.weight"].dtype
    # A desubpixel head holds the colours scale^2 times, the colour fastest.
    copies = kernel.double().reshape(len(kernel), -1, len(bias), *kernel.shape[2:])
    entry = torch.einsum("okcyx,cd->okdyx", copies, weight * rgb_range).flatten(1, 2)
    tensors["entry.weight"] = entry.to(dtype)
    last = torch.einsum("cd,diyx->ciyx", behind / rgb_range, tensors["exit.weight"].double())
    left_over = constant / rgb_range - torch.tensor(mean, dtype=torch.float64)
    left_over[left_over.abs() <= precision] = 0  # rounding of the same mean, taken off and put back
    tensors["exit.weight"] = last.to(dtype)
    if not is_constant(mean):
        shift = torch.tensor(mean).view(1, -1, 1, 1)
        tensors |= {"take_mean.shift": -shift, "put_mean.shift": shift}
    tensors["exit.bias"] = (behind @ tensors["exit.bias"].double() / rgb_range + left_over).to(dtype)
    return mean


def _published_or_own(mean: Tensor, precision: float) -> tuple[float, ...]:
    published = torch.tensor(DIV2K_MEAN, dtype=torch.float64)
    if mean.shape == published.shape and torch.allclose(mean, published, rtol=0, atol=precision):
        return DIV2K_MEAN
    return tuple(round(value, 7) for value in mean.tolist())  # what float32 can tell


# Families whose files people have at hand: name, then patterns that all occur among the keys of such a file.
_FAMILIES = (
    ("CutBlur CARN", r"^head\.1\.weight$", r"^b1\.b1\.body\.0\.weight$"),
    ("CARN or CARN-M (ECCV 2018)", r"^b1\.b1\.body\.0\.weight$", r"^b1\.c1\.body\.0\.weight$"),
    ("PCARN or PCARN-M", r"^b1\.b1\.conv1\.weight$", r"^b1\.c1\.weight$"),
    ("the discriminator of PCARN, models.PatchDiscriminator", r"^body\.2\.1\.running_mean$"),
    ("progressive CARN", r"^progression\.0\."),
    ("restorekit's CARN", r"^body\.blocks\.0\.blocks\.0\.conv1\.weight$"),
    ("restorekit's progressive CARN", r"^stages\.0\.body\.blocks\.0\."),
    ("MEPSNet", r"^head\.0\.expand_conv1\.weight$"),
    ("restorekit's MEPSNet", r"^experts\.0\.body\.0\.body\.0\.conv1\."),
    ("IDR", r"^degra_key$"),
    ("Restormer", r"^patch_embed\.proj\.weight$", r"^encoder_level1\.0\."),
    ("restorekit's IDR", r"^trunk\.encoder\.0\.", r"^hub$"),
    ("restorekit's Restormer", r"^trunk\.encoder\.0\."),
    ("a network of restorekit", r"^entry\.(conv\.)?weight$", r"^exit\.weight$"),
    ("RCAN", r"conv_du\.0\.weight$|\.rcab\.0\.weight$"),
    ("RNAN", r"^body_nl_low\."),
    ("RDN", r"^RDBs\.0\.|^rdbs\.0\."),
    ("RIDNet", r"^b1\.r1\.body1\."),
    ("OWAN", r"\.ca_fc\.0\.weight$"),
    ("EDSR", r"^body\.0\.body\.0\.weight$", r"^tail\."),
    ("EDSR, MSRResNet (BasicSR) or MSRResNet1 (KAIR)", r"^(body|recon_trunk)\.0\.conv1\.weight$"),
    ("FSRCNN", r"^first_part\.", r"^last_part\."),
    ("SRCNN", r"^conv1\.weight$", r"^conv3\.weight$"),
    ("VDSR", r"^residual_layer\.0\.conv\.weight$"),
    ("ZSSR", r"^filter_0$"),
    ("DnCNN or MSRResNet0 (KAIR)", r"^model\.0\.weight$"),
    ("a VGG with BatchNorm of torchvision", r"^features\.1\.running_mean$"),
    ("torchvision's VGG-19", r"^features\.34\.weight$"),
    ("torchvision's VGG-16", r"^features\.28\.weight$"),
    ("a shallower VGG of torchvision", r"^features\.18\.weight$|^features\.22\.weight$"),
    ("torchvision's SqueezeNet 1.0", r"^features\.5\.squeeze\.weight$"),
    ("torchvision's SqueezeNet 1.1", r"^features\.6\.squeeze\.weight$"),
    ("torchvision's AlexNet", r"^features\.0\.weight$", r"^features\.10\.weight$"),
    ("the linear layers of LPIPS", r"^lin0\.model\.1\.weight$"),
)


def guess_family(keys: Collection[str]) -> str:
    """Name the published network whose files have such keys."""
    for name, *patterns in _FAMILIES:
        if all(any(re.search(pattern, key) for key in keys) for pattern in patterns):
            return name
    return "no network known here"
