"""CARN: fast, accurate and lightweight super-resolution with a cascading residual network."""

from collections.abc import Callable, Sequence
from functools import partial
from os import PathLike
from typing import Any, ClassVar, Literal, TypedDict, Unpack, final

from torch import Tensor, nn

from restorekit._check import check_integer, check_mean
from restorekit.layers import (
    DIV2K_MEAN,
    Cascade,
    Chain,
    Desubpixel,
    EResidualBlock,
    MeanShift,
    PixelShuffleUpsampler,
    ResidualBlock,
    initialize,
)
from restorekit.models._arguments import check_flags, check_head, check_scales
from restorekit.models._layouts.carn import CARN_LAYOUTS
from restorekit.models._layouts.layout import Layout
from restorekit.models._named_weights import loaded
from restorekit.models.network import record
from restorekit.models.restorer import Restorer

_FLAGS = ("recursive", "local_cascade", "global_cascade", "global_skip", "fusion_relu", "unit_relu", "upsampler_relu")


@final
class CARN(Restorer):
    """Cascading residual network, in all its published variants.

        entry 3x3 -> cascade of [cascade of residual units] -> sub-pixel upsampler -> exit 3x3

    Every cascade fuses all that came before at its level with 1x1 convolutions. The mean colour is taken off in front
    and put back behind.

    | published network   | groups | recursive | fusion_relu | unit_relu | upsampler_relu | global_skip | head       |
    |---------------------|--------|-----------|-------------|-----------|----------------|-------------|------------|
    | CARN (ECCV 2018)    | 1      | no        | yes         | yes       | yes            | no          | conv       |
    | CARN-M (ECCV 2018)  | 4      | yes       | yes         | yes       | yes            | no          | conv       |
    | PCARN (thesis)      | 1      | no        | no          | yes       | yes            | yes         | conv       |
    | PCARN-M (thesis)    | 4      | yes       | no          | yes       | yes            | yes         | conv       |
    | CutBlur's CARN      | 1      | no        | no          | no        | no             | yes         | desubpixel |

    Args:
        scale: Enlargement factor 1, 2, 3, 4 or 8, or several: (2, 3, 4) holds an upsampler for each and runs one.
        channels: Width of all features, a multiple of ``groups``.
        blocks: Cascading blocks B.
        units: Residual units U in each block.
        groups: Groups of the efficient units and of the upsampler; 1 means plain residual units.
        recursive: All units of a block share their weights.
        local_cascade: Fuse inside each block; otherwise its units are a plain chain.
        global_cascade: Fuse over the blocks; otherwise they are a plain chain.
        global_skip: Add the entry's features before the upsampler.
        fusion_relu: A ReLU follows each fusion.
        unit_relu: A ReLU follows the addition of each residual unit.
        upsampler_relu: A ReLU stands before each pixel shuffle.
        head: "conv" takes the low-resolution picture. "desubpixel" takes a picture already enlarged by ``scale``
            (CutBlur's input) and folds it: then the network's own ``scale`` is 1 and its ``size_multiple`` the factor.
        init: Initial weights by name, see ``layers.initialize``.
        mean: Mean colour in [0, 1].

    Raises:
        ValueError: A scale, head, init or size that is not offered; "desubpixel" with several scales.

    Example:
        >>> import torch
        >>> net = CARN(scale=(2, 3), channels=16, blocks=1)
        >>> net(torch.rand(1, 3, 5, 7), scale=3).shape
        torch.Size([1, 3, 15, 21])

    Source:
        Ahn, Kang and Sohn, ECCV 2018 (arXiv:1803.08664); Ahn's thesis, chapter 2 (PCARN); Yoo, Ahn and Sohn, CVPR 2020
        (CutBlur). The thesis' text has no ReLU after fusions and a global skip: that is PCARN, while the scores of its
        Table 2.4 belong to the ECCV networks. Initial biases are zero, as in PCARN's code. CARN-M groups its upsampler
        too, which the published 32.5 G multiply-adds need. With groups=1 the published efficient unit would keep its
        1x1 convolution; here groups=1 is the plain unit.
    """

    layouts: ClassVar[tuple[Layout, ...]] = CARN_LAYOUTS

    def __init__(
        self,
        scale: int | Sequence[int] = 4,
        *,
        channels: int = 64,
        blocks: int = 3,
        units: int = 3,
        groups: int = 1,
        recursive: bool = False,
        local_cascade: bool = True,
        global_cascade: bool = True,
        global_skip: bool = False,
        fusion_relu: bool = True,
        unit_relu: bool = True,
        upsampler_relu: bool = True,
        head: Literal["conv", "desubpixel"] = "conv",
        init: str = "uniform",
        mean: Sequence[float] = DIV2K_MEAN,
    ) -> None:
        config = record(locals())
        factors = check_scales(scale)
        folded = check_head(head, factors)
        check_mean(mean, 3)
        check_flags(config, *_FLAGS)
        for name, value in (("channels", channels), ("blocks", blocks), ("units", units), ("groups", groups)):
            check_integer(value, name, 1)
        super().__init__([1] if folded > 1 else factors, size_multiple=folded, in_channels=3, config=config)
        unit = _unit(channels, groups, unit_relu)
        chains = [[unit()] * units if recursive else [unit() for _ in range(units)] for _ in range(blocks)]
        connect = partial(_connect, channels=channels, fusion_relu=fusion_relu)
        upsampler = partial(PixelShuffleUpsampler, channels, groups=groups, activation=upsampler_relu)
        self.take_mean = MeanShift(mean, sign=-1)
        self.desubpixel = Desubpixel(folded)
        self.entry = nn.Conv2d(3 * folded**2, channels, 3, padding=1)
        self.body = connect([connect(chain, cascade=local_cascade) for chain in chains], cascade=global_cascade)
        self.global_skip = global_skip
        self.upsamplers = nn.ModuleDict({str(factor): upsampler(factor) for factor in factors if factor > 1})
        self.exit = nn.Conv2d(channels, 3, 3, padding=1)
        self.put_mean = MeanShift(mean, sign=1)
        initialize(self, init)

    def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
        """Enlarge pictures (N, 3, H, W) in [0, 1] to (N, 3, scale * H, scale * W).

        Args:
            x: Pictures of at least 1x1 px.
            scale: Which factor, needed only if the network holds several.

        Returns:
            Restored pictures, not clamped.

        Raises:
            TypeError: ``x`` is no floating-point tensor of the weights' dtype.
            ValueError: A wrong shape, or a scale that the network does not hold.
        """
        self.check_input(x)
        factor = self.pick_scale(scale) * self.size_multiple
        entry = self.entry(self.desubpixel(self.take_mean(self.pad(x))))
        features = self.body(entry)
        if self.global_skip:
            features = features + entry
        if factor > 1:
            features = self.upsamplers[str(factor)](features)
        return self.crop(self.put_mean(self.exit(features)), x)

    def can_spare(self, key: str) -> bool:
        """Whether the tensor belongs to the upsampler of a scale that this network does not hold."""
        return key.startswith("upsamplers.") and key.split(".")[1] not in self.upsamplers

    def unused_parameters(self, scale: int | None = None) -> list[str]:
        """The upsamplers of the other scales."""
        used = f"upsamplers.{self.pick_scale(scale) * self.size_multiple}."
        return [
            name for name, _ in self.named_parameters() if name.startswith("upsamplers.") and not name.startswith(used)
        ]


