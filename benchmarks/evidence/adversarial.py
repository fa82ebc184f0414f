"""PCARN against the network that it starts from, which was trained for L1 alone, x4.

PCARN's content loss looks through VGG-19 with ImageNet's weights, which do not come with this library. Here it is L1,
so that all that is added to the start's training is the discriminator. It learns ten times as fast as the generator
(both at 1e-4 in the papers), and its loss weighs less than the published 5e-3, which belongs to VGG-19: in so few steps
the generator else runs away from it, and draws checkerboards.
"""

from collections.abc import Callable
from functools import partial

from torch.nn.functional import l1_loss

from evidence.experiment import Experiment, Job, Trained, main
from restorekit.losses import MDFLoss
from restorekit.metrics import count_multadds
from restorekit.models import CARN, MultiScaleDiscriminator, PatchDiscriminator, load_weights, pcarn
from restorekit.train import adversarial, cosine, fit

SCALE, PATCH_SIZE, BATCH_SIZE = 4, 24, 16
START_STEPS, STEPS, STRONG_STEPS = 1500, 400, 500


def network() -> CARN:
    """PCARN with half of its channels."""
    return pcarn(SCALE, channels=32)


def discriminators() -> MultiScaleDiscriminator:
    """The thesis' three, with a quarter of their channels."""
    return MultiScaleDiscriminator([PatchDiscriminator(channels=16) for _ in range(3)])


def multadds(model: CARN, steps: int) -> float:
    """Of the forward passes of a run."""
    side = SCALE * PATCH_SIZE
    return steps * BATCH_SIZE * count_multadds(model, hr_size=(side, side))


def l1(job: Job) -> Trained:
    """The start."""
    model = job.start(network)
    result = fit(
        model,
        job.crops(SCALE, patch_size=PATCH_SIZE, length=START_STEPS * BATCH_SIZE),
        steps=START_STEPS,
        batch_size=BATCH_SIZE,
        learning_rate=2e-3,
        schedule=cosine(START_STEPS, floor=0.02),
        mixed_precision="bf16",
        checkpoint=job.checkpoint,
        checkpoint_every=300,
        seed=job.seed,
        progress=False,
    )
    return Trained(model, result.losses, multadds(model, START_STEPS))


def gan(job: Job, *, weight: float, steps: int) -> Trained:
    """The start, then both in turn."""
    model = job.start(network)
    load_weights(model, job.folder("l1") / "weights.safetensors")
    result = fit(
        model,
        job.crops(SCALE, patch_size=PATCH_SIZE, length=steps * BATCH_SIZE),
        steps=steps,
        batch_size=BATCH_SIZE,
        step=adversarial(job.start(discriminators), content=l1_loss, gan_weight=weight, discriminator_rate=1e-3),
        learning_rate=1e-4,
        clip_norm=10,
        mixed_precision="bf16",
        checkpoint=job.checkpoint,
        checkpoint_every=200,
        seed=job.seed,
        progress=False,
    )
    return Trained(model, result.losses, multadds(model, steps))


METRICS = {"mdf": MDFLoss.from_pretrained("sisr", reduction="none")}
ARMS: dict[str, Callable[[Job], Trained]] = {
    "l1": l1,
    "gan": partial(gan, weight=5e-4, steps=STEPS),
    "gan-strong": partial(gan, weight=2e-3, steps=STRONG_STEPS),
}
EXPERIMENT = Experiment("adversarial", SCALE, ARMS, metrics=METRICS, needs={"gan": "l1", "gan-strong": "l1"})

if __name__ == "__main__":
    main(EXPERIMENT, __doc__)
