"""NSR's residual network: convolutions whose kernels each picture mixes for itself."""

from collections.abc import Callable
from functools import partial
from os import PathLike
from typing import ClassVar, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from restorekit._check import check_integer
from restorekit.layers import MeanShift, SparseGroupConv2d
from restorekit.models._arguments import check_scale
from restorekit.models._layouts.layout import Layout
from restorekit.models._layouts.sparse_resnet import SPARSE_RESNET_LAYOUTS
from restorekit.models._named_weights import loaded
from restorekit.models.network import record
from restorekit.models.restorer import Restorer

_MEAN = 0.5  # of every colour
_PATCH, _MARGIN, _STEP = 48, 4, 32
_PATCHES_FROM = 4 * _PATCH  # smaller pictures are run whole
_BORDER_WEIGHT = 0.3

_Convolution = nn.Conv2d | SparseGroupConv2d
_GATE = ("num_sparsity_groups", "cardinality", "temperature", "pool_size", "mlp_depth", "hard")


class _Block(nn.Module):
    """conv - ReLU - conv around a skip connection, wider inside."""

    def __init__(self, conv1: nn.Module, conv2: nn.Module) -> None:
        super().__init__()
        self.conv1 = conv1
        self.conv2 = conv2

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(self.conv1(x).relu()) + x
        return out


