"""The published degradations, each as one composition."""

from functools import lru_cache
from itertools import product
from typing import Literal, final, get_args

from restorekit._check import check_integer
from restorekit.degrade._law import Draw, Law
from restorekit.degrade.compose import Chain, Identity, OneOf
from restorekit.degrade.distortion import Composition, Distortion, Program
from restorekit.degrade.spatial import Boxes, Cuts, Spatial

Group = Literal["mild", "moderate", "severe"]
Difficulty = Literal["easy", "moderate", "difficult"]
Task = Literal["classification", "detection-basic", "detection-difficult"]

# Ends of the ten levels; a level of blur and noise spans a tenth, those of the quality are uneven.
_QUALITY = (100, 80, 60, 50, 40, 35, 30, 25, 20, 15, 10)
_WINDOWS = {"mild": (9, 11), "moderate": (12, 17), "severe": (18, 20)}


def mixed_distortion(group: Group = "moderate") -> Composition:
    """Blur, then noise, then JPEG, with strengths that are balanced against each other.

    Each has ten levels, from weak to strong. The three levels (a, b, c) are drawn uniformly among all triples whose
    ``a + b + c - 2`` lies in the group's window, then each strength uniformly inside its level:

    | level | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 |
    |---|---|---|---|---|---|---|---|---|---|---|
    | blur, sigma in px, up to | 0.5 | 1 | 1.5 | 2 | 2.5 | 3 | 3.5 | 4 | 4.5 | 5 |
    | noise, sigma of 255, up to | 5 | 10 | 15 | 20 | 25 | 30 | 35 | 40 | 45 | 50 |
    | JPEG quality, down to | 80 | 60 | 50 | 40 | 35 | 30 | 25 | 20 | 15 | 10 |

    Args:
        group: "mild" (window 9 to 11, 163 triples), "moderate" (12 to 17, 434 triples; what networks are trained on) or
            "severe" (18 to 20, 163 triples).

    Returns:
        A composition; the size is kept.

    Raises:
        ValueError: ``group`` is unknown.

    Example:
        >>> import torch
        >>> mixed_distortion("mild")(torch.rand(2, 3, 63, 63)).shape
        torch.Size([2, 3, 63, 63])

    Source: Yu et al., "Crafting a Toolchain for Image Restoration by Deep Reinforcement Learning", CVPR 2018
        (RL-Restore), and its published code: kernel 21x21, replicated border, patches of 63x63. Used in Ahn's thesis,
        Table 4.9. The drawn quality is rounded to a whole number, where the authors hand MATLAB's ``imwrite`` a real
        one; so the two ends of a level are half as likely as the numbers between.
    """
    _check_name(group, "group", get_args(Group))
    return _MixedDistortion(group)


@lru_cache(maxsize=3)
def _triples(group: Group) -> tuple[tuple[int, int, int], ...]:
    low, high = _WINDOWS[group]
    return tuple((a, b, c) for a, b, c in product(range(1, 11), repeat=3) if low <= a + b + c - 2 <= high)


@lru_cache(maxsize=1)
def _stages() -> tuple[list[Distortion], list[Distortion], list[Distortion]]:
    """The ten levels of each of the three stages."""
    levels = range(1, 11)
    kernel: dict[str, Law] = {"kernel_size": 21, "border": "replicate"}
    return (
        [Distortion("gaussian_blur", ((a - 1) / 2, a / 2), options=kernel) for a in levels],
        [Distortion("gaussian_noise", ((b - 1) * 5 / 255, b * 5 / 255)) for b in levels],
        [Distortion("jpeg", (_QUALITY[c], _QUALITY[c - 1]), decimals=0) for c in levels],
    )


@final
class _MixedDistortion(Composition):
    def __init__(self, group: Group) -> None:
        self.group = group

    def _parts(self) -> tuple[Composition, ...]:
        return tuple(stage[0] for stage in _stages())

    def _draw_triple(self, draw: Draw) -> tuple[int, int, int]:
        triples = _triples(self.group)
        return triples[draw.integer(0, len(triples) - 1)]

    def _draw(self, draw: Draw) -> Program:
        levels = zip(_stages(), self._draw_triple(draw), strict=True)
        return [step for stage, level in levels for step in stage[level - 1]._draw(draw)]

    def __repr__(self) -> str:
        return f"mixed_distortion({self.group!r})"


