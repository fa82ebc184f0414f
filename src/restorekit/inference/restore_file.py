"""Restoring a picture from file to file, however large it is."""

from collections.abc import Callable
from contextlib import closing
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from restorekit.image import MAX_PIXELS
from restorekit.image.convert import array_planes
from restorekit.image.rows import RowReader, create_rows, open_rows
from restorekit.inference._overlap import overlapped
from restorekit.inference._pictures import put
from restorekit.inference._running import check_restorer, evaluating
from restorekit.inference.restore import Job, plan
from restorekit.inference.tiled import Span, restored_tile, spans
from restorekit.models import Restorer


def restore_file(
    model: Restorer,
    source: str | PathLike[str],
    destination: str | PathLike[str],
    *,
    scale: int | None = None,
    tile: int | Literal["auto"] | None = "auto",
    self_ensemble: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    progress: bool = False,
    max_pixels: int = MAX_PIXELS,
    overwrite: bool = False,
) -> None:
    """Restore a picture file into another file, of which only a band as high as a tile is in memory at any time.

    From PNG or TIFF to PNG or TIFF, the memory needed grows with the width of the picture and not with its height. The
    pixels are those of ``restore`` with the same ``tile``, except that a palette picture comes out in full colour. The
    next band is read, and the last one compressed and written, while the network runs.

    Other formats are read whole (as are interlaced PNG, TIFF with JPEG inside and pictures that EXIF turns), and
    written from a result that is kept whole, up to ``image.rows.WHOLE_BYTES``.

    Args:
        model: Network from this library, left as it is; see ``restore``.
        source: A picture file, as for ``image.read_image``.
        destination: Another file, ending in .png, .tif or .tiff for a large picture, or in any suffix that
            ``image.write_image`` knows. It appears complete or not at all. The colour profile is kept.
        scale: Factor of a multi-scale network.
        tile: Side of tiles in input pixels, and height of the bands; "auto" picks it from a memory budget, None runs
            the picture in one piece if that takes little enough memory; see ``restore``.
        self_ensemble: Average over the 8 flips and rotations; 8 times the work.
        device: Where to compute; the network's own device if None.
        dtype: Floating-point type to compute in; the network's own if None.
        progress: Show a bar over the tiles.
        max_pixels: Most pixels accepted from ``source``; raise it for a large file that you trust.
        overwrite: Replace a file that is there already.

    Raises:
        TypeError: ``model`` is no network of this library.
        FileExistsError: ``destination`` exists, and ``overwrite`` was not given.
        IsADirectoryError: ``destination`` is a folder.
        FileNotFoundError: No such source, or no folder for the destination.
        ValueError: ``destination`` is the source; a suffix or kind of picture that cannot be written; a file that is
            damaged or not accepted; or what ``restore`` refuses, a large picture for a network that sees the whole of
            it among it.
        FloatingPointError: The output is not finite.
        OSError: The destination cannot be written: a full disk, or no permission.

    Example:
        >>> import restorekit, skimage.data, tempfile
        >>> net, photo = restorekit.models.carn_m(2, channels=8), Path(skimage.data.__file__).parent / "chelsea.png"
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     restore_file(net, photo, f"{folder}/large.png", scale=2)
    """
    check_restorer(model).pick_scale(scale)
    _check_paths(source, destination, overwrite)
    with open_rows(source, max_pixels=max_pixels) as picture:
        height, width, channels = picture.shape
        planes = torch.empty(1, channels, height, width, device="meta")
        job = plan(model, planes, scale=scale, tile=tile, self_ensemble=self_ensemble, device=device, dtype=dtype)
        shape = (height * job.scale, width * job.scale, channels)
        with create_rows(destination, shape, picture.dtype, profile=picture.profile) as write, evaluating(job.net):
            _restore_rows(job, picture, write, progress)


def _check_paths(source: str | PathLike[str], destination: str | PathLike[str], overwrite: bool) -> None:
    if Path(destination).is_dir():
        raise IsADirectoryError(f"{destination} is a folder; name a file in it")
    if Path(source).exists() and Path(destination).exists() and Path(source).samefile(destination):
        raise ValueError(f"{destination} is the source itself; name another file")
    if not overwrite and Path(destination).exists():
        raise FileExistsError(f"{destination} exists; overwrite=True replaces it")


def _restore_rows(job: Job, picture: RowReader, write: Callable[[NDArray[Any]], None], progress: bool) -> None:
    """Restore a picture from top to bottom, reading the next band and writing the last one in the meantime."""
    height, width, _ = picture.shape
    rows, columns = job.rows(height), spans(width, job.tile, job.halo, job.net.size_multiple)
    bar = tqdm(total=len(rows) * len(columns), desc="restore", unit="tile", disable=not progress)

    def compute(band: tuple[Span, NDArray[Any]]) -> NDArray[Any]:
        row, pixels = band
        return _restored_band(job, array_planes(pixels)[None], row, columns, bar)

    with bar, closing(overlapped(iter(rows), _Bands(picture).read, compute, write, workers=1)) as written:
        for _ in written:
            pass


class _Bands:
    """The rows of a picture that each band reads, of which the last ones are the first ones of the next."""

    def __init__(self, picture: RowReader) -> None:
        self._picture, self._top = picture, 0
        self._pixels: NDArray[Any] = np.empty((0, *picture.shape[1:]), picture.dtype)

    def read(self, row: Span) -> tuple[Span, NDArray[Any]]:
        known = self._pixels[row.read_start - self._top :]
        coming = self._picture.read(row.read_stop - row.read_start - len(known))
        self._pixels, self._top = np.concatenate([known, coming]), row.read_start
        return row, self._pixels


def _restored_band(job: Job, planes: Tensor, row: Span, columns: list[Span], bar: Any) -> NDArray[Any]:
    scale, colours = job.scale, job.colours
    height, width = (row.stop - row.start) * scale, columns[-1].stop * scale
    band = torch.empty(height, width, planes.shape[1], dtype=planes.dtype)
    out = band.permute(2, 0, 1)[None]
    for column in columns:
        part = restored_tile(job.run, planes[:, :colours], row, column, scale)
        put(out[:, :colours, :, column.outer(scale)], part)
        bar.update()
    if colours < planes.shape[1]:
        put(out[:, colours:], job.transparency(planes[:, colours:], row))
    array: NDArray[Any] = band.numpy()
    return array
