"""Recipes: replay what a composition did, and read from it what was done where, and how strongly."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from restorekit._check import check_batch
from restorekit.degrade._execute import execute
from restorekit.degrade._functions import Function
from restorekit.degrade._labels import check_maps, find_boxes, names, paint
from restorekit.degrade._validate import check_recipe

Recipe = dict[str, Any]


def replay(x: Tensor, recipe: Recipe, *, functions: Mapping[str, Function] | None = None) -> Tensor:
    """Do to ``x`` again what a recipe tells.

    A recipe is plain JSON: ``{"restorekit": 1, "device": "cpu", "pictures": [{"size": [H, W], "steps": [...]}]}``. The
    result is the same to the last bit on the same machine, from JSON as from memory, with any number of threads or
    workers, and for a picture cut out of its batch: ``{**recipe, "pictures": recipe["pictures"][i : i + 1]}``. It is
    computed on the recipe's kind of device if this machine has one, otherwise where ``x`` lies.

    Args:
        x: The clean pictures (N, C, H, W) in [0, 1], of the dtype that the composition was given.
        recipe: What a composition returned for ``return_recipe=True``.
        functions: Your own functions by the names that the recipe uses, such as ``composition.functions``.

    Returns:
        The degraded pictures, in the dtype and on the device of ``x``.

    Raises:
        TypeError: ``x`` is not a floating-point tensor, or a part of the recipe is of a wrong type.
        ValueError: The recipe is of another version, for other pictures (number or size), or malformed; the message
            names the place.

    Example:
        >>> from restorekit.degrade import shdd
        >>> x = torch.rand(2, 3, 32, 48)
        >>> lq, recipe = shdd("easy")(x, return_recipe=True)
        >>> torch.equal(replay(x, recipe), lq)
        True
    """
    check_batch(x)
    functions = {} if functions is None else functions
    pictures = check_recipe(recipe, functions)
    if len(pictures) != x.shape[0]:
        raise ValueError(f"the recipe is for {len(pictures)} pictures, x holds {x.shape[0]}; cut one of them to match")
    for i, picture in enumerate(pictures):
        if tuple(picture["size"]) != tuple(x.shape[-2:]):
            raise ValueError(
                f"recipe picture {i} is for size {tuple(picture['size'])}, x has {tuple(x.shape[-2:])}; "
                "a recipe fits its own pictures only"
            )
    programs = [picture["steps"] for picture in pictures]
    return execute(x.to(_device(recipe["device"], x.device)), programs, functions, "recipe picture").to(x.device)


def _device(name: str, own: torch.device) -> torch.device:
    """The recipe's kind of device if there is one here; ``own`` if it is that kind anyhow or there is none."""
    if name == own.type:
        return own
    here = {"cpu"}
    if torch.accelerator.is_available():
        here.add(str(torch.accelerator.current_accelerator()).partition(":")[0])
    return torch.device(name) if name in here else own


def applied_types(recipe: Recipe) -> tuple[str, ...]:
    """Names of the distortions that occur in a recipe, sorted.

    Args:
        recipe: What a composition returned for ``return_recipe=True``.

    Returns:
        The names; those of the user's own functions too.

    Raises:
        TypeError: A part of the recipe is of a wrong type.
        ValueError: The recipe is malformed; the message names the place.

    Example:
        >>> from restorekit.degrade import sr_dn
        >>> applied_types(sr_dn(2)(torch.rand(1, 3, 8, 8), return_recipe=True)[1])
        ('downscale', 'gaussian_noise')
    """
    return tuple(sorted(set().union(*(names(picture["steps"]) for picture in check_recipe(recipe, None)))))