def sr_dn(scale: int = 3, *, sigma: float = 30 / 255) -> Composition:
    """Smaller and noisy: bicubic down-scaling, then Gaussian noise.

    Args:
        scale: Factor of the down-scaling, at least 1.
        sigma: Standard deviation of the noise, in [0, 1]; that of an 8-bit paper divided by 255.

    Returns:
        A composition whose results are ``scale`` times smaller.

    Raises:
        TypeError: An argument is no number.
        ValueError: An argument is outside its range.

    Example:
        >>> import torch
        >>> sr_dn(3)(torch.rand(1, 3, 48, 48)).shape
        torch.Size([1, 3, 16, 16])

    Source: Ahn's thesis, Figure 4.11 (SR+DN), which gives no numbers; scale 3 and sigma 30 are the "DN" of Zhang et
        al., "Residual Dense Network", CVPR 2018.
    """
    check_integer(scale, "scale", 1)
    return Chain(Distortion("downscale", scale), Distortion("gaussian_noise", sigma))


def sr_blur(scale: int = 3, *, sigma: float = 1.6, kernel_size: int = 7) -> Composition:
    """Blurred and smaller: Gaussian blur, then bicubic down-scaling.

    Args:
        scale: Factor of the down-scaling, at least 1.
        sigma: Standard deviation of the blur in px of the large picture, in [0, 100].
        kernel_size: Height and width of the blur kernel, odd.

    Returns:
        A composition whose results are ``scale`` times smaller.

    Raises:
        TypeError: An argument is no number.
        ValueError: An argument is outside its range.

    Example:
        >>> import torch
        >>> sr_blur(3)(torch.rand(1, 3, 48, 48)).shape
        torch.Size([1, 3, 16, 16])

    Source: Ahn's thesis, Figure 4.11 (SR+BLUR), which gives no numbers; scale 3, sigma 1.6 and 7x7 are the "BD" of
        Zhang et al., "Residual Dense Network", CVPR 2018.
    """
    check_integer(scale, "scale", 1)
    blur = Distortion("gaussian_blur", sigma, options={"kernel_size": kernel_size})
    return Chain(blur, Distortion("downscale", scale))


def shdd(
    difficulty: Difficulty = "moderate", *, cuts: int | None = None, reference_size: int | tuple[int, int] | None = None
) -> Composition:
    """Spatially heterogeneous distortions: strips of the picture, each with its own distortion or none.

    The picture is divided into 2 ("easy"), 3 ("moderate") or 4 ("difficult") strips, horizontal or vertical, each with
    one of five, equally likely:

    | type | level | unit |
    |---|---|---|
    | Gaussian noise | 0.005 to 0.02 | variance |
    | Gaussian blur | 1 to 2.5 | sigma in px |
    | f-noise | 6 to 10 | scale |
    | contrast | 25 to 40 | level of the 259 recipe |
    | none | | |

    Levels are uniform, rounded to 3 decimals. Each distortion is computed on the whole picture and its strip copied.

    Args:
        difficulty: "easy", "moderate" or "difficult".
        cuts: Number of cut lines instead of the difficulty's, at least 1: one less than the number of strips.
        reference_size: Make the f-noise as strong as in a picture of this size, an integer or (height, width); for
            crops of the paper's pictures (1356, 2040). None: the picture's own size, as published.

    Returns:
        A composition; the size is kept.

    Raises:
        TypeError: ``cuts`` is not an integer, or ``reference_size`` no size.
        ValueError: ``difficulty`` is unknown, or ``cuts`` or ``reference_size`` outside its range; on use, the picture
            is too small for the strips.

    Example:
        >>> import torch
        >>> shdd("difficult")(torch.rand(1, 3, 32, 48)).shape
        torch.Size([1, 3, 32, 48])

    Source: Ahn's thesis, section 7.3, with the cut law of the author's earlier generator. Open in the text, and read so
        here: "cut 2, 3 or 4 times" as the number of parts (``cuts`` gives the other reading); the blur's "variance" as
        sigma, as in that generator; the contrast level as ``contrast`` explains. The strength of f-noise falls with
        the size of the picture, as published: at level 8 a picture of 1356 x 2040 has a sigma of 4.9 of 255, a crop of
        256 x 256 one of 32. ``reference_size`` is ours.
    """
    _check_name(difficulty, "difficulty", get_args(Difficulty))
    if cuts is not None:
        check_integer(cuts, "cuts", 1)
    blocks = get_args(Difficulty).index(difficulty) + 2 if cuts is None else cuts + 1
    part = OneOf(
        Distortion("gaussian_noise", (0.005, 0.02), options={"variance": True}, decimals=3),
        Distortion("gaussian_blur", (1.0, 2.5), decimals=3),
        Distortion("f_noise", (6.0, 10.0), options=_reference(reference_size), decimals=3),
        Distortion("contrast", (25.0, 40.0), decimals=3),
        Identity(),
    )
    return Spatial(part, Cuts(blocks))


