"""PCARN against the network that it starts from, which was trained for L1 alone, x4."""

from evidence.experiment import Experiment, Job, Trained, main

from restorekit.losses import MDFLoss
from restorekit.metrics import count_multadds
from restorekit.models import CARN, pcarn
from restorekit.train import cosine, fit

SCALE, PATCH_SIZE, BATCH_SIZE, STEPS = 4, 24, 16, 1500


def network() -> CARN:
    """PCARN with half of its channels."""
    return pcarn(SCALE, channels=32)


def l1(job: Job) -> Trained:
    """The start."""
    model = job.start(network)
    result = fit(
        model,
        job.crops(SCALE, patch_size=PATCH_SIZE, length=STEPS * BATCH_SIZE),
        steps=STEPS,
        batch_size=BATCH_SIZE,
        learning_rate=2e-3,
        schedule=cosine(STEPS, floor=0.02),
        mixed_precision="bf16",
        checkpoint=job.checkpoint,
        checkpoint_every=300,
        seed=job.seed,
        progress=False,
    )
    side = SCALE * PATCH_SIZE
    return Trained(model, result.losses, STEPS * BATCH_SIZE * count_multadds(model, hr_size=(side, side)))


METRICS = {"mdf": MDFLoss.from_pretrained("sisr", reduction="none")}
EXPERIMENT = Experiment("adversarial", SCALE, {"l1": l1}, metrics=METRICS)

if __name__ == "__main__":
    main(EXPERIMENT, __doc__)
