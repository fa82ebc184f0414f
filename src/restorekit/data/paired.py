"""Degraded and clean pictures of two folders, paired by name."""

import os
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor
from torch.utils.data import Dataset

from restorekit._check import check_integer
from restorekit.data._pictures import Array, Source, check_pair_sizes, read_rgb
from restorekit.data._unreadable import Unreadable, file_size
from restorekit.data.folder import ImageFolder
from restorekit.image.convert import to_tensor
from restorekit.image.files import MAX_PIXELS

Size = tuple[int, int]


class PairedFolder(Dataset[tuple[Tensor, Tensor]], Source):
    """Degraded and clean pictures of two folders, paired by name.

    Items are (lq, hq), float32 (3, h, w) and (3, scale * h, scale * w). Partners have the same name up to the suffix;
    ``0001_0``, as ``write_degraded`` calls the first version of ``0001``, is also its partner, and with ``scale`` given
    ``0001x4`` is. Sizes are checked from the file headers at once.

    Args:
        lq_root: Folder of degraded pictures.
        hq_root: Folder of clean pictures.
        scale: How many times larger the clean ones are; 1 for equal sizes. Given, a clean picture may be up to
            scale - 1 pixels larger at the bottom and right, which are cut off, as in the published Set14. None finds
            the factor, which must then fit all pairs exactly.
        max_pixels: Most pixels accepted in one picture.
        strict: Refuse a file whose header cannot be read; else its pair is left out, with a warning that counts them.
            Scores should rest on all pictures, training can do without some.

    Attributes:
        paths: The files (lq, hq), sorted by the name of the clean one.
        sizes: Height and width of each degraded picture.
        scale: The factor, given or found.

    Raises:
        NotADirectoryError: A root is no folder.
        ValueError: A picture without a partner, two of one name, or sizes that do not belong together.

    Example:
        >>> import tempfile, numpy as np, restorekit
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     restorekit.image.write_image(f"{folder}/1.png", np.zeros((4, 6), np.uint8))
        ...     PairedFolder(folder, folder).scale
        1
    """

    def __init__(
        self,
        lq_root: str | os.PathLike[str],
        hq_root: str | os.PathLike[str],
        *,
        scale: int | None = None,
        max_pixels: int = MAX_PIXELS,
        strict: bool = True,
    ) -> None:
        if scale is not None:
            check_integer(scale, "scale", 1)
        self.max_pixels = max_pixels
        lq, hq = (_by_stem(ImageFolder(root, max_pixels=max_pixels)) for root in (lq_root, hq_root))
        partners = _partners(lq, hq, ("_0",) if scale is None else (f"x{scale}", "_0"))
        self.paths, sizes = self._sized(partners, strict)
        self.sizes = tuple(lq_size for lq_size, _ in sizes)
        self.scale: int = max(1, sizes[0][1][0] // sizes[0][0][0]) if scale is None else scale
        for paths, (lq_size, hq_size) in zip(self.paths, sizes, strict=True):
            check_pair_sizes(f"{paths[0]} and {paths[1]}", lq_size, hq_size, self.scale, crop=scale is not None)

    def _sized(
        self, pairs: Sequence[tuple[Path, Path]], strict: bool
    ) -> tuple[tuple[tuple[Path, Path], ...], list[tuple[Size, Size]]]:
        """The pairs whose headers can be read, and their sizes."""

        def sizes(index: int) -> tuple[Size, Size]:
            lq, hq = pairs[index]
            return file_size(lq, self.max_pixels), file_size(hq, self.max_pixels)

        unreadable = Unreadable(len(pairs), strict=strict, what="pairs")
        read = [(pair, unreadable.attempt(index, sizes)) for index, pair in enumerate(pairs)]
        found = [(pair, size) for pair, size in read if size is not None]
        return tuple(pair for pair, _ in found), [size for _, size in found]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        lq, hq = self.read(index)
        return to_tensor(lq)[0], to_tensor(hq)[0]

    def read(self, index: int) -> tuple[Array, Array]:
        """Pair ``index`` as arrays (h, w, 3) and (scale * h, scale * w, 3), uint8 or uint16."""
        lq, hq = (read_rgb(path, self.max_pixels) for path in self.paths[index])
        return lq, hq[: self.scale * lq.shape[0], : self.scale * lq.shape[1]]

    def name(self, index: int) -> str:
        """Path of the degraded picture of pair ``index``."""
        return str(self.paths[index][0])

    def files(self) -> tuple[Path, ...]:
        """All files, pair by pair."""
        return tuple(path for pair in self.paths for path in pair)


def _by_stem(folder: ImageFolder) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in folder.paths:
        if path.stem in found:
            raise ValueError(f"{found[path.stem]} and {path} have the same name; partners are found by name, keep one")
        found[path.stem] = path
    return found


def _partners(lq: dict[str, Path], hq: dict[str, Path], endings: tuple[str, ...]) -> tuple[tuple[Path, Path], ...]:
    free = lq.keys() - hq.keys()
    names = {stem: stem for stem in hq}
    for stem in hq.keys() - lq.keys():
        names[stem] = next((stem + ending for ending in endings if stem + ending in free), stem)
    alone = [hq[stem] for stem in hq if names[stem] not in lq]
    alone += [lq[stem] for stem in sorted(lq.keys() - set(names.values()))]
    if alone:
        shown = ", ".join(map(str, alone[:5])) + (f" and {len(alone) - 5} more" if len(alone) > 5 else "")
        raise ValueError(f"every picture needs a partner of the same name, without one: {shown}")
    return tuple((lq[names[stem]], hq[stem]) for stem in hq)