@final
class SparseResNet(Restorer):
    """Residual blocks of sparse-group convolutions, around a skip from picture to picture.

        y = shuffle(exit(blocks(entry(x - 0.5))) + skip(x - 0.5)) + 0.5

    ``entry`` and ``exit`` are 3x3, ``skip`` is 5x5, or nothing at scale 1: there the network predicts the damage.

    | published network (16 blocks)      | channels | width | cardinality | mlp_depth | parameters at x2, x3, x4 |
    |------------------------------------|----------|-------|-------------|-----------|--------------------------|
    | NSR, supplement's table (4.755 M)  | 32       | 4     | 1           | 1         | 4754772, 4760277, 4767984 |
    | the same with a deeper gate        | 32       | 4     | 1           | 2         | 5035860 at x2            |
    | EDSR + NSR                         | 64       | 1     | 16          | 1         | 4877812, 4887637, 4901392 |
    | defaults of the authors' code      | 32       | 4     | 16          | 1         | 4910292, 4915797, 4923504 |
    | dense, ``num_sparsity_groups=None`` | 32      | 4     |             |           | 1190100, 1195605, 1203312 |

    The published numbers are those of ``patches=True``, on the whole picture, in evaluation mode.

    Args:
        scale: Enlargement factor 1, 2, 3, 4 or 8; 1 removes noise or JPEG artefacts.
        channels: Width between the blocks.
        width: Factor on it inside a block.
        blocks: Residual blocks.
        num_sparsity_groups: Candidate kernels k of each convolution in a block. None is the dense network, of ordinary
            convolutions without gates; 1 has gates that change nothing.
        cardinality: See ``layers.SparseGroupConv2d``.
        temperature: See ``layers.SparseGroupConv2d``.
        pool_size: See ``layers.SparseGroupConv2d``; in pixels of the input.
        mlp_depth: See ``layers.SparseGroupConv2d``.
        hard: See ``layers.SparseGroupConv2d``.
        weight_norm: Train direction and length of each kernel row apart, as published.
        patches: In evaluation, run pictures of at least 192 px to each side in overlapping patches of 48 px, so that
            each patch has gates of its own, as in training on such patches, and average. The skip runs on the whole.
        in_channels: Channels of the picture, damaged and restored.

    Raises:
        TypeError: A size that is no integer.
        ValueError: A scale or size that is not offered, or a cardinality that does not divide the channels.

    Example:
        >>> import torch
        >>> SparseResNet(scale=3, channels=8, blocks=2)(torch.rand(1, 3, 5, 7)).shape
        torch.Size([1, 3, 15, 21])

    Source:
        Fan et al., NeurIPS 2020 (Neural Sparse Representation), supplement 1 and 3, and the authors' code, whose
        network changes the caller's picture and folds a batch into the channels. Its patches lie on a grid of 32 px in
        the middle of the picture, padded by 4 reflected pixels, with rows of patches along its four edges, which
        count 0.3; 4 px at the rim of each patch are thrown away.
    """

    layouts: ClassVar[tuple[Layout, ...]] = SPARSE_RESNET_LAYOUTS

    def __init__(
        self,
        scale: int = 4,
        *,
        channels: int = 32,
        width: int = 4,
        blocks: int = 16,
        num_sparsity_groups: int | None = 4,
        cardinality: int = 1,
        temperature: float = 1.0,
        pool_size: int | None = None,
        mlp_depth: int = 1,
        hard: bool = False,
        weight_norm: bool = True,
        patches: bool = False,
        in_channels: int = 3,
    ) -> None:
        config = record(locals())
        check_scale(scale)
        for name, value in (("channels", channels), ("width", width), ("blocks", blocks), ("in_channels", in_channels)):
            check_integer(value, name, 1)
        super().__init__([scale], size_multiple=1, in_channels=in_channels, config=config)
        self.patches = patches
        gate = {name: config[name] for name in _GATE}
        mixed: Callable[..., _Convolution] = partial(SparseGroupConv2d, **gate)
        if num_sparsity_groups is None:
            mixed = nn.Conv2d
        conv = partial(_started, weight_norm=weight_norm)
        inner, colours, shrink = width * channels, in_channels * scale**2, blocks**-0.5
        units = [
            _Block(conv(mixed(channels, inner, 3, padding=1), 2), conv(mixed(inner, channels, 3, padding=1), shrink))
            for _ in range(blocks)
        ]
        self.take_mean = MeanShift([_MEAN] * in_channels, sign=-1)
        self.entry = conv(nn.Conv2d(in_channels, channels, 3, padding=1), 1)
        self.body = nn.Sequential(*units)
        self.exit = conv(nn.Conv2d(channels, colours, 3, padding=1), 1)
        self.skip = conv(nn.Conv2d(in_channels, colours, 5, padding=2), 1) if scale > 1 else nn.Identity()
        self.put_mean = MeanShift([_MEAN] * in_channels, sign=1)

    def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
        """Restore pictures (N, in_channels, H, W) in [0, 1].

        Args:
            x: Pictures of at least 1x1 px.
            scale: The network's scale, which may be left out.

        Returns:
            Restored pictures (N, in_channels, scale * H, scale * W), not clamped.

        Raises:
            TypeError: ``x`` is no floating-point tensor of the weights' dtype.
            ValueError: A wrong shape, or another scale.
        """
        self.check_input(x)
        factor = self.pick_scale(scale)
        x = self.take_mean(x)
        in_patches = self.patches and not self.training and min(x.shape[2:]) >= _PATCHES_FROM
        residual = self._residual_of_patches(x) if in_patches else self._residual(x)
        out: Tensor = self.put_mean(F.pixel_shuffle(residual + self.skip(x), factor))
        return out

    @property
    def receptive_radius(self) -> int | None:
        """None: the gates see the whole picture, or windows and patches that begin at its corner.

        The dense network has one: a pixel for each convolution, and the skip reaches less.
        """
        dense = self.config["num_sparsity_groups"] is None
        return 2 * len(self.body) + 2 if dense and not self.patches else None

    def unused_parameters(self, scale: int | None = None) -> list[str]:
        """Those of the gates while they choose hard: no gradient passes through a choice."""
        if self.training or not self.config["hard"]:
            return []
        return [name for name, _ in self.named_parameters() if ".mlp." in name]

    def _residual(self, x: Tensor) -> Tensor:
        residual: Tensor = self.exit(self.body(self.entry(x)))
        return residual

    def _residual_of_patches(self, x: Tensor) -> Tensor:
        """The average of overlapping patches, one at a time: their number is not bounded."""
        height, width = x.shape[2:]
        side = _PATCH - 2 * _MARGIN
        padded = F.pad(x, (_MARGIN,) * 4, mode="reflect")
        total = x.new_zeros(len(x), self.in_channels * self.scales[0] ** 2, height, width)
        weights = x.new_zeros(height, width)
        for top, left, weight in _places(height, width):
            patch = self._residual(padded[..., top : top + _PATCH, left : left + _PATCH])
            inside = patch[..., _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
            where = (..., slice(top, top + side), slice(left, left + side))
            total[where] += weight * inside
            weights[where] += weight
        return total / weights


def _started(layer: _Convolution, length: float, weight_norm: bool) -> nn.Module:
    """A convolution whose kernel rows have this length, without bias at first."""
    with torch.no_grad():
        layer.weight.mul_(length / layer.weight.flatten(1).norm(dim=1).view(-1, 1, 1, 1))
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return parametrizations.weight_norm(layer) if weight_norm else layer


def _places(height: int, width: int) -> list[tuple[int, int, float]]:
    """Where patches begin in the padded picture, and what they count: a grid in the middle, then the four edges."""
    bottom, right = height + 2 * _MARGIN - _PATCH, width + 2 * _MARGIN - _PATCH
    spare_rows, spare_columns = bottom % _STEP, right % _STEP
    rows, columns = range(0, bottom + 1, _STEP), range(0, right + 1, _STEP)
    middle = [(spare_rows // 2 + row, spare_columns // 2 + column, 1.0) for row in rows for column in columns]
    edges = [(0, column) for column in columns] + [(row, right) for row in rows]
    edges += [(bottom, spare_columns + column) for column in columns] + [(spare_rows + row, 0) for row in rows]
    return middle + [(row, column, _BORDER_WEIGHT) for row, column in edges]


def sparse_resnet(
    scale: int = 4,
    *,
    channels: int = 32,
    width: int = 4,
    blocks: int = 16,
    num_sparsity_groups: int | None = 4,
    cardinality: int = 1,
    temperature: float = 1.0,
    pool_size: int | None = None,
    mlp_depth: int = 1,
    hard: bool = False,
    weight_norm: bool = True,
    patches: bool = False,
    in_channels: int = 3,
    weights: str | PathLike[str] | None = None,
) -> SparseResNet:
    """Build NSR's network, by default the one of the supplement's table.

    EDSR + NSR is ``sparse_resnet(scale, channels=64, width=1, cardinality=16)``; add ``patches=True`` for its
    published numbers.

    Args:
        scale: Enlargement factor 1, 2, 3, 4 or 8.
        channels: See ``SparseResNet``.
        width: See ``SparseResNet``.
        blocks: See ``SparseResNet``.
        num_sparsity_groups: See ``SparseResNet``.
        cardinality: See ``SparseResNet``.
        temperature: See ``SparseResNet``.
        pool_size: See ``SparseResNet``.
        mlp_depth: See ``SparseResNet``.
        hard: See ``SparseResNet``.
        weight_norm: See ``SparseResNet``.
        patches: See ``SparseResNet``.
        in_channels: See ``SparseResNet``.
        weights: Checkpoint file to read into it, see ``load_weights``; or "default", which comes with the library for
            ``sparse_resnet(2, channels=24, blocks=8)``, with gates and without.

    Returns:
        The network, in training mode, on the CPU.

    Raises:
        TypeError: A size that is no integer.
        ValueError: A value that is not offered.

    Example:
        >>> sum(p.numel() for p in sparse_resnet(scale=2).parameters())
        4754772

    Source:
        Fan et al., NeurIPS 2020.
    """
    model = SparseResNet(
        scale,
        channels=channels,
        width=width,
        blocks=blocks,
        num_sparsity_groups=num_sparsity_groups,
        cardinality=cardinality,
        temperature=temperature,
        pool_size=pool_size,
        mlp_depth=mlp_depth,
        hard=hard,
        weight_norm=weight_norm,
        patches=patches,
        in_channels=in_channels,
    )
    return loaded(model, weights)
