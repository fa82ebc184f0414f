"""Materialise a set of degraded pictures on disk, in a way that can stop anywhere and go on."""

import hashlib
import io
import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from restorekit._check import check_integer
from restorekit._random import seeded
from restorekit.data import _manifest
from restorekit.data._pictures import Array
from restorekit.data._resuming import digest_of_names, file_names, resume, write_whole
from restorekit.data.degraded import Composition, DegradedFolder, LabelledPair, Recipe
from restorekit.data.degraded_set import DegradedSet, file_sha256
from restorekit.data.folder import ImageFolder
from restorekit.image.convert import to_image
from restorekit.image.png16 import write_png16

_LOADER = 2  # keeps the loader's own draws apart


def write_degraded(
    folder: str | os.PathLike[str] | ImageFolder,
    composition: Composition,
    root: str | os.PathLike[str],
    *,
    variants: int = 1,
    seed: int = 0,
    crop: int | None = None,
    scale: int = 1,
    copy_hq: bool = False,
    workers: int = 0,
    progress: bool = True,
) -> DegradedSet:
    """Write degraded versions of every picture of a folder, with a list of what was done to each.

    ``root``/lq gets ``name_k.png`` for version k of picture ``name``, 8 bits, values clamped to [0, 1].
    ``root``/manifest.jsonl starts with a line about the set; then each picture has a line, in order, with the names and
    SHA-256 of lq and hq and its recipe. Pictures are those of ``DegradedFolder`` with the same arguments.

    A second call goes on where the first one stopped, by Ctrl-C, an error or a killed process, and ends with the same
    bytes, whatever the number of workers; a finished set is left alone. One call at a time may write to a ``root``.

    Args:
        folder: Folder of clean pictures, or an ``ImageFolder``. A recursive one gives names like ``sub_name``.
        composition: Function ``c(x, *, generator, return_recipe)``, as for ``DegradedFolder``, with recipes of JSON
            values and the same result in every process. A ``repr`` that says what it does lets a later call notice
            that it is another one.
        root: Folder to fill, made if missing.
        variants: Degraded versions of each picture.
        seed: Of all draws, at least 0.
        crop: Side of the centre that is cut out of each clean picture first.
        scale: How many times smaller the composition makes a picture.
        copy_hq: Write the clean pictures to ``root``/hq too, as RGB PNG files with all their bits. With ``crop`` they
            are written in any case; else the list names the originals and their hashes.
        workers: Data worker processes; 0 works in this one, with one thread.
        progress: Show a progress bar.

    Returns:
        The finished set.

    Raises:
        NotADirectoryError: ``folder`` is no folder.
        TypeError: A recipe holds something that is no JSON value, or the composition returns something else.
        ValueError: Two pictures of one name, a folder ``root``/lq with other files, a set that was begun with other
            arguments (they are named), or a picture smaller than ``crop``.

    Example:
        >>> import tempfile, numpy as np, restorekit
        >>> with tempfile.TemporaryDirectory() as f:
        ...     restorekit.image.write_image(f"{f}/a.png", np.zeros((4, 6), np.uint8))
        ...     len(write_degraded(f, lambda x, **_: (x, {}), f"{f}/set", variants=3, progress=False))
        3

    Source:
        Ahn's thesis, sections 6.3 (Flickr-Distortion, ``crop=300`` for detection) and 7.3 (SHDD, ``variants=12``).
    """
    check_integer(workers, "workers", 0)
    pictures = folder if isinstance(folder, ImageFolder) else ImageFolder(folder)
    pairs = DegradedFolder(
        pictures, composition, seed=seed, variants=variants, crop=crop, scale=scale, labels=True, strict=True
    )
    job = _Job(pairs, pictures, Path(root), copy_hq or crop is not None)
    job.run(workers, progress)
    return DegradedSet(root, hq_root=None if job.copy_hq else pictures.root, max_pixels=pictures.max_pixels)


