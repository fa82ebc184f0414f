"""CARN and CARN-M for x2, x3 and x4, one network each, by the recipe for several scales: a scale a batch, L1."""

from functools import partial

from torch import Tensor

from restorekit.data import RandomCropPairs
from restorekit.image import resize
from restorekit.models import carn, carn_m
from weights.recipe import Pictures, Recipe, Stage, plain

SCALES = (2, 3, 4)
HELD_OUT_SIDE = 192


def pairs(pictures: Pictures, stage: Stage, seed: int) -> dict[int, RandomCropPairs]:
    """A data set for each scale."""
    crops = {scale: pictures.training(scale) for scale in SCALES}
    length, size = stage.steps * stage.batch_size, stage.patch_size
    return {
        scale: RandomCropPairs(crops[scale], patch_size=size, scale=scale, length=length, seed=seed) for scale in SCALES
    }


def examples(pictures: Pictures, scale: int = 4) -> tuple[int, list[tuple[Tensor, Tensor]]]:
    """The held-out pictures, made smaller."""
    return scale, [(resize(hq, 1 / scale).clamp(0, 1), hq) for hq in pictures.held_out(HELD_OUT_SIDE)]


CARN_M = Recipe(
    name="carn_m",
    network=partial(carn_m, SCALES),
    pairs=pairs,
    step=plain,
    stages=(
        Stage(steps=12000, patch_size=24, batch_size=16, learning_rate=1.5e-3, floor=0.15),
        Stage(steps=2000, patch_size=48, batch_size=8, learning_rate=3e-4),
    ),
    examples=examples,
)
CARN = Recipe(
    name="carn",
    network=partial(carn, SCALES),
    pairs=pairs,
    step=plain,
    stages=(
        Stage(steps=9000, patch_size=24, batch_size=16, learning_rate=1e-3, floor=0.2),
        Stage(steps=1500, patch_size=48, batch_size=8, learning_rate=3e-4),
    ),
    examples=examples,
)
