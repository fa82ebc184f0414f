"""SimUSR, which learns from low-resolution pictures alone, against supervised training with the true ones, x2.

Network, budget and the number of pictures are the same. The supervised arm learns from pairs of a training picture and
its shrunk version; SimUSR is given the shrunk versions only, and learns from pairs of these and what they are shrunk to
once more.
"""

from pathlib import Path

from evidence.experiment import Experiment, Job, Trained, main
from restorekit.data import CropCache, ImageFolder, PseudoPairs, RandomCropPairs
from restorekit.image import resize_uint8, write_image
from restorekit.metrics import count_multadds
from restorekit.models import CARN, carn
from restorekit.train import cosine, fit

SCALE, PATCH_SIZE, BATCH_SIZE, STEPS = 2, 24, 16, 1600


def network() -> CARN:
    """CARN with half of its channels."""
    return carn(SCALE, channels=32)


def low_resolution(job: Job) -> Path:
    """The training pictures as SimUSR has them, written once."""
    folder, source = job.out / f"low_x{SCALE}", ImageFolder(job.data)
    folder.mkdir(parents=True, exist_ok=True)
    for index, path in enumerate(source.paths):
        target = folder / f"{path.stem}.png"
        if not target.exists():
            whole = source.read(index)
            height, width = (SCALE * (side // SCALE) for side in whole.shape[:2])
            write_image(target, resize_uint8(whole[:height, :width], 1 / SCALE))
    return folder


def train(job: Job, pairs: RandomCropPairs) -> Trained:
    """The same run for both arms, but for its pairs."""
    model = job.start(network)
    result = fit(
        model,
        pairs,
        steps=STEPS,
        batch_size=BATCH_SIZE,
        learning_rate=2e-3,
        schedule=cosine(STEPS, floor=0.02),
        mixed_precision="bf16",
        checkpoint=job.checkpoint,
        checkpoint_every=400,
        seed=job.seed,
        progress=False,
    )
    side = SCALE * PATCH_SIZE
    return Trained(model, result.losses, STEPS * BATCH_SIZE * count_multadds(model, hr_size=(side, side)))


def supervised(job: Job) -> Trained:
    """With true pictures."""
    return train(job, job.crops(SCALE, patch_size=PATCH_SIZE, length=STEPS * BATCH_SIZE))


def simusr(job: Job) -> Trained:
    """Without."""
    pairs = PseudoPairs(low_resolution(job), scale=SCALE)
    whole = CropCache(pairs, job.out / f"pseudo_x{SCALE}.npy", size=160, stride=80, progress=False)
    length = STEPS * BATCH_SIZE
    return train(job, RandomCropPairs(whole, patch_size=PATCH_SIZE, scale=SCALE, length=length, seed=job.seed))


EXPERIMENT = Experiment("simusr", SCALE, {"supervised": supervised, "simusr": simusr})

if __name__ == "__main__":
    main(EXPERIMENT, __doc__)