def type_map(recipe: Recipe, types: Sequence[str]) -> Tensor:
    """Where each distortion was applied: labels for each pixel of the clean pictures.

    A step without regions covers the picture; a later region hides an earlier one. Of the layers of a smooth mask, the
    one with the largest weight counts. Boxes of a picture that was resized before are brought to the clean size.

    Args:
        recipe: What a composition returned; all its pictures must have one size.
        types: Names in the order of the channels, such as ``composition.types``; others are left out.

    Returns:
        (N, T, H, W) of bool on the CPU, at the size of the clean pictures.

    Raises:
        TypeError: A part of the recipe is of a wrong type.
        ValueError: The recipe is malformed, or its pictures differ in size.

    Example:
        >>> from restorekit.degrade import shdd
        >>> distort = shdd("easy")
        >>> _, recipe = distort(torch.rand(1, 3, 32, 48), return_recipe=True)
        >>> type_map(recipe, distort.types).shape
        torch.Size([1, 4, 32, 48])
    """
    return ~_painted(recipe, types).isnan()


def level_map(recipe: Recipe, types: Sequence[str]) -> Tensor:
    """How strongly each distortion was applied at each pixel of the clean pictures; 0 where it was not.

    As ``type_map``. Of two steps of one type the later counts, of a level of two numbers the larger; in a smooth mask
    the level is multiplied by the weight of its layer.

    Args:
        recipe: What a composition returned; all its pictures must have one size.
        types: Names in the order of the channels, such as ``composition.types``; others are left out.

    Returns:
        (N, T, H, W) of float32 on the CPU, in the units of the levels.

    Raises:
        TypeError: A part of the recipe is of a wrong type.
        ValueError: The recipe is malformed, or its pictures differ in size.

    Example:
        >>> from restorekit.degrade import sr_dn
        >>> _, recipe = sr_dn(2, sigma=0.5)(torch.rand(1, 3, 8, 8), return_recipe=True)
        >>> level_map(recipe, ["gaussian_noise", "jpeg"])[0, :, 0, 0].tolist()
        [0.5, 0.0]
    """
    return _painted(recipe, types).nan_to_num(nan=0.0)


def _painted(recipe: Recipe, types: Sequence[str]) -> Tensor:
    """Levels (N, T, H, W), NaN where a type was not applied."""
    if isinstance(types, str) or not isinstance(types, Sequence) or not all(isinstance(name, str) for name in types):
        raise TypeError(f"types must be a list of names, got {types!r}")
    pictures = check_recipe(recipe, None)
    sizes = {tuple(picture["size"]) for picture in pictures}
    if len(sizes) != 1:
        raise ValueError(f"maps need pictures of one size, got {sorted(sizes)}; read the pictures one by one")
    height, width = sizes.pop()
    check_maps(height, width, len(pictures) * max(1, len(types)))
    nothing = torch.full((height, width), torch.nan, device="cpu")
    painted = (paint(picture, types) for picture in pictures)
    rows = [torch.stack([one.get(name, nothing) for name in types] or [nothing]) for one in painted]
    return torch.stack(rows)[:, : len(types)]


def boxes(recipe: Recipe) -> list[list[dict[str, Any]]]:
    """What was applied in which box: labels for a detector.

    Args:
        recipe: What a composition returned for ``return_recipe=True``.

    Returns:
        For each picture a list of ``{"box": [top, left, bottom, right], "types": [...], "levels": [...]}`` in pixels of
        the clean picture, lower and right edges excluded. Steps outside of regions share one entry, the whole picture,
        which comes first; a region in which nothing was done has none. A layer of a smooth mask is given the box
        around the pixels where its weight is the largest.

    Raises:
        TypeError: A part of the recipe is of a wrong type.
        ValueError: The recipe is malformed; the message names the place.

    Example:
        >>> from restorekit.degrade import sr_dn
        >>> _, recipe = sr_dn(2, sigma=0.5)(torch.rand(1, 3, 8, 8), return_recipe=True)
        >>> boxes(recipe)[0]
        [{'box': [0, 0, 8, 8], 'types': ['downscale', 'gaussian_noise'], 'levels': [2, 0.5]}]
    """
    return [find_boxes(picture) for picture in check_recipe(recipe, None)]
