"""NSR's network and the same without its candidates, at equal cost: x2, half as many blocks as published.

Both run pictures whole. The published numbers are of overlapping patches, which cost more and average what they share.
"""

from functools import partial

from restorekit.data import RandomCropPairs
from restorekit.models import sparse_resnet
from weights.recipe import Pictures, Recipe, Stage, plain
from weights.super_resolution import examples

SCALE = 2
STAGES = (Stage(steps=1500, patch_size=48, batch_size=8, learning_rate=1e-3),)


def pairs(pictures: Pictures, stage: Stage, seed: int) -> RandomCropPairs:
    """Random patches."""
    length = stage.steps * stage.batch_size
    crops = pictures.training(SCALE)
    return RandomCropPairs(crops, patch_size=stage.patch_size, scale=SCALE, length=length, seed=seed)


def _recipe(name: str, num_sparsity_groups: int | None) -> Recipe:
    build = partial(sparse_resnet, SCALE, channels=24, blocks=8, num_sparsity_groups=num_sparsity_groups)
    return Recipe(name, build, pairs, plain, STAGES, partial(examples, scale=SCALE))


SPARSE, DENSE = _recipe("sparse_resnet", 4), _recipe("sparse_resnet_dense", None)
