"""Which picture of a folder becomes which file of another, which are this process's, and which go together."""

import os
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch.distributed as dist

from restorekit._check import check_integer
from restorekit.data import ImageFolder
from restorekit.image import picture_size
from restorekit.image.files import WRITTEN
from restorekit.image.reading import picture_header

_LOSSY = (".jpg", ".jpeg")
_WINDOW = 256  # files whose headers are read before the first of them is restored
_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.\w+")  # what atomic_path leaves behind when its process is killed
_ABANDONED = 3600  # seconds after which such a file is nobody's any more: another process may be writing


@dataclass(frozen=True)
class Job:
    """One picture and the file that it becomes."""

    source: Path
    target: Path


def plan(source: Path, destination: Path, suffix: str | None, max_pixels: int) -> list[Job]:
    """All pictures in and below ``source``, sorted, with the same places below ``destination``."""
    if suffix is not None and suffix.lower() not in WRITTEN:
        raise ValueError(f"suffix must be None or one of {', '.join(WRITTEN)}, got {suffix!r}")
    if destination.exists() and not destination.is_dir():
        raise NotADirectoryError(f"{destination} is a file; name a folder for the restored pictures")
    pictures = ImageFolder(source, recursive=True, max_pixels=max_pixels)
    inside, outside = source.resolve(), destination.resolve()
    if outside.is_relative_to(inside):
        which = "is the folder that is read" if outside == inside else f"lies inside {source}, which is read with it"
        raise ValueError(f"{destination} {which}; name another folder for the restored pictures")
    jobs = [Job(path, destination / _renamed(path.relative_to(source), suffix)) for path in pictures.paths]
    taken: dict[str, Path] = {}
    for job in jobs:
        place = job.target.relative_to(destination)
        if (outside / place).is_relative_to(inside):
            raise ValueError(f"{job.target} would lie inside {source}, which is read; name another destination")
        other = taken.setdefault(place.as_posix().casefold(), job.source)  # many file systems take A for a
        if other is not job.source:
            raise ValueError(f"{other} and {job.source} would both become {job.target}; rename one")
    return jobs


def _renamed(path: Path, suffix: str | None) -> Path:
    if suffix is not None:
        return path.with_suffix(suffix)
    known = path.suffix.lower()
    return path if known in WRITTEN and known not in _LOSSY else path.with_suffix(".png")


def own_share(share: tuple[int, int] | None) -> tuple[int, int]:
    """Number of this process and how many there are: as given, as torch knows, or as a launcher left them."""
    if share is None and dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    if share is None:
        launched = int(os.environ.get("WORLD_SIZE", "1"))
        if launched > 1 and "RANK" not in os.environ:
            raise ValueError(f"WORLD_SIZE is {launched} in the environment, but there is no RANK; give share=(0, 1)")
        share = int(os.environ.get("RANK", "0")), launched
    if len(share) != 2:
        raise ValueError(f"share must be None or two numbers (which, of how many), got {share!r}")
    check_integer(share[0], "share[0]", 0)
    check_integer(share[1], "share[1]", 1)
    if share[0] >= share[1]:
        raise ValueError(f"share must count from 0, got {share[0]} of {share[1]}")
    return share


def sweep(jobs: Sequence[Job]) -> None:
    """Remove what killed processes left behind where these pictures go."""
    for folder in {job.target.parent for job in jobs}:
        for path in folder.iterdir() if folder.is_dir() else ():
            if _TEMPORARY.fullmatch(path.name) and time.time() - path.stat().st_mtime > _ABANDONED:
                path.unlink(missing_ok=True)


def groups(jobs: Sequence[Job], room: Callable[[int, int], int], max_pixels: int) -> Iterator[list[Job]]:
    """Pictures to be restored together: neighbours of one size and kind, ``room(height, width)`` at a time."""
    for start in range(0, len(jobs), _WINDOW):
        alike: dict[object, list[Job]] = defaultdict(list)
        for job in jobs[start : start + _WINDOW]:
            alike[_look(job.source, max_pixels)].append(job)
        for look, members in alike.items():
            step = room(*look[0]) if isinstance(look, tuple) else 1
            for first in range(0, len(members), step):
                yield members[first : first + step]


def _look(path: Path, max_pixels: int) -> tuple[tuple[int, int], str] | None:
    """Size and kind, from the header; None if that cannot be read, which decoding will tell better."""
    try:
        return picture_size(path, max_pixels=max_pixels), picture_header(path, max_pixels)[0]
    except (ValueError, OSError):
        return None