def _unit(channels: int, groups: int, activation: bool) -> Callable[[], nn.Module]:
    if groups > 1:
        return partial(EResidualBlock, channels, groups=groups, activation=activation)
    return partial(ResidualBlock, channels, activation=activation)


def _connect(parts: Sequence[nn.Module], *, cascade: bool, channels: int, fusion_relu: bool) -> nn.Module:
    return Cascade(parts, channels, fusion_relu=fusion_relu) if cascade else Chain(parts)


class CARNOptions(TypedDict, total=False):
    """Options of ``CARN`` that the factories pass on; see there."""

    channels: int
    blocks: int
    units: int
    groups: int
    recursive: bool
    local_cascade: bool
    global_cascade: bool
    global_skip: bool
    fusion_relu: bool
    unit_relu: bool
    upsampler_relu: bool
    head: Literal["conv", "desubpixel"]
    init: str
    mean: Sequence[float]


def _build(
    scale: int | Sequence[int], weights: str | PathLike[str] | None, options: CARNOptions, **defaults: Any
) -> CARN:
    return loaded(CARN(scale, **{**defaults, **options}), weights)


def carn(
    scale: int | Sequence[int] = 4, *, weights: str | PathLike[str] | None = None, **options: Unpack[CARNOptions]
) -> CARN:
    """Build CARN as published at ECCV 2018: 3 blocks of 3 residual units, 64 channels.

    Args:
        scale: 2, 3, 4 (also 1 and 8), or several: ``carn(scale=(2, 3, 4))`` is the published network.
        weights: "default" for those that come with the library, or a checkpoint file, see ``load_weights``.
        **options: Any option of ``CARN``.

    Returns:
        The network, in training mode, on the CPU.

    Raises:
        TypeError: An unknown option.
        ValueError: A value that is not offered.

    Example:
        >>> sum(p.numel() for p in carn(scale=(2, 3, 4)).parameters())
        1591939

    Source:
        Ahn, Kang and Sohn, ECCV 2018; thesis Table 2.4.
    """
    return _build(scale, weights, options)


def carn_m(
    scale: int | Sequence[int] = 4, *, weights: str | PathLike[str] | None = None, **options: Unpack[CARNOptions]
) -> CARN:
    """Build CARN-M as published at ECCV 2018: efficient units of 4 groups, shared inside each block.

    Args:
        scale: 2, 3, 4 (also 1 and 8), or several: ``carn_m(scale=(2, 3, 4))`` is the published network.
        weights: "default" for those that come with the library, or a checkpoint file, see ``load_weights``.
        **options: Any option of ``CARN``.

    Returns:
        The network, in training mode, on the CPU.

    Raises:
        TypeError: An unknown option.
        ValueError: A value that is not offered.

    Example:
        >>> sum(p.numel() for p in carn_m(scale=(2, 3, 4)).parameters())
        414787

    Source:
        Ahn, Kang and Sohn, ECCV 2018; thesis Table 2.4 and section 2.4.5 (G4R).
    """
    return _build(scale, weights, options, groups=4, recursive=True)
