"""RDN: residual dense network."""

from os import PathLike
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from restorekit._check import check_integer
from restorekit.layers import DenseResidualBlock, PixelShuffleUpsampler
from restorekit.models._arguments import check_scale
from restorekit.models._layouts.layout import Layout
from restorekit.models._layouts.rdn import RDN_LAYOUTS
from restorekit.models._named_weights import loaded
from restorekit.models.network import record
from restorekit.models.restorer import Restorer


@final
class RDN(Restorer):
    """Residual dense network: dense blocks in a row whose outputs are all fused.

        f_0 = entry(x),   f_1..f_B = blocks in a row on shallow(f_0),   y = exit(upsampler(fusion([f_1..f_B]) + f_0))

    | published network                                           | scale   |
    |-------------------------------------------------------------|---------|
    | RDN for super-resolution (CVPR 2018)                        | 2, 3, 4 |
    | RDN for denoising and JPEG artefacts (TPAMI 2020; thesis)   | 1       |

    Args:
        scale: Enlargement factor 1, 2, 3, 4 or 8; 1 has no upsampler.
        channels: Width of all features (the paper's G0).
        growth: Channels that each convolution of a block adds (G).
        blocks: Dense blocks (D).
        layers: Convolutions in each block (C).
        in_channels: Channels of the picture.

    Raises:
        ValueError: A scale that is not offered, or a size below 1.

    Example:
        >>> RDN(2, channels=8, growth=4, blocks=2, layers=2)(torch.rand(1, 3, 5, 7)).shape
        torch.Size([1, 3, 10, 14])

    Source:
        Zhang et al., CVPR 2018 (arXiv:1802.08797) and TPAMI 2020 (arXiv:1812.10477). No mean colour is taken off, as in
        both PyTorch versions; the authors' Lua code can. Their own files (Lua Torch, ``.t7``) cannot be read. At scale
        1 the picture is not added to the output: the authors' network file has no such addition. EDSR-PyTorch's
        upsampler is as wide as ``growth``, which is the same for its configuration "B", the default here.
    """

    layouts: ClassVar[tuple[Layout, ...]] = RDN_LAYOUTS

    def __init__(
        self,
        scale: int = 4,
        *,
        channels: int = 64,
        growth: int = 64,
        blocks: int = 16,
        layers: int = 8,
        in_channels: int = 3,
    ) -> None:
        config = record(locals())
        check_scale(scale)
        sizes = {"channels": channels, "growth": growth, "blocks": blocks, "layers": layers, "in_channels": in_channels}
        for name, value in sizes.items():
            check_integer(value, name, 1)
        super().__init__([scale], size_multiple=1, in_channels=in_channels, config=config)
        self.entry = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.shallow = nn.Conv2d(channels, channels, 3, padding=1)
        self.body = nn.ModuleList(DenseResidualBlock(channels, growth=growth, layers=layers) for _ in range(blocks))
        self.fusion = nn.Sequential(
            nn.Conv2d(blocks * channels, channels, 1), nn.Conv2d(channels, channels, 3, padding=1)
        )
        self.upsampler = PixelShuffleUpsampler(channels, scale, activation=False) if scale > 1 else nn.Identity()
        self.exit = nn.Conv2d(channels, in_channels, 3, padding=1)

    def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
        """Restore pictures (N, in_channels, H, W) in [0, 1].

        Args:
            x: Pictures of at least 1x1 px.
            scale: The network's own factor, or None.

        Returns:
            Pictures (N, in_channels, scale * H, scale * W), not clamped.

        Raises:
            TypeError: ``x`` is no floating-point tensor of the weights' dtype.
            ValueError: A wrong shape, or another scale.
        """
        self.check_input(x)
        self.pick_scale(scale)
        out: Tensor = self.exit(self.upsampler(self._features(self.entry(x))))
        return out

    def _features(self, entry: Tensor) -> Tensor:
        """All that stands before the upsampler, apart from it so that nothing of it is alive there."""
        features, seen = self.shallow(entry), []
        for block in self.body:
            features = block(features)
            seen.append(features)
        fused: Tensor = self.fusion(torch.cat(seen, dim=1)) + entry
        return fused


def rdn(
    scale: int = 4,
    *,
    channels: int = 64,
    growth: int = 64,
    blocks: int = 16,
    layers: int = 8,
    in_channels: int = 3,
    weights: str | PathLike[str] | None = None,
) -> RDN:
    """Build RDN as published: 16 dense blocks of 8 convolutions, 64 channels, growth 64.

    Args:
        scale: 2, 3, 4 (also 8) for super-resolution, 1 for denoising and JPEG artefacts.
        channels: See ``RDN``.
        growth: See ``RDN``.
        blocks: See ``RDN``.
        layers: See ``RDN``.
        in_channels: See ``RDN``.
        weights: Checkpoint file to read into it, see ``load_weights``.

    Returns:
        The network, in training mode, on the CPU.

    Raises:
        ValueError: A value that is not offered, or a file of another network.

    Example:
        >>> rdn(scale=2, blocks=1, layers=1).scale
        2

    Source:
        Zhang et al., CVPR 2018 (arXiv:1802.08797).
    """
    model = RDN(scale, channels=channels, growth=growth, blocks=blocks, layers=layers, in_channels=in_channels)
    return loaded(model, weights)
