"""The three things done to each picture of a folder: read it, restore it, write the result."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor

from restorekit.image import picture_size, write_image
from restorekit.image.files import check_format
from restorekit.inference._folder_plan import Job
from restorekit.inference._pictures import Picture, open_picture
from restorekit.inference._running import ready
from restorekit.inference.restore import restore
from restorekit.inference.restore_file import restore_file
from restorekit.inference.tiled import together
from restorekit.models import Restorer

LARGE_PIXELS = 2**26
"""Pixels of a result beyond which a picture goes by itself: it is neither read ahead nor written behind."""

# What is the fault of one picture; an OSError while writing, as of a full disk, would strike the next one too.
_FAULTS = (ValueError, MemoryError, FloatingPointError, torch.OutOfMemoryError)


@dataclass(frozen=True)
class _Item:
    """A picture on its way: where it comes from, then its pixels, then the result; or why it was given up."""

    job: Job
    picture: Picture | None = None
    result: Tensor | None = None
    reason: str | None = None


@dataclass(frozen=True)
class FolderRun:
    """What to do with the pictures, group by group: ``restore`` takes planes (N, C, H, W), ``stream`` two files.

    ``together`` says how many pictures of a height and width run at once.
    """

    restore: Callable[[Tensor], Tensor]
    stream: Callable[[Path, Path], None]
    together: Callable[[int, int], int]
    scale: int
    max_pixels: int
    strict: bool

    def read(self, jobs: Sequence[Job]) -> list[_Item]:
        """Decode pictures, except those that are too large to lie in memory beside another."""
        return [self._opened(job) for job in jobs]

    def _opened(self, job: Job) -> _Item:
        try:
            height, width = picture_size(job.source, max_pixels=self.max_pixels)
            if height * width * self.scale**2 > LARGE_PIXELS:
                return _Item(job)
            picture = open_picture(job.source, self.max_pixels)
            shape = height * self.scale, width * self.scale, picture.planes.shape[1]
            check_format(job.target, shape, 8 * picture.planes.itemsize)  # before any work goes in
        except (*_FAULTS, OSError) as error:
            return self._given_up(job, error)
        return _Item(job, picture)

    def compute(self, items: Sequence[_Item]) -> list[_Item]:
        """Restore pictures, those of one size and kind together; the largest are written here too."""
        alike: dict[object, list[_Item]] = defaultdict(list)  # headers do not tell all: EXIF may turn a picture
        for item in items:
            alike[item.picture and (item.picture.planes.shape, item.picture.planes.dtype)].append(item)
        large = [self._alone(item) for item in alike.pop(None, [])]
        return large + [item for members in alike.values() for item in self._restored(members)]

    def _alone(self, item: _Item) -> _Item:
        if item.reason is None:
            item.job.target.parent.mkdir(parents=True, exist_ok=True)
            try:
                self.stream(item.job.source, item.job.target)
            except _FAULTS as error:
                return self._given_up(item.job, error)
        return item

    def _restored(self, items: Sequence[_Item]) -> list[_Item]:
        planes = [item.picture.planes for item in items if item.picture]
        try:
            out = self.restore(torch.cat(planes) if len(planes) > 1 else planes[0])
        except _FAULTS as error:
            if len(items) == 1:
                return [self._given_up(items[0].job, error)]
            return [one for item in items for one in self._restored([item])]  # which of them was it?
        return [replace(item, result=out[k : k + 1]) for k, item in enumerate(items)]

    def write(self, items: Sequence[_Item]) -> list[tuple[Job, str | None]]:
        """Encode and write the results; say of each picture why it failed, None if it did not."""
        done = [
            self._saved(item.job, item.picture.finish(item.result))
            if item.picture and item.result is not None
            else item
            for item in items
        ]
        return [(item.job, item.reason) for item in done]

    def _saved(self, job: Job, restored: Any) -> _Item:
        profile = restored.info.get("icc_profile") if isinstance(restored, Image.Image) else None
        job.target.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_image(job.target, restored, icc_profile=profile)
        except _FAULTS as error:
            return self._given_up(job, error)
        return _Item(job)

    def _given_up(self, job: Job, error: Exception) -> _Item:
        reason = str(error).removeprefix(f"{job.source}: ") or type(error).__name__
        if self.strict:
            raise ValueError(f"{job.source}: {reason}") from error
        return _Item(job, reason=reason)


def prepared(
    model: Restorer,
    *,
    scale: int | None,
    tile: int | Literal["auto"] | None,
    self_ensemble: bool,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
    max_pixels: int,
    strict: bool,
) -> FolderRun:
    """Make the network ready once for all pictures."""
    factor = model.pick_scale(scale)
    net = ready(model, factor, device, dtype)
    together(net, factor, 1, 1, tile)  # a dry run of the network, which a thread that reads must not make
    options: dict[str, Any] = {"scale": factor, "tile": tile, "self_ensemble": self_ensemble}
    return FolderRun(
        restore=partial(restore, net, **options),
        stream=partial(restore_file, net, **options, max_pixels=max_pixels, overwrite=True),
        together=lambda height, width: together(net, factor, height, width, tile),
        scale=factor,
        max_pixels=max_pixels,
        strict=strict,
    )