@dataclass(frozen=True)
class _Job:
    """One set: what goes into it and where it lies."""

    pairs: DegradedFolder
    pictures: ImageFolder
    root: Path
    copy_hq: bool

    @property
    def _list(self) -> Path:
        return self.root / _manifest.NAME

    def run(self, workers: int, progress: bool) -> None:
        """Write what is missing."""
        names, done = file_names(self.pictures), self._resume()
        loader: DataLoader[Any] = DataLoader(
            _Files(self.pairs, self.copy_hq),
            batch_size=None,
            sampler=range(done, len(self.pairs)),
            num_workers=workers,
            collate_fn=_unchanged,
            worker_init_fn=_start_worker,
            generator=seeded(self.pairs.seed, _LOADER),  # without one the loader draws from the global generator
        )
        digest = lru_cache(maxsize=1)(file_sha256)  # the versions of a picture follow each other
        bar = tqdm(total=len(self.pairs), initial=done, desc="degrade", unit="picture", disable=not progress)
        with bar, _one_thread(), self._list.open("ab") as out:
            for index, (lq, hq, recipe) in enumerate(loader, done):
                which, variant = divmod(index, self.pairs.variants)
                name = f"{names[which]}_{variant}.png"
                if hq is not None:
                    write_whole(self.root / "hq" / f"{names[which]}.png", hq)
                write_whole(self.root / "lq" / name, lq)
                clean, path = self._clean(names, which)
                out.write(_line(_manifest.Entry(name, hashlib.sha256(lq).hexdigest(), clean, digest(path), recipe)))
                out.flush()
                bar.update()

    def _resume(self) -> int:
        if self.pictures.recursive and self.root.resolve().is_relative_to(self.pictures.root.resolve()):
            raise ValueError(f"{self.root} lies in the folder that is read with all folders in it; write elsewhere")
        pairs = self.pairs
        header = _manifest.Header(
            count=len(pairs),
            variants=pairs.variants,
            seed=pairs.seed,
            crop=pairs.crop,
            scale=pairs.scale,
            copy_hq=self.copy_hq,
            composition=re.sub(r" at 0x[0-9a-fA-F]+", "", repr(pairs.composition)),  # the same in every run
            pictures=digest_of_names(self.pictures),
        )
        return resume(self.root, header)

    def _clean(self, names: list[str], which: int) -> tuple[str, Path]:
        """Name and path of a clean picture."""
        if self.copy_hq:
            return f"{names[which]}.png", self.root / "hq" / f"{names[which]}.png"
        path = self.pictures.paths[which]
        return path.relative_to(self.pictures.root).as_posix(), path


class _Files(Dataset[tuple[bytes, bytes | None, Recipe]]):
    """Items of a ``DegradedFolder`` as the bytes of their files; hq with the first version only."""

    def __init__(self, pairs: DegradedFolder, copy_hq: bool) -> None:
        self.pairs, self.copy_hq = pairs, copy_hq

    def __getitem__(self, index: int) -> tuple[bytes, bytes | None, Recipe]:
        lq, _, recipe = cast("LabelledPair", self.pairs[index])
        first = index % self.pairs.variants == 0
        hq = _png(self.pairs.clean(index).permute(1, 2, 0).numpy()) if self.copy_hq and first else None
        return _png(to_image(lq, like="uint8")), hq, recipe


def _png(array: Array) -> bytes:
    """The file that ``write_image`` writes, in memory: data workers compress, the main process alone writes."""
    file = io.BytesIO()
    if array.dtype == np.uint16:
        write_png16(file, array)
    else:
        Image.fromarray(array).save(file, format="PNG")
    return file.getvalue()


def _line(entry: _manifest.Entry) -> bytes:
    try:
        return _manifest.to_line(entry)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{entry.lq}: a recipe must hold finite JSON values only ({error})") from None


def _unchanged(item: Any) -> Any:
    return item


def _start_worker(worker: int) -> None:
    """Ctrl-C reaches all processes of a terminal; the main one ends the others, and they end if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A worker that waits to hand over a picture which nobody will take any more would wait for ever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _one_thread() -> Iterator[None]:
    """As in a data worker, so that the same bits come out."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
