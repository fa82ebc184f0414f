"""One call that restores a picture, whatever holds it."""

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal, TypeVar, overload

import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from restorekit.image import MAX_PIXELS, resize, rgb_to_ycbcr, ycbcr_to_rgb
from restorekit.inference._pictures import open_picture, put, to_float
from restorekit.inference._running import check_restorer, evaluating, fitted, home, ready, title
from restorekit.inference.self_ensemble import self_ensemble as average
from restorekit.inference.tiled import (
    MAPPED_BYTES,
    Span,
    check_tile,
    memory_per_pixel,
    quickest_tile,
    resolve_tile,
    restored_tiles,
    spans,
)
from restorekit.models import Restorer

WHOLE_MEMORY = 4 * 2**30
"""Bytes of intermediate tensors up to which ``tile=None`` runs a picture in one piece."""

GLOBAL_HALO = 32
"""Input pixels read around each tile of a network that sees the whole picture, where no halo would be enough."""

_CUBIC_HALO = 2  # of the kernel that enlarges transparency, and colour beside a network for grey
_LUMA = (0.299, 0.587, 0.114)

_Image = TypeVar("_Image", Image.Image, NDArray[Any], Tensor)


@overload
def restore(
    model: Restorer,
    image: _Image,
    *,
    scale: int | None = None,
    tile: int | Literal["auto"] | None = None,
    self_ensemble: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    progress: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> _Image: ...
@overload
def restore(
    model: Restorer,
    image: str | PathLike[str],
    *,
    scale: int | None = None,
    tile: int | Literal["auto"] | None = None,
    self_ensemble: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    progress: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Image.Image | NDArray[Any]: ...
def restore(
    model: Restorer,
    image: str | PathLike[str] | Image.Image | NDArray[Any] | Tensor,
    *,
    scale: int | None = None,
    tile: int | Literal["auto"] | None = None,
    self_ensemble: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    progress: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Any:
    """Restore a picture and give it back as what it was.

    Grey pictures are restored as colour with equal channels and come back grey. A network of one channel restores the
    luma (BT.601) of a colour picture, whose chroma is enlarged with a cubic kernel, as the papers of such networks do.
    Transparency is enlarged by itself, with the same kernel. Palette pictures are restored in colour and given a new
    palette of 256 colours. 16 bits per channel stay 16 bits.

    Args:
        model: Network from this library. It is left as it is: mode, device and dtype. One that is in training mode is
            switched to evaluation for the call, so call ``model.eval()`` before sharing it among threads.
        image: A picture file, a Pillow picture, an array (H, W) or (H, W, C), or a tensor (C, H, W) or (N, C, H, W),
            with 1 to 4 channels; integers or floats in [0, 1].
        scale: Factor of a multi-scale network.
        tile: Side of tiles in input pixels; "auto" picks it from a memory budget. None does what is quickest: tiles
            whose tensors stay in cache, or one piece up to ``WHOLE_MEMORY`` bytes where their halo would cost more than
            that brings. Tiles do not change the result, up to rounding.
            Only a network that sees the whole picture (``receptive_radius`` None) cannot be tiled without a change: it
            runs in one piece, up to ``WHOLE_MEMORY`` bytes, unless ``tile`` is a number, and then each tile sees itself
            and ``GLOBAL_HALO`` pixels around it.
        self_ensemble: Average over the 8 flips and rotations; 8 times the work.
        device: Where to compute; the network's own device if None. The picture and the result stay where they are.
        dtype: Floating-point type to compute in; the network's own if None.
        progress: Show a bar over the tiles.
        max_pixels: Most pixels accepted from a file.

    Returns:
        The picture, ``scale`` times as large. From Pillow a Pillow picture of the same mode with its colour profile and
        EXIF ("1" becomes "L", "PA" becomes "P", "I;16B" becomes "I;16"; a transparent colour becomes alpha); from an
        array or tensor one of the same dtype and rank; from a file an upright Pillow picture with its colour profile,
        or a uint16 array if it has 16 bits per channel. Integers are clamped and rounded, floats are not clamped.

    Raises:
        TypeError: ``model`` is no network of this library, or ``image`` no picture.
        ValueError: A wrong shape, an unreadable file, a kind of picture that is not accepted (CMYK, animations), a
            number of channels that the network does not take, or a scale that it does not hold; or a picture too large
            for a network that sees the whole of it, and no ``tile``.
        FloatingPointError: The output is not finite and the result would be integers, which cannot show it.

    Example:
        >>> import restorekit, skimage.data
        >>> photo = Image.fromarray(skimage.data.chelsea()[:20, :30])
        >>> restore(restorekit.models.carn_m(scale=2, channels=8), photo).size
        (60, 40)
    """
    check_restorer(model).pick_scale(scale)
    picture = open_picture(image, max_pixels)
    planes = picture.planes
    job = plan(model, planes, scale=scale, tile=tile, self_ensemble=self_ensemble, device=device, dtype=dtype)
    out = picture.empty_result(job.scale)
    colours, halo = job.colours, job.halo
    with evaluating(job.net):
        for (pictures, rows, columns), part in restored_tiles(
            job.net, planes[:, :colours], scale=job.scale, tile=job.tile, halo=halo, run=job.run, progress=progress
        ):
            put(out[pictures, :colours, rows, columns], part)
        for row in job.rows(planes.shape[-2]) if picture.has_alpha else []:
            put(out[:, colours:, row.outer(job.scale)], job.transparency(planes[:, colours:, row.read], row))
    return picture.finish(out)


@dataclass(frozen=True)
class Job:
    """How pictures of one size and kind are restored, wherever they come from and go to."""

    net: Restorer
    scale: int
    colours: int  # channels without transparency
    tile: int | None
    halo: int
    run: Callable[[Tensor], Tensor]  # one tile of the colours, as it is stored, to floats

    def rows(self, height: int) -> list[Span]:
        """The tiles along the height."""
        return spans(height, self.tile, self.halo, self.net.size_multiple)

    def transparency(self, band: Tensor, row: Span) -> Tensor:
        """Transparency (N, 1, rows that are read, W) enlarged by itself, without its halo."""
        return resize(to_float(band), self.scale)[..., row.inner(self.scale), :]


def plan(
    model: Restorer,
    planes: Tensor,
    *,
    scale: int | None,
    tile: int | Literal["auto"] | None,
    self_ensemble: bool,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
) -> Job:
    """Decide how planes (N, C, H, W), of which only the shape is looked at, are restored."""
    factor = model.pick_scale(scale)
    channels = planes.shape[1]
    has_alpha = channels in {2, 4}
    colours = channels - has_alpha
    if colours != model.in_channels and {colours, model.in_channels} != {1, 3}:
        alpha = " and transparency" if has_alpha else ""
        raise ValueError(f"{title(model)} takes {model.in_channels} channels, the picture has {colours}{alpha}")
    pixels = planes.shape[0] * planes.shape[-2] * planes.shape[-1] * (8 if self_ensemble else 1)
    net = ready(model, factor, device, dtype, pixels=pixels)
    side = _resolve_tile(model, net, planes, factor, tile)
    halo = _halo(net, with_cubic=has_alpha or colours > net.in_channels) if side else 0
    run = _runner(net, factor, colours, average if self_ensemble else None)
    return Job(net, factor, colours, side, halo, run)


def _resolve_tile(
    model: Restorer, net: Restorer, x: Tensor, scale: int, tile: int | Literal["auto"] | None
) -> int | None:
    """The side of the tiles for ``net``, which is what runs in the place of ``model``."""
    pixels = x.shape[-2] * x.shape[-1]
    if tile is not None:
        check_tile(tile)
    if isinstance(tile, int):
        return tile
    # The dry run of ``model`` is known from earlier calls; ``net`` is new at each.
    if memory_per_pixel(model, scale) * pixels <= min(MAPPED_BYTES, WHOLE_MEMORY) or net.whole_pixels is not None:
        return None
    if net.receptive_radius is not None:
        return resolve_tile(net, x, scale, "auto") if tile else quickest_tile(net, x, scale, WHOLE_MEMORY)
    needed = memory_per_pixel(net, scale) * pixels
    if needed <= WHOLE_MEMORY:
        return None
    raise ValueError(
        f"{title(model)} sees the whole picture, which takes about {needed / 2**30:.0f} GiB at this size; "
        f"tile=512 restores overlapping parts instead, each by what it sees itself; tile={max(x.shape[-2:])} takes "
        "the picture whole all the same"
    )


def _halo(net: Restorer, *, with_cubic: bool) -> int:
    radius = net.receptive_radius
    halo = GLOBAL_HALO if radius is None else radius
    return max(halo, _CUBIC_HALO) if with_cubic else halo


def _runner(
    net: Restorer, scale: int, colours: int, ensemble: Callable[..., Tensor] | None
) -> Callable[[Tensor], Tensor]:
    """Restore one tile of any dtype and place, as floats where the network is."""
    device, dtype = home(net)
    luma = torch.tensor(_LUMA, device=device, dtype=dtype).view(1, 3, 1, 1)

    def forward(x: Tensor) -> Tensor:
        restored: Tensor = net(fitted(x, net), scale=scale)
        return restored

    def run_channels(x: Tensor) -> Tensor:
        x = x.to(dtype)
        return ensemble(forward, x) if ensemble else forward(x)

    def run(tile: Tensor) -> Tensor:
        x = net.pad(to_float(tile).to(device))  # tiles lie on its grid; flips must see it too
        if colours < net.in_channels:
            return (run_channels(x.expand(-1, net.in_channels, -1, -1)) * luma).sum(dim=1, keepdim=True)
        if colours == net.in_channels:
            return run_channels(x)
        x = x.to(torch.promote_types(x.dtype, torch.float32))  # a network in bfloat16 need not coarsen the colour
        ycbcr = rgb_to_ycbcr(x)
        return ycbcr_to_rgb(torch.cat([run_channels(ycbcr[:, :1]).to(x), resize(ycbcr[:, 1:], scale)], dim=1))

    return run
