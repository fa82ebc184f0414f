"""Progressive CARN: x8 super-resolution by factors of two, learned one after the other."""

from os import PathLike
from typing import ClassVar, final

import torch.nn.functional as F
from torch import Tensor, nn

from restorekit._check import check_integer
from restorekit.layers import Cascade, PixelShuffleUpsampler, ResidualBlock
from restorekit.models._arguments import check_scale
from restorekit.models._layouts.layout import Layout
from restorekit.models._layouts.progressive_carn import PROGRESSIVE_CARN_LAYOUTS
from restorekit.models._named_weights import loaded
from restorekit.models.network import record
from restorekit.models.restorer import Restorer

_STAGES = {2: 1, 4: 2, 8: 3}


class _Stage(nn.Module):
    """Features to features of twice the size: a cascade of cascades, then a x2 upsampler."""

    def __init__(self, channels: int, blocks: int, units: int) -> None:
        super().__init__()
        # Every input of a unit comes from a ReLU, so that the published ReLU in front of its convolutions does nothing.
        chains = [[ResidualBlock(channels, activation=False) for _ in range(units)] for _ in range(blocks)]
        self.body = Cascade([Cascade(chain, channels) for chain in chains], channels)
        self.upsampler = PixelShuffleUpsampler(channels, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.upsampler(self.body(x))
        return out


@final
class ProgressiveCARN(Restorer):
    """CARN bodies in a row, each doubling the size, with an output of its own behind each.

        f_0 = relu(entry(x)),   f_{k+1} = stage_k(f_k),   out_k = to_rgb_k(f_{k+1}) + nearest(x, 2^(k+1))

    The network works at one stage k and enlarges by 2^(k+1). Training (``train.progressive``) starts at stage 0 and
    goes on with ``grow()``; all weights are there from the start, so that a file of any stage fits the network at any
    other.

    Args:
        scale: Factor of the finished network: 2, 4 or 8, with one, two or three stages.
        stage: The stage to work at, counted from 0; the last, the finished network, if None.
        channels: Width of all features.
        blocks: Cascading blocks B of each stage.
        units: Residual units U in each block.

    Attributes:
        stage: The stage that it works at.

    Raises:
        ValueError: A scale that is not offered, a stage that the scale does not have, or a size below 1.

    Example:
        >>> import torch
        >>> net = ProgressiveCARN(scale=4, stage=0, channels=8, blocks=1, units=1)
        >>> net.grow(), net.stage, net(torch.rand(1, 3, 5, 7)).shape
        (None, 1, torch.Size([1, 3, 20, 28]))

    Source:
        Ahn's thesis, section 3.3.1. Its text sets B=4 and U=8, but its 9.46M parameters and, at 1920x1080, 2,144 G are
        those of the authors' code (NTIRE 2018, track 1), B=8 and U=4, as here. The ReLU behind the entry and the
        enlarged picture that is added are in that code only. Its units begin with a ReLU; none of their inputs is
        negative, so it is left out. Initial weights are torch's own, as in the code: from those of CARN, whose biases
        are 0, features fade on their way through three stages.
    """

    layouts: ClassVar[tuple[Layout, ...]] = PROGRESSIVE_CARN_LAYOUTS

    def __init__(
        self, scale: int = 8, *, stage: int | None = None, channels: int = 64, blocks: int = 8, units: int = 4
    ) -> None:
        config = record(locals())
        stages = _check_stages(scale, stage)
        for name, value in (("channels", channels), ("blocks", blocks), ("units", units)):
            check_integer(value, name, 1)
        self._stage = config["stage"] = stages - 1 if stage is None else stage
        super().__init__([2 ** (self._stage + 1)], size_multiple=1, in_channels=3, config=config)
        self.entry = nn.Conv2d(3, channels, 3, padding=1)
        self.stages = nn.ModuleList(_Stage(channels, blocks, units) for _ in range(stages))
        self.to_rgb = nn.ModuleList(nn.Conv2d(channels, 3, 3, padding=1) for _ in range(stages))

    @property
    def stage(self) -> int:
        """The stage that the network works at, counted from 0."""
        return self._stage

    def grow(self) -> None:
        """Go on to the next stage, in place: from now on the network enlarges by twice as much.

        A copy, such as the averaged model of ``train.Ema``, grows on its own.

        Raises:
            RuntimeError: The network works at its last stage already.
        """
        if self.stage + 1 == len(self.stages):
            raise RuntimeError(f"the network works at its last stage, {self.stage}: it is built for scale {self.scale}")
        self._work_at(self.stage + 1)

    def restart(self) -> None:
        """Go back to the first stage, in place and with all weights as they are: training by stages begins there."""
        self._work_at(0)

    def _work_at(self, stage: int) -> None:
        self._stage = self.config["stage"] = stage
        self.scales = (2 ** (stage + 1),)

    def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
        """Enlarge pictures (N, 3, H, W) in [0, 1] to (N, 3, scale * H, scale * W).

        Args:
            x: Pictures of at least 1x1 px.
            scale: Factor of the present stage, may be left out.

        Returns:
            Restored pictures, not clamped.

        Raises:
            TypeError: ``x`` is no floating-point tensor of the weights' dtype.
            ValueError: A wrong shape, or the scale of another stage.
        """
        self.check_input(x)
        factor = self.pick_scale(scale)
        features = self.entry(x).relu()
        for stage in list(self.stages)[: self.stage + 1]:
            features = stage(features)
        out: Tensor = self.to_rgb[self.stage](features)
        return out + F.interpolate(x, scale_factor=factor, mode="nearest")

    def unused_parameters(self, scale: int | None = None) -> list[str]:
        """The later stages, and the outputs of all other stages."""
        self.pick_scale(scale)
        later = tuple(f"stages.{k}." for k in range(self.stage + 1, len(self.stages)))
        others = tuple(f"to_rgb.{k}." for k in range(len(self.stages)) if k != self.stage)
        return [name for name, _ in self.named_parameters() if name.startswith(later + others)]


def _check_stages(scale: int, stage: int | None) -> int:
    """How many stages a network for this scale has."""
    check_scale(scale, tuple(_STAGES))
    stages = _STAGES[scale]
    if stage is not None:
        check_integer(stage, "stage", 0)
        if stage >= stages:
            raise ValueError(f"stage must be below {stages} at scale {scale}, got {stage}")
    return stages


def progressive_carn(
    scale: int = 8,
    *,
    stage: int | None = None,
    channels: int = 64,
    blocks: int = 8,
    units: int = 4,
    weights: str | PathLike[str] | None = None,
) -> ProgressiveCARN:
    """Build the progressive CARN: 3 stages of 8 blocks of 4 residual units, 64 channels.

    Args:
        scale: Factor of the finished network: 2, 4 or 8.
        stage: The stage to work at, counted from 0; the last if None.
        channels: Width of all features.
        blocks: Cascading blocks of each stage.
        units: Residual units in each block.
        weights: Checkpoint file to read into it, of any stage, see ``load_weights``.

    Returns:
        The network, in training mode, on the CPU.

    Raises:
        ValueError: A value that is not offered.

    Example:
        >>> model = progressive_carn(scale=4, stage=0, channels=8)
        >>> model.scale
        2

    Source:
        Ahn's thesis, chapter 3 and Table 3.1, whose 9.46M leave out the outputs of the first two stages.
    """
    return loaded(ProgressiveCARN(scale, stage=stage, channels=channels, blocks=blocks, units=units), weights)
