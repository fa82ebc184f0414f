"""Read what ``write_degraded`` wrote."""

import hashlib
import os
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from restorekit._check import check_integer
from restorekit.data import _manifest
from restorekit.data._pictures import Array, Source, check_index, check_pair_sizes, read_rgb
from restorekit.data.degraded import LabelledPair
from restorekit.image.convert import to_tensor
from restorekit.image.files import MAX_PIXELS


class DegradedSet(Dataset[tuple[Any, ...]], Source):
    """The degraded pictures of a folder that ``write_degraded`` made, with the clean ones they were made of.

    Items are (lq, hq), float32 (3, h, w) and (3, scale * h, scale * w), or (lq, hq, recipe), in the order of writing.
    With recipes, batches need ``collate_fn=collate_labels``.

    Args:
        root: Folder that ``write_degraded`` filled.
        hq_root: Folder of the clean pictures; ``root``/hq if None, where they are if they were copied.
        labels: Return the recipe of each picture too.
        verify: Compare all files with the hashes of the list first, as ``verify()`` does, without a progress bar.
        max_pixels: Most pixels accepted in one picture.

    Attributes:
        header: What the set was made with: count, variants, seed, crop, scale, composition.
        scale: How many times larger hq is.

    Raises:
        FileNotFoundError: ``root`` holds no list of pictures, or files that the list names are missing.
        ValueError: The list is damaged (the line is named) or not finished, or a file is another one than was written.

    Example:
        >>> import tempfile, numpy as np, restorekit
        >>> with tempfile.TemporaryDirectory() as f:
        ...     restorekit.image.write_image(f"{f}/a.png", np.zeros((4, 6), np.uint8))
        ...     restorekit.data.write_degraded(f, lambda x, **_: (x, {}), f"{f}/set", progress=False)[0][0].shape
        torch.Size([3, 4, 6])
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        hq_root: str | os.PathLike[str] | None = None,
        labels: bool = False,
        verify: bool = False,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        check_integer(max_pixels, "max_pixels", 1)
        self.root, self.labels, self.max_pixels = Path(root), labels, max_pixels
        self.hq_root = self.root / "hq" if hq_root is None else Path(hq_root)
        if not self._list.is_file():
            raise FileNotFoundError(f"{self._list} does not exist; write_degraded makes it")
        self._lines = _manifest.read_lines(self._list)
        self.header = _manifest.header(self._lines, self._list)
        self.scale: int = self.header.scale
        self._check_list()
        if verify:
            self.verify(progress=False)

    @property
    def _list(self) -> Path:
        return self.root / _manifest.NAME

    def _check_list(self) -> None:
        done, count = len(self._lines) - 1, self.header.count
        if done < count:
            raise ValueError(
                f"{self.root} holds {done} of {count} pictures; call write_degraded again with the same arguments"
            )
        if done > count:
            raise ValueError(f"{self._list}, line {count + 2}: more lines than the {count} that the header promises")
        paths = dict.fromkeys(path for index in range(count) for path in self._paths(index))
        missing = [str(path) for path in paths if not path.is_file()]
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            hint = "" if self.header.copy_hq else "; hq_root= must name the folder of the clean pictures"
            raise FileNotFoundError(f"files of the set are missing: {', '.join(missing[:5])}{more}{hint}")

    def _entry(self, index: int) -> _manifest.Entry:
        return _manifest.entry(self._lines, index, self._list)

    def _paths(self, index: int) -> tuple[Path, Path]:
        entry = self._entry(index)
        return self.root / "lq" / entry.lq, self.hq_root / entry.hq

    def __len__(self) -> int:
        return self.header.count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor] | LabelledPair:
        lq, hq = (to_tensor(x)[0] for x in self.read(index))
        return (lq, hq, self.recipe(index)) if self.labels else (lq, hq)

    def read(self, index: int) -> tuple[Array, Array]:
        """Pair ``index`` as arrays (h, w, 3), uint8, and (scale * h, scale * w, 3), uint8 or uint16."""
        lq, hq = (read_rgb(path, self.max_pixels) for path in self._paths(check_index(index, len(self))))
        check_pair_sizes(self.name(index), lq.shape[:2], hq.shape[:2], self.scale, crop=True)
        return lq, hq[: self.scale * lq.shape[0], : self.scale * lq.shape[1]]

    def recipe(self, index: int) -> dict[str, Any]:
        """What was done to picture ``index``."""
        return self._entry(check_index(index, len(self))).recipe

    def name(self, index: int) -> str:
        """Path of the degraded picture ``index``."""
        return str(self._paths(check_index(index, len(self)))[0])

    def files(self) -> tuple[Path, ...]:
        """All pictures, pair by pair."""
        return tuple(path for index in range(len(self)) for path in self._paths(index))

    def verify(self, *, progress: bool = True) -> None:
        """Compare every file with its hash in the list.

        Args:
            progress: Show a progress bar.

        Raises:
            ValueError: Files that are others than those written, or than those that were degraded.
        """
        expected: dict[Path, str] = {}
        for index in range(len(self)):
            entry = self._entry(index)
            expected.update(zip(self._paths(index), (entry.lq_sha256, entry.hq_sha256), strict=True))
        bar = tqdm(expected.items(), desc="verify", unit="file", disable=not progress)
        changed = [str(path) for path, digest in bar if file_sha256(path) != digest]
        if changed:
            more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
            raise ValueError(f"files of the set have changed since it was written: {', '.join(changed[:5])}{more}")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