def flickr_distortion(
    task: Task = "classification", *, reference_size: int | tuple[int, int] | None = None
) -> Composition:
    """The distortions of Flickr-Distortion: one of eight, on the whole picture or in boxes.

    | type | level 1 | 2 | 3 | unit |
    |---|---|---|---|---|
    | Gaussian noise | 0.0125 | 0.025 | 0.05 | variance |
    | Gaussian blur | 1.5 | 3 | 6 | sigma in px |
    | salt and pepper | 0.0125 | 0.025 | 0.05 | share of the elements |
    | quantisation | 16 | 8 | 4 | grey levels |
    | JPEG | 20 | 10 | 5 | quality |
    | low-pass | 0.3 | 0.1 | 0.03 | ratio |
    | denoising | 0.04 | 0.06 | 0.08 | h |
    | f-noise | 2.5 | 5 | 10 | scale |

    "classification" draws one type and one of its three levels for the picture. The two detection sets draw boxes that
    do not overlap, in each a type and a level uniform between the first and the third: "detection-basic" 1 to 4 boxes,
    each side 0.3 to 0.7 of the picture's, "detection-difficult" 5 to 9 of 0.1 to 0.3. Cropping the middle 300x300
    pixels first, as published for detection, is left to the data set.

    Args:
        task: "classification", "detection-basic" or "detection-difficult".
        reference_size: Make the f-noise as strong as in a picture of this size, an integer or (height, width), as for
            ``shdd``. None: the picture's own size, as published.

    Returns:
        A composition; the size is kept.

    Raises:
        TypeError: ``reference_size`` is no size.
        ValueError: ``task`` is unknown, or ``reference_size`` outside its range.

    Example:
        >>> import torch
        >>> _, recipe = flickr_distortion()(torch.rand(1, 3, 32, 48), return_recipe=True)
        >>> len(recipe["pictures"][0]["steps"])
        1

    Source: Ahn's thesis, chapter 6, Tables 6.1 to 6.3. The thesis gives no levels for quantisation (16, 8, 4 are ours,
        out of the range in the author's generator), and does not say whether a size is that of a side, whether boxes
        may overlap, or their proportions; a share of each side, drawn again on overlap, comes close to the mean sizes
        that it reports. For quantisation and JPEG the whole numbers in the range are equally likely.
    """
    _check_name(task, "task", get_args(Task))
    if task == "classification":
        return OneOf(*(_flickr_type(name, list(levels), reference_size) for name, levels in _FLICKR.items()))
    part = OneOf(*(_flickr_type(name, _between(levels), reference_size) for name, levels in _FLICKR.items()))
    return Spatial(part, Boxes((1, 4), (0.3, 0.7)) if task == "detection-basic" else Boxes((5, 9), (0.1, 0.3)))


_FLICKR: dict[str, tuple[int, ...] | tuple[float, ...]] = {
    "gaussian_noise": (0.0125, 0.025, 0.05),
    "gaussian_blur": (1.5, 3.0, 6.0),
    "salt_and_pepper": (0.0125, 0.025, 0.05),
    "quantize": (16, 8, 4),
    "jpeg": (20, 10, 5),
    "low_pass": (0.3, 0.1, 0.03),
    "nlm_denoise": (0.04, 0.06, 0.08),
    "f_noise": (2.5, 5.0, 10.0),
}


def _flickr_type(name: str, law: Law, reference_size: int | tuple[int, int] | None) -> Distortion:
    options = {"gaussian_noise": {"variance": True}, "f_noise": _reference(reference_size)}
    return Distortion(name, law, options=options.get(name))


def _between(levels: tuple[float, ...]) -> Law:
    """Uniform from the least to the greatest level; among whole numbers if the levels are whole."""
    low, high = min(levels), max(levels)
    return list(range(low, high + 1)) if isinstance(low, int) and isinstance(high, int) else (low, high)


def _reference(size: int | tuple[int, int] | None) -> dict[str, Law] | None:
    """The option of f-noise; a size is one value, not a range."""
    return None if size is None else {"reference_size": [size]}


def _check_name(value: str, name: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
