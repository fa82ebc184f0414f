"""A network for x8 trained stage by stage against the same network trained at its last stage from the start.

Both spend the same arithmetic on forward passes. The stages share it as in the thesis, where 150, 200 and 300 thousand
steps of 32, 8 and 2 pictures take 19, 31 and 50 %. Here all batches are alike, as the patches are small.
"""

from torch import nn

from evidence.experiment import Experiment, Job, Trained, main
from restorekit.metrics import count_multadds
from restorekit.models import ProgressiveCARN, progressive_carn
from restorekit.train import ProgressiveStage, cosine, fit
from restorekit.train import progressive as by_stages
from restorekit.train.fit import FitOptions

SCALE, PATCH_SIZE, BATCH_SIZE, STEPS = 8, 16, 16, 500
SHARES = (0.19, 0.31, 0.50)


def network(stage: int | None = None) -> ProgressiveCARN:
    """A narrow one, with few blocks, and torch's own initial weights as in the authors' code.

    They are drawn once more, as they were for the runs on the page, when the network still began with those of CARN.
    Those have zero biases and let features fade to a thousandth on their way through three stages: trained at the last
    stage from the start, the network then adds nothing to the enlarged picture for hundreds of steps.
    """
    model = progressive_carn(SCALE, stage=stage, channels=32, blocks=2, units=2)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.reset_parameters()
    return model


def multadds(stage: int) -> float:
    """Of the forward pass of a batch at a stage."""
    side = PATCH_SIZE * 2 ** (stage + 1)
    return BATCH_SIZE * count_multadds(network(stage), hr_size=(side, side))


def options(job: Job) -> FitOptions:
    """What both arms share."""
    shared: FitOptions = {"learning_rate": 1e-3, "mixed_precision": "bf16", "checkpoint_every": 100}
    return {**shared, "seed": job.seed, "progress": False}


def direct(job: Job) -> Trained:
    """All at once."""
    model = job.start(network)
    schedule = cosine(STEPS, floor=0.02)
    pairs = job.crops(SCALE, patch_size=PATCH_SIZE, length=STEPS * BATCH_SIZE)
    result = fit(
        model, pairs, steps=STEPS, batch_size=BATCH_SIZE, schedule=schedule, checkpoint=job.checkpoint, **options(job)
    )
    return Trained(model, result.losses, STEPS * multadds(2))


def progressive(job: Job) -> Trained:
    """Stage by stage, each with a fall of the learning rate of its own."""
    model, whole = job.start(network), STEPS * multadds(2)
    steps = [round(share * whole / multadds(stage)) for stage, share in enumerate(SHARES)]
    stages = [ProgressiveStage(count, BATCH_SIZE, schedule=cosine(count, floor=0.02)) for count in steps]
    pairs = job.crops(SCALE, patch_size=PATCH_SIZE, length=max(steps) * BATCH_SIZE)
    results = by_stages(model, pairs, stages=stages, checkpoint=job.checkpoint, **options(job))
    spent = sum(count * multadds(stage) for stage, count in enumerate(steps))
    losses = [loss for result in results for loss in result.losses]
    return Trained(model, losses, spent, notes={"stages": steps})


EXPERIMENT = Experiment("progressive", SCALE, {"direct": direct, "progressive": progressive})

if __name__ == "__main__":
    main(EXPERIMENT, __doc__)
