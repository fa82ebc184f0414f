"""Restoring a picture in tiles, with the same result as in one piece."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from tqdm import tqdm

from restorekit._check import check_batch, check_integer
from restorekit.inference._optimized import Optimized
from restorekit.inference._running import check_restorer, dry_run, evaluating, fitted, home, title
from restorekit.models import Restorer

TILE_MEMORY = 384 * 2**20
"""Bytes of intermediate tensors that ``tile="auto"`` allows for."""

MAPPED_BYTES = 31 * 2**20
"""Bytes below which glibc hands out memory that it has: larger tensors are mapped afresh, at a quarter of the speed."""

# Times the arithmetic that tiles may cost, halos included, to stay below ``MAPPED_BYTES``: about what mapping was seen
# to cost CARN-M x4 at 960x540 on one thread (tiles of 314 took 0.87 of the time, with 1.22 times the arithmetic).
_WORTH = 1.4

BATCH_MEMORY = 16 * 2**20
"""Bytes of intermediate tensors up to which pictures run several at a time on a CPU: more leave its cache, and take
longer than one by one. Elsewhere ``TILE_MEMORY`` is the limit."""


@dataclass(frozen=True)
class Span:
    """One tile along one axis: what it reads, what it is responsible for."""

    read_start: int
    read_stop: int
    start: int
    stop: int

    @property
    def read(self) -> slice:
        return slice(self.read_start, self.read_stop)

    def inner(self, scale: int) -> slice:
        """Its own part of the restored tile."""
        return slice((self.start - self.read_start) * scale, (self.stop - self.read_start) * scale)

    def outer(self, scale: int) -> slice:
        """Its own part of the restored picture."""
        return slice(self.start * scale, self.stop * scale)


def spans(length: int, tile: int | None, halo: int, multiple: int) -> list[Span]:
    """Cut an axis into even tiles of at most ``tile`` pixels whose borders lie on the grid of ``multiple``, or not."""
    if tile is None:
        return [Span(0, length, 0, length)]
    tile = max(multiple, tile // multiple * multiple)
    halo = math.ceil(halo / multiple) * multiple
    count = math.ceil(length / tile)
    tile = math.ceil(length / count / multiple) * multiple
    return [
        Span(max(0, start - halo), min(length, start + tile + halo), start, min(length, start + tile))
        for start in range(0, length, tile)
    ]


def memory_per_pixel(model: Restorer, scale: int) -> float:
    """Bytes of intermediate tensors that the network holds at once for each input pixel, as a dry run counts them."""
    seen = dry_run(model, scale)
    return seen.peak_bytes / seen.side**2


def automatic_tile(model: Restorer, scale: int, memory: float) -> int:
    """Side of the largest square tile whose intermediates, halo included, stay within ``memory`` bytes.

    A smaller one if its tensors stay below ``MAPPED_BYTES`` then, and its halo costs less than that brings.
    """
    radius = model.receptive_radius or 0
    side = math.isqrt(int(memory / memory_per_pixel(model, scale)))
    side = max(side - 2 * radius, radius, 8)  # a tile below its own halo would mostly compute what is thrown away
    return min(side, _unmapped_tile(model, scale) or side)


def _widest_bytes(model: Restorer, scale: int) -> float:
    """Bytes of its largest tensor for each input pixel; 0 where that is not known."""
    return (model.widest_bytes(scale) or 0) if isinstance(model, Optimized) else 0


def _unmapped_tile(model: Restorer, scale: int) -> int | None:
    """Side of the largest tile of which no tensor is mapped; None if that is not worth its halo, or not known."""
    widest = _widest_bytes(model, scale)
    if not widest:
        return None
    whole = math.isqrt(int(MAPPED_BYTES / widest))
    side = whole - 2 * (model.receptive_radius or 0)
    return side if side > 0 and (whole / side) ** 2 <= _WORTH else None


def quickest_tile(model: Restorer, x: Tensor, scale: int, memory: float) -> int | None:
    """Side of the tiles with which pictures are restored soonest; None for one piece, of ``memory`` bytes at most."""
    pixels = x.shape[-2] * x.shape[-1]
    mapped = _widest_bytes(model, scale) * pixels > MAPPED_BYTES
    side = _unmapped_tile(model, scale) if mapped else None
    if side is None and memory_per_pixel(model, scale) * pixels > memory:
        return resolve_tile(model, x, scale, "auto")
    return side


def restored_tiles(
    model: Restorer,
    x: Tensor,
    *,
    scale: int,
    tile: int | None,
    halo: int,
    run: Callable[[Tensor], Tensor],
    progress: bool,
) -> Iterator[tuple[tuple[slice, slice, slice], Tensor]]:
    """Restore tile after tile, of pictures that ``together`` allows; yield where each belongs in (N, rows, columns)."""
    count, (height, width) = len(x), x.shape[-2:]
    rows = spans(height, tile, halo, model.size_multiple)
    columns = spans(width, tile, halo, model.size_multiple)
    step = together(model, scale, height, width, tile) if count > 1 else 1
    starts = range(0, count, step)
    places = [(slice(i, min(i + step, count)), row, column) for i in starts for row in rows for column in columns]
    for pictures, row, column in tqdm(places, desc="restore", unit="tile", disable=not progress):
        where = (pictures, row.outer(scale), column.outer(scale))
        yield where, restored_tile(run, x[pictures, :, row.read], row, column, scale)


def restored_tile(run: Callable[[Tensor], Tensor], band: Tensor, row: Span, column: Span, scale: int) -> Tensor:
    """Restore one tile of a band (N, C, rows that it reads, W), without its halo."""
    return run(band[..., column.read])[..., row.inner(scale), column.inner(scale)]


def together(model: Restorer, scale: int, height: int, width: int, tile: int | Literal["auto"] | None) -> int:
    """How many pictures of a size may run at once: 1, unless they are small and the network takes each by itself."""
    if model.whole_pixels is not None or (isinstance(tile, int) and max(height, width) > tile):
        return 1
    if any(isinstance(layer, _BatchNorm) and layer.running_mean is None for layer in model.modules()):
        return 1  # normalised by the statistics of whatever is in the batch
    memory = BATCH_MEMORY if home(model)[0].type == "cpu" else TILE_MEMORY
    return max(1, int(memory / (memory_per_pixel(model, scale) * height * width)))


def check_tile(tile: int | str) -> None:
    """Require a number of pixels, or "auto"."""
    if not isinstance(tile, str):
        check_integer(tile, "tile", 1)
    elif tile != "auto":
        raise ValueError(f"tile must be None, a number of pixels or 'auto', got {tile!r}")


def resolve_tile(model: Restorer, x: Tensor, scale: int, tile: int | Literal["auto"]) -> int | None:
    """The side of the tiles; None where one run of the whole picture is as good."""
    if not isinstance(tile, str):
        return tile
    if memory_per_pixel(model, scale) * x.shape[-2] * x.shape[-1] <= TILE_MEMORY or model.receptive_radius is None:
        return None
    return automatic_tile(model, scale, TILE_MEMORY)


def _exact_halo(model: Restorer) -> int:
    """The halo with which tiles do not change the result."""
    radius = model.receptive_radius
    if radius is None:
        raise ValueError(
            f"{title(model)} sees the whole picture (it pools or attends globally), so tiles would change its "
            "result; run it whole, or accept the change with inference.restore(model, image, tile=...)"
        )
    return radius


def tiled(
    model: Restorer,
    x: Tensor,
    *,
    tile: int | Literal["auto"] = "auto",
    scale: int | None = None,
    progress: bool = False,
) -> Tensor:
    """Restore pictures tile by tile, in bounded memory, with the result of the whole picture.

    Every tile is read with a halo as wide as the network's receptive radius, which is thrown away afterwards. The
    pictures and the result stay where ``x`` is; one tile at a time goes to the network's device and dtype.

    Args:
        model: Network with a finite ``receptive_radius``; run in evaluation mode.
        x: Pictures (N, C, H, W) in [0, 1], on any device.
        tile: Side of the tiles in input pixels, halo not counted; "auto" takes the largest whose intermediate tensors
            stay within ``TILE_MEMORY`` bytes.
        scale: Factor of a multi-scale network.
        progress: Show a bar.

    Returns:
        Restored pictures (N, C, scale * H, scale * W), not clamped, of the dtype and on the device of ``x``.

    Raises:
        TypeError: ``x`` is no floating-point tensor, or ``model`` no network of this library.
        ValueError: A wrong shape, tile or scale, or a network that sees the whole picture.

    Example:
        >>> import restorekit, torch
        >>> net, x = restorekit.models.carn_m(scale=2, channels=8), torch.rand(1, 3, 40, 50)
        >>> (tiled(net, x, tile=16) - net(x)).abs().max().item() < 1e-6
        True
    """
    check_restorer(model)
    check_batch(x, channels=model.in_channels)
    factor = model.pick_scale(scale)
    check_tile(tile)
    side = resolve_tile(model, x, factor, tile)
    halo = _exact_halo(model) if side else 0
    out = x.new_empty(len(x), model.in_channels, x.shape[-2] * factor, x.shape[-1] * factor)
    with evaluating(model):

        def run(part: Tensor) -> Tensor:
            restored: Tensor = model(fitted(part, model), scale=factor)
            return restored

        for (pictures, rows, columns), part in restored_tiles(
            model, x, scale=factor, tile=side, halo=halo, run=run, progress=progress
        ):
            out[pictures, :, rows, columns] = part
    return out
