"""Every picture of a folder restored to another, in a way that can stop anywhere and go on."""

import warnings
from contextlib import closing
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Literal, final

import torch
from tqdm import tqdm

from restorekit._check import check_integer
from restorekit.image import MAX_PIXELS
from restorekit.inference._folder_plan import Job, groups, own_share, plan, sweep
from restorekit.inference._folder_run import FolderRun, prepared
from restorekit.inference._overlap import overlapped
from restorekit.inference._running import check_restorer
from restorekit.inference.tiled import check_tile
from restorekit.models import Restorer

_EXISTING = ("skip", "overwrite", "error")
_NAMED = 5  # failures that the warning names


@final
@dataclass(frozen=True)
class FolderResult:
    """What became of the pictures of a folder, or of this process's share of them.

    Args:
        restored: The files that were written, in the order of their sources.
        skipped: The files that were there already and were left alone.
        failed: Source file of each picture that could not be restored, and why.

    Example:
        >>> result = FolderResult((Path("out/a.png"),), (), {Path("in/b.png"): "the file is empty"})
        >>> len(result.restored), len(result.failed)
        (1, 1)
    """

    restored: tuple[Path, ...]
    skipped: tuple[Path, ...]
    failed: dict[Path, str] = field(hash=False)


def restore_folder(
    model: Restorer,
    source: str | PathLike[str],
    destination: str | PathLike[str],
    *,
    suffix: str | None = ".png",
    existing: Literal["skip", "overwrite", "error"] = "skip",
    strict: bool = False,
    scale: int | None = None,
    tile: int | Literal["auto"] | None = None,
    self_ensemble: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    max_pixels: int = MAX_PIXELS,
    share: tuple[int, int] | None = None,
    workers: int = 1,
    progress: bool = True,
) -> FolderResult:
    """Restore the pictures of a folder and of all folders in it into another, with the same names below it.

    The files hold what ``restore`` makes of each picture, with its colour profile; the largest are made by
    ``restore_file``, in its bounded memory. Files are complete or not there at all, so a second call goes on where the
    first one stopped, by Ctrl-C, an error or a killed process. Each process of ``accelerate launch`` or ``torchrun``
    takes its share of the pictures, without waiting for the others. The next pictures are read and the last ones
    written while one is computed, and small pictures of one size are computed together, which rarely moves a value by
    one level of 8 bits.

    Args:
        model: Network from this library. It is left as it is.
        source: Folder of pictures. Hidden files and folders, and files without a picture suffix, are passed over.
        destination: Folder to fill, made if missing.
        suffix: What the names of the results end in, which decides their format, see ``write_image``. None keeps
            the names of PNG, TIFF, WebP, BMP, PGM and PPM files, whose formats are written without loss, and turns
            all others into .png.
        existing: What to do with pictures whose result is there already: "skip" them, "overwrite" the results, or stop
            with an "error" before anything is computed.
        strict: Stop at the first picture that cannot be restored, instead of leaving it out with a warning at the end.
        scale: Factor of a multi-scale network.
        tile: Side of tiles in input pixels, "auto" or None, as in ``restore``.
        self_ensemble: Average over the 8 flips and rotations; 8 times the work.
        device: Where to compute; the network's own device if None.
        dtype: Floating-point type to compute in; the network's own if None.
        max_pixels: Most pixels accepted from a file.
        share: Which part of the pictures to take, as (number from 0, number of parts): every so-manieth of the sorted
            names. None takes the rank and number of the processes that were launched together, so give (0, 1) where
            only one of them calls.
        workers: Threads that read pictures, and as many that write them. More than 1 pay where a GPU waits for files to
            be packed; as many more pictures are held in memory.
        progress: Show a bar over the pictures; of several processes only the first shows its own.

    Returns:
        What was written, what was there already, and what failed, in this process.

    Raises:
        TypeError: ``model`` is no network of this library.
        NotADirectoryError: ``source`` is no folder, or ``destination`` is a file.
        FileExistsError: A result is there already, with ``existing="error"``.
        ValueError: No picture in ``source``; ``destination`` is the same folder or lies in it; two pictures whose
            results would have the same name; a wrong option; with ``strict``, a picture that cannot be restored.
        OSError: The results cannot be written: a full disk, or no permission.

    Example:
        >>> import restorekit, skimage.data, tempfile
        >>> with tempfile.TemporaryDirectory() as small, tempfile.TemporaryDirectory() as large:
        ...     restorekit.image.write_image(f"{small}/cat.jpg", skimage.data.chelsea()[:20, :30])
        ...     len(restore_folder(restorekit.models.carn_m(2, channels=8), small, large, progress=False).restored)
        1
    """
    check_restorer(model).pick_scale(scale)
    check_integer(max_pixels, "max_pixels", 1)
    check_integer(workers, "workers", 1)
    if tile is not None:
        check_tile(tile)
    rank, world = own_share(share)
    jobs = plan(Path(source), Path(destination), suffix, max_pixels)[rank::world]
    done = _done(jobs, existing)
    waiting = [job for job in jobs if job not in done]
    run = prepared(
        model, scale=scale, tile=tile, self_ensemble=self_ensemble, device=device, dtype=dtype, max_pixels=max_pixels,
        strict=strict,
    )  # fmt: skip
    bar = tqdm(total=len(jobs), initial=len(done), desc="restore", unit="picture", disable=not progress or rank > 0)
    with bar:
        failed = _failures(run, waiting, workers, bar)
    return _result(waiting, done, failed)


def _done(jobs: list[Job], existing: str) -> dict[Job, None]:
    """The pictures to be passed over, in order."""
    if existing not in _EXISTING:
        raise ValueError(f"existing must be one of {', '.join(_EXISTING)}, got {existing!r}")
    there = dict.fromkeys(job for job in jobs if existing != "overwrite" and job.target.is_file())
    if there and existing == "error":
        raise FileExistsError(
            f"{next(iter(there)).target} exists ({len(there)} such files in all); existing='skip' goes on with the "
            "others, existing='overwrite' replaces them"
        )
    return there


def _failures(run: FolderRun, jobs: list[Job], workers: int, bar: Any) -> dict[Path, str]:
    """Restore the pictures; say of those that could not be why."""
    sweep(jobs)
    batches = groups(jobs, run.together, run.max_pixels)
    failed: dict[Path, str] = {}
    with closing(overlapped(batches, run.read, run.compute, run.write, workers=workers)) as outcomes:
        for outcome in outcomes:
            failed.update({job.source: reason for job, reason in outcome if reason})
            bar.update(len(outcome))
    return failed


def _result(waiting: list[Job], done: dict[Job, None], failed: dict[Path, str]) -> FolderResult:
    bad = [job.source for job in waiting if job.source in failed]
    if bad:
        named = "; ".join(f"{path} ({failed[path]})" for path in bad[:_NAMED])
        more = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        warnings.warn(
            f"{len(bad)} of {len(waiting)} pictures could not be restored and were left out: {named}{more}",
            stacklevel=3,
        )
    return FolderResult(
        restored=tuple(job.target for job in waiting if job.source not in failed),
        skipped=tuple(job.target for job in done),
        failed={path: failed[path] for path in bad},
    )
