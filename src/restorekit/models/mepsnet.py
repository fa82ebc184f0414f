"""MEPSNet: experts that share their parameters softly, for pictures damaged differently from place to place."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn

from restorekit._check import check_integer
from restorekit.layers import (
    ChannelAttention,
    MeanShift,
    SConv2d,
    SharedResidualInResidual,
    TemplateBank,
    orthogonal_coefficients,
)
from restorekit.models._arguments import mean_for
from restorekit.models._layouts.layout import Layout
from restorekit.models._layouts.mepsnet import MEPSNET_LAYOUTS
from restorekit.models._named_weights import loaded
from restorekit.models.network import record
from restorekit.models.restorer import Restorer

# The smallest value of each size: what is halved must leave something.
_LEAST = {"experts": 1, "units": 1, "blocks": 1, "channels": 2, "extraction_channels": 2, "in_channels": 1}


def _check_sizes(config: Mapping[str, Any]) -> None:
    for name, least in _LEAST.items():
        check_integer(config[name], name, least)
    if config["num_templates"] is not None:
        check_integer(config["num_templates"], "num_templates", 1)
    if config["extraction_channels"] % 2:
        raise ValueError(f"extraction_channels must be even, got {config['extraction_channels']}")


def _extraction(channels: int) -> nn.Sequential:
    """What follows the entry, which brings half the channels."""
    wider = nn.Conv2d(channels // 2, channels, 3, padding=1)
    return nn.Sequential(nn.ReLU(), wider, nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())


class _Expert(nn.Module):
    """A convolution, a chain of residual units around a skip connection, and a convolution."""

    def __init__(self, extraction_channels: int, channels: int, units: Sequence[nn.Module]) -> None:
        super().__init__()
        self.entry = nn.Conv2d(extraction_channels, channels, 3, padding=1)
        self.body = nn.Sequential(*units)
        self.exit = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.kaiming_normal_(self.entry.weight)
        nn.init.kaiming_normal_(self.exit.weight)

    def forward(self, x: Tensor) -> Tensor:
        entry = self.entry(x)
        out: Tensor = self.exit(self.body(entry) + entry)
        return out


def _units(bank: TemplateBank, units: int, blocks: int) -> list[SharedResidualInResidual]:
    """The units of one expert; all their layers together start from orthogonal coefficients."""
    rows = orthogonal_coefficients(2 * units * blocks, len(bank.templates))
    return [SharedResidualInResidual(bank, blocks, coefficients=own) for own in torch.split(rows, 2 * blocks)]


def _end_sharing(network: nn.Module) -> None:
    """Make each layer an ordinary convolution, drawn on its own."""
    for block in list(network.modules()):
        for name, layer in list(block.named_children()):
            if isinstance(layer, SConv2d):
                plain = layer.fuse()
                nn.init.kaiming_normal_(plain.weight)
                setattr(block, name, plain)


@final
class MEPSNet(Restorer):
    """Mixture of experts whose kernels are mixed from one bank of templates, fused by attention.

        entry 3x3 -> 2 x conv 3x3, each with ReLU -> experts side by side
                  -> concatenation -> channel attention -> conv 3x3, ReLU -> exit 3x3
        expert: conv 3x3 -> [units of [blocks of 2 SConv2d, + input], + input], + input -> conv 3x3

    The mean colour is taken off in front and put back behind; there is no skip connection around the whole. Attention
    averages over the whole picture, so the network has no receptive radius and cannot be tiled exactly.

    Args:
        experts: Branches side by side.
        units: Residual units (SRIR) in each expert, see ``layers.SharedResidualInResidual``.
        blocks: Residual blocks of two shared convolutions in each unit.
        num_templates: Templates K in the bank that all experts share; None gives each layer a kernel of its own.
        channels: Width of an expert, at least 2.
        extraction_channels: Width of the extracted features, an even number; the entry has half of it.
        in_channels: Channels of the picture, damaged and restored.
        mean: Mean colour in [0, 1]; DIV2K's if None, or zeros if the picture has not 3 channels.

    Raises:
        TypeError: A size that is no integer.
        ValueError: A size that is not offered, or a mean for another number of channels.

    Example:
        >>> network = MEPSNet(experts=2, units=1, blocks=2, channels=8, extraction_channels=16)
        >>> network(torch.rand(1, 3, 5, 7)).shape
        torch.Size([1, 3, 5, 7])

    Source:
        Ahn's thesis, chapter 7 (Kim, Ahn and Sohn, ACCV 2020). The released code counts 2,241,211 parameters with the
        24 numbers of two mean shifts, which are constants here: 2,241,187. Of the sizes that Table 7.3 prints only this
        one, with 3 experts, agrees with that code; the rest of the table cannot be rebuilt from it. The layers of an
        expert start from the rows of one orthogonal matrix in their order, where the released code takes some rows
        twice and others never (``layers.orthogonal_coefficients``); in its files the layers of such a row have equal
        coefficients. They take pictures in 0 to 255, which is absorbed when they are read.
    """

    layouts: ClassVar[tuple[Layout, ...]] = MEPSNET_LAYOUTS

    def __init__(
        self,
        *,
        experts: int = 3,
        units: int = 3,
        blocks: int = 12,
        num_templates: int | None = 16,
        channels: int = 64,
        extraction_channels: int = 256,
        in_channels: int = 3,
        mean: Sequence[float] | None = None,
    ) -> None:
        config = record(locals())
        _check_sizes(config)
        config["mean"] = colour = mean_for(mean, in_channels)
        super().__init__([1], size_multiple=1, in_channels=in_channels, config=config)
        self.take_mean = MeanShift(colour, sign=-1)
        self.entry = nn.Conv2d(in_channels, extraction_channels // 2, 3, padding=1)
        self.extraction = _extraction(extraction_channels)
        self.bank = TemplateBank(num_templates or 1, channels, channels, 3)
        self.experts = nn.ModuleList(
            _Expert(extraction_channels, channels, _units(self.bank, units, blocks)) for _ in range(experts)
        )
        width = experts * channels
        self.fusion = ChannelAttention(width, reduction=2)
        self.reconstruction = nn.Conv2d(width, width // 2, 3, padding=1)
        self.exit = nn.Conv2d(width // 2, in_channels, 3, padding=1)
        self.put_mean = MeanShift(colour, sign=1)
        if num_templates is None:
            _end_sharing(self)
            del self.bank

    def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
        """Restore pictures (N, in_channels, H, W) in [0, 1].

        Args:
            x: Pictures of at least 1x1 px.
            scale: 1, the only one, which may be left out.

        Returns:
            Restored pictures of the same size, not clamped.

        Raises:
            TypeError: ``x`` is no floating-point tensor of the weights' dtype.
            ValueError: A wrong shape, or another scale.
        """
        self.check_input(x)
        self.pick_scale(scale)
        features = self.extraction(self.entry(self.take_mean(x)))
        fused = self.fusion(torch.cat([expert(features) for expert in self.experts], dim=1))
        out: Tensor = self.put_mean(self.exit(self.reconstruction(fused).relu()))
        return out

    @property
    def receptive_radius(self) -> None:
        """None: the attention averages over the whole picture."""
        return None


def mepsnet(
    *,
    experts: int = 3,
    units: int = 3,
    blocks: int = 12,
    num_templates: int | None = 16,
    channels: int = 64,
    extraction_channels: int = 256,
    in_channels: int = 3,
    mean: Sequence[float] | None = None,
    weights: str | PathLike[str] | None = None,
) -> MEPSNet:
    """Build MEPSNet as published: 3 experts of 3 units of 12 blocks, 16 templates.

    Args:
        experts: See ``MEPSNet``.
        units: See ``MEPSNet``.
        blocks: See ``MEPSNet``.
        num_templates: See ``MEPSNet``.
        channels: See ``MEPSNet``.
        extraction_channels: See ``MEPSNet``.
        in_channels: See ``MEPSNet``.
        mean: See ``MEPSNet``.
        weights: Checkpoint file to read into it, see ``load_weights``; or "default", which comes with the library for a
            small network, see ``load_default``.

    Returns:
        The network, in training mode, on the CPU.

    Raises:
        ValueError: A value that is not offered.

    Example:
        >>> sum(p.numel() for p in mepsnet().parameters())
        2241187

    Source:
        Ahn's thesis, chapter 7.
    """
    model = MEPSNet(
        experts=experts,
        units=units,
        blocks=blocks,
        num_templates=num_templates,
        channels=channels,
        extraction_channels=extraction_channels,
        in_channels=in_channels,
        mean=mean,
    )
    return loaded(model, weights)
