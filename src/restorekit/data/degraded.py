"""Clean pictures and what a composition of distortions makes of them, on the fly."""

import os
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from restorekit._check import check_integer
from restorekit._random import seeded
from restorekit.data._pictures import Pictures, check_index, cut, picture_name, planes, read_picture
from restorekit.data._unreadable import Unreadable, endless, file_size
from restorekit.data.folder import ImageFolder, as_pictures
from restorekit.image.convert import to_tensor
from restorekit.image.geometry import DIHEDRAL, dihedral

_PLACE, _DEGRADE, _INSTEAD = 0, 1, 2  # keep the kinds of draws of an item apart

Recipe = dict[str, Any]
LabelledPair = tuple[Tensor, Tensor, Recipe]


class Composition(Protocol):
    """Anything that damages a picture, such as ``degrade.shdd("moderate")``."""

    def __call__(
        self, x: Tensor, *, generator: torch.Generator | None = None, return_recipe: bool = False
    ) -> Tensor | tuple[Tensor, Any]:
        """Degrade (1, 3, H, W); with ``return_recipe`` say how, in plain JSON values."""
        ...


class DegradedFolder(Dataset[tuple[Any, ...]]):
    """Clean pictures with degraded versions of them, made anew each time an item is read.

    Items are (lq, hq), float32 (3, h, w) and (3, scale * h, scale * w), or (lq, hq, recipe). Item ``i`` is version
    ``i % variants`` of picture ``i // variants``; it depends on ``seed`` and these two alone, whatever the worker.
    The order is: crop of the centre, random patch, cut to a multiple of ``scale``, degradation; so recipes speak of the
    ``hq`` of the item.

    Each item decodes its picture anew, unless it is that of the item read before. For training on patches put a
    ``CropCache`` in between. ``torch.utils.data.default_collate`` cannot batch recipes: give the ``DataLoader``
    ``collate_fn=collate_labels``.

    Args:
        folder: Folder of clean pictures, an ``ImageFolder``, a ``CropCache`` of single pictures, or a sequence of
            pictures as for ``RandomCropPairs``.
        composition: Function ``c(x, *, generator, return_recipe)`` from (1, 3, H, W) to (1, 3, H / scale, W / scale),
            such as ``degrade.shdd("moderate")``. It must be picklable where data workers are spawned.
        seed: Of all draws, at least 0.
        variants: Degraded versions of each picture, at least 1; for training, as many as steps need.
        crop: Side of the centre that is cut out first, pixels; 300 for the detection sets of Flickr-Distortion. None
            takes whole pictures.
        patch_size: Side of a random patch of lq, pixels; the patch of hq, ``scale`` times larger, is cut out of the
            clean picture and turned into one of its 8 flips and rotations. None takes all of it.
        scale: How many times smaller the composition makes its input.
        labels: Return the recipe of the composition too.
        strict: Refuse a file that cannot be read (damaged, truncated, no picture, too many pixels, alpha), when its
            item is read. Else another picture, drawn from the seed and the index, takes its place, and each process
            warns once of each such file, with the number of them so far.

    Raises:
        NotADirectoryError: ``folder`` is no folder.
        TypeError: ``composition`` is not callable, or returns something else.
        ValueError: No picture, one smaller than ``crop`` or the patch (told at once for an ``ImageFolder``), or a
            composition that makes another size than ``scale`` says.

    Example:
        >>> def darker(x, *, generator=None, return_recipe=False):
        ...     return (x / 2, {"factor": 0.5}) if return_recipe else x / 2
        >>> lq, hq, recipe = DegradedFolder([torch.rand(3, 9, 9)], darker, crop=5, labels=True)[0]
        >>> hq.shape, recipe
        (torch.Size([3, 5, 5]), {'factor': 0.5})

    Source:
        Ahn's thesis, sections 6.3 and 7.3: sets of distorted versions of each reference picture; the 300 x 300 centre.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | Pictures,
        composition: Composition,
        *,
        seed: int = 0,
        variants: int = 1,
        crop: int | None = None,
        patch_size: int | None = None,
        scale: int = 1,
        labels: bool = False,
        strict: bool = False,
    ) -> None:
        if not callable(composition):
            raise TypeError(f"composition must be a function of a tensor, got {type(composition).__name__}")
        sizes = [(name, value, 1) for name, value in (("crop", crop), ("patch_size", patch_size)) if value is not None]
        for name, value, minimum in (*sizes, ("seed", seed, 0), ("variants", variants, 1), ("scale", scale, 1)):
            check_integer(value, name, minimum)
        self.pictures, self.composition = as_pictures(folder), composition
        self.seed, self.variants, self.labels = seed, variants, labels
        self.crop, self.patch_size, self.scale = crop, patch_size, scale
        self._unreadable = Unreadable(len(self.pictures), strict=strict)
        self._check_crop()
        self._last: tuple[int, Tensor] | None = None

    def _check_crop(self) -> None:
        if self.patch_size is not None and self.crop is not None and self.patch_size * self.scale > self.crop:
            raise ValueError(
                f"patch_size={self.patch_size} at scale={self.scale} does not fit into crop={self.crop}; choose a "
                "smaller patch_size"
            )
        if isinstance(self.pictures, ImageFolder) and (self.crop or self.patch_size):
            for index in range(len(self.pictures)):
                self._unreadable.attempt(index, self._check_header)

    def _check_header(self, which: int) -> None:
        if isinstance(self.pictures, ImageFolder):
            path = self.pictures.paths[which]
            self._check_size(str(path), *file_size(path, self.pictures.max_pixels))

    def _check_size(self, name: str, height: int, width: int) -> None:
        for argument, factor in (("crop", 1), ("patch_size", self.scale)):
            side = factor * (getattr(self, argument) or 0)
            if min(height, width) < side:
                raise ValueError(
                    f"{name}: {height} x {width} pixels are fewer than the {side} x {side} that "
                    f"{argument}={getattr(self, argument)} needs; leave the picture out or choose a smaller {argument}"
                )

    def __len__(self) -> int:
        return len(self.pictures) * self.variants

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor] | LabelledPair:
        index = check_index(index, len(self))
        hq = to_tensor(self.clean(index))
        generator = self._seeded(index, _DEGRADE)
        name = picture_name(self.pictures, index // self.variants)
        try:
            with torch.no_grad():
                made = self.composition(hq, generator=generator, return_recipe=self.labels)
        except ValueError as error:  # the picture does not suit it: too small, for one
            raise ValueError(f"{name}: {error}") from error
        lq, recipe = _unpacked(made, self.labels, name)
        if lq.shape != (1, 3, *(side // self.scale for side in hq.shape[2:])):
            raise ValueError(
                f"{name}: the composition made {tuple(lq.shape)} of {tuple(hq.shape)}, which is not "
                f"scale={self.scale}; give the factor by which it shrinks"
            )
        return (lq[0], hq[0]) if recipe is None else (lq[0], hq[0], recipe)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None}

    def clean(self, index: int) -> Tensor:
        """The clean picture of item ``index`` as planes (3, H, W) of the type it was stored in, cut and turned."""
        index = check_index(index, len(self))
        which, x = self._unreadable.first(self._order(index), self._whole)
        self._check_size(picture_name(self.pictures, which), *x.shape[1:])
        if self.crop is not None:
            top, left = ((side - self.crop) // 2 for side in x.shape[1:])
            x = x[:, top : top + self.crop, left : left + self.crop]
        turn = 0
        if self.patch_size is not None:
            x, turn = self._patch(x, self.patch_size * self.scale, self._seeded(index, _PLACE))
        x = cut(x, self.scale, picture_name(self.pictures, which))
        return dihedral(x, turn).contiguous()  # never the memory of the pictures, even for the identity

    def _patch(self, x: Tensor, size: int, generator: torch.Generator) -> tuple[Tensor, int]:
        ends = [side - size + 1 for side in x.shape[1:]]
        top, left, turn = (int(torch.randint(n, (), generator=generator)) for n in (*ends, len(DIHEDRAL)))
        return x[:, top : top + size, left : left + size], turn

    def _seeded(self, index: int, kind: int) -> torch.Generator:
        return seeded(self.seed, *divmod(index, self.variants), kind)

    def _order(self, index: int) -> Iterator[int]:
        """The picture of an item, and those that take its place if it cannot be read."""
        yield index // self.variants
        generator = self._seeded(index, _INSTEAD)
        yield from endless(lambda count: int(torch.randint(count, (), generator=generator)), len(self.pictures))

    def _whole(self, which: int) -> tuple[int, Tensor]:
        """Number and planes of a picture; the last one is remembered, because its versions follow each other."""
        if self._last is None or self._last[0] != which:
            item, name = read_picture(self.pictures, which), picture_name(self.pictures, which)
            if isinstance(item, tuple):
                raise TypeError(f"{name}: expected one clean picture, got a tuple; give a folder of clean ones")
            self._last = which, planes(item, name)
        return self._last


def _unpacked(made: object, labels: bool, name: str) -> tuple[Tensor, Recipe | None]:
    """The two things that a composition returns, or the one, checked."""
    lq, recipe = made if labels and isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(lq, Tensor) or not lq.is_floating_point() or lq.ndim != 4:
        raise TypeError(
            f"{name}: the composition must return a floating-point tensor (1, 3, h, w)"
            f"{' and a recipe' if labels else ''}, got {type(made).__name__}"
        )
    if labels and not isinstance(recipe, dict):
        raise TypeError(f"{name}: the composition must return a recipe as a dict, got {type(recipe).__name__}")
    return lq, recipe


def collate_labels(batch: Sequence[LabelledPair]) -> tuple[Tensor, Tensor, list[Recipe]]:
    """Batch labelled pairs: pictures are stacked, recipes stay a list, one for each picture.

    Recipes differ in length and depth from picture to picture, which no tensor can hold.

    Args:
        batch: Items (lq, hq, recipe) of one size, as ``DegradedFolder`` and ``DegradedSet`` give with ``labels=True``.

    Returns:
        lq (N, 3, h, w), hq (N, 3, H, W) and N recipes.

    Raises:
        ValueError: An item without a recipe.
        RuntimeError: Pictures of different sizes; take ``crop``, ``patch_size`` or batches of one.

    Example:
        >>> x = torch.zeros(3, 2, 2)
        >>> lq, hq, recipes = collate_labels([(x, x, {"steps": []}), (x, x, {"steps": [{"level": 2}]})])
        >>> lq.shape, recipes
        (torch.Size([2, 3, 2, 2]), [{'steps': []}, {'steps': [{'level': 2}]}])
    """
    wrong = [len(item) for item in batch if len(item) != 3]
    if wrong:
        raise ValueError(f"items must be (lq, hq, recipe), got {wrong[0]} values; make the data set with labels=True")
    lq, hq, recipes = zip(*batch, strict=True)
    return default_collate(list(lq)), default_collate(list(hq)), list(recipes)
