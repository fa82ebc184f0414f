"""CutBlur and the mixture of augmentations against none: a small CARN of the CutBlur kind, x4.

All arms see the low-resolution picture enlarged by nearest neighbour, as CutBlur needs it, through a desubpixel head;
the arm without augmentation is CutBlur with probability 0. The thesis augments so small a network with probability 0.2;
an arm with its probability for larger ones, 1, stands beside it.
"""

from collections.abc import Callable
from functools import partial

from evidence.experiment import Experiment, Job, Trained, main
from restorekit.augment import Mixture, cutblur
from restorekit.metrics import count_multadds
from restorekit.models import CARN, carn, fold_desubpixel
from restorekit.train import cosine, fit, supervised
from restorekit.train.supervised import Augment

SCALE, PATCH_SIZE, BATCH_SIZE, STEPS = 4, 24, 16, 1000


def network() -> CARN:
    """CutBlur's CARN, with half of its channels."""
    plain = {"fusion_relu": False, "unit_relu": False, "upsampler_relu": False}
    return carn(SCALE, channels=32, global_skip=True, head="desubpixel", **plain)


def train(job: Job, augment: Augment) -> Trained:
    """The same run for all arms, but for what is done to a batch."""
    model = job.start(network)
    result = fit(
        model,
        job.crops(SCALE, patch_size=PATCH_SIZE, length=STEPS * BATCH_SIZE),
        steps=STEPS,
        batch_size=BATCH_SIZE,
        step=supervised(augment=augment),
        learning_rate=2e-3,
        schedule=cosine(STEPS, floor=0.02),
        mixed_precision="bf16",
        checkpoint=job.checkpoint,
        checkpoint_every=200,
        seed=job.seed,
        progress=False,
    )
    side = SCALE * PATCH_SIZE
    folded = fold_desubpixel(model)
    return Trained(folded, result.losses, STEPS * BATCH_SIZE * count_multadds(folded, hr_size=(side, side)))


ARMS: dict[str, Callable[[Job], Trained]] = {
    "none": partial(train, augment=partial(cutblur, p=0.0)),
    "cutblur": partial(train, augment=partial(cutblur, p=0.2)),
    "mixture": partial(train, augment=Mixture("small-model")),
    "mixture-always": partial(train, augment=Mixture("sr")),
}
EXPERIMENT = Experiment("augmentation", SCALE, ARMS)

if __name__ == "__main__":
    main(EXPERIMENT, __doc__)
