"""Train one network with six losses, on the same crops and the same noise, and compare what it learns from each.

A small DnCNN takes white Gaussian noise of 25/255 off colour pictures, and a small EDSR enlarges four times. For one
seed, all losses start from the same weights and see the same crops in the same order, with the same noise, for the same
number of Adam steps at the same learning rate; Adam divides each gradient by its own running size, so that the scale of
a loss does not matter. Patches are 164 px wide because MS-SSIM, with its five scales, needs 161.

All files go to the folder ``--work``. A run that was stopped goes on there when the same command is given again, and
what is done is not repeated; other settings need another folder. The tasks may run side by side, one in each process.
Needs the extras ``train`` and ``plots``.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from skimage import data
from torch import Generator, Tensor, nn

from restorekit.data import ImageFolder, PairedFolder, RandomCropPairs
from restorekit.degrade import gaussian_noise
from restorekit.evaluation import Evaluation, compare, evaluate
from restorekit.image import resize, write_image
from restorekit.losses import LPIPSLoss, MDFLoss, MixLoss, MSSSIMLoss, SSIMLoss
from restorekit.metrics import LPIPS, load_lpips, lpips, ms_ssim
from restorekit.models import EDSR, dncnn, edsr, load_trunk
from restorekit.train import cosine, fit, supervised

SIGMA = 25 / 255
SIDE = 164  # pixels of a patch of the true picture
BATCH_SIZE = 1  # such a patch has the pixels of a dozen of the usual size
LEARNING_RATE = 2e-3
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"  # where fit trains

Loss = Callable[[Tensor, Tensor], Tensor]


def add_noise(lq: Tensor, hq: Tensor, *, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
    """Noise as a picture of 8 bits holds it, drawn anew for every batch."""
    return (gaussian_noise(lq, SIGMA, generator=generator) * 255).round() / 255, hq


class Skip(nn.Module):
    """A network that is added to the enlarged picture, as DnCNN is to its own."""

    def __init__(self, network: EDSR) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x) + resize(x, self.network.scale)


def denoiser() -> nn.Module:
    """A small DnCNN that leaves its picture as it is until it is trained."""
    network = dncnn(8, in_channels=3, channels=32, batch_norm=False)  # small batches train better without
    return silent(network, network.exit)


def enlarger() -> nn.Module:
    """A small EDSR that enlarges as bicubic interpolation does until it is trained."""
    network = edsr(4, channels=32, blocks=4, mean=(0, 0, 0))
    return silent(Skip(network), network.exit)


def silent(model: nn.Module, last: nn.Conv2d) -> nn.Module:
    """Let all losses begin with a fair picture; from a wild one, MS-SSIM has no gradient, and MDF hardly a way out."""
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return model


@dataclass(frozen=True)
class Task:
    """What there is to learn; the discriminators that ship for it go by its name."""

    name: str
    title: str
    scale: int
    network: Callable[[], nn.Module]
    augment: Callable[..., tuple[Tensor, Tensor]] | None
    before: str
    untrained: Callable[[Tensor], Tensor]


DENOISING = Task(
    name="denoising",
    title="A small DnCNN, noise of 25/255",
    scale=1,
    network=denoiser,
    augment=add_noise,
    before="Noisy",
    untrained=lambda x: x,
)
SISR = Task(
    name="sisr",
    title="A small EDSR, enlarging 4 times",
    scale=4,
    network=enlarger,
    augment=None,
    before="Bicubic",
    untrained=lambda x: resize(x, 4),
)
TASKS = {task.name: task for task in (DENOISING, SISR)}


@dataclass(frozen=True)
class Bench:
    """Networks of one task, trained and judged under equal conditions."""

    task: Task
    options: argparse.Namespace

    @property
    def folder(self) -> Path:
        """Where everything about the task is kept."""
        return Path(self.options.work, self.task.name)

    def train(self, name: str, loss: Loss, seed: int) -> nn.Module:
        """The network that ``loss`` makes, from the checkpoint as far as there is one."""
        scale, steps = self.task.scale, self.options.steps
        pairs = RandomCropPairs(
            training_pictures(self.options.train),
            patch_size=SIDE // scale,
            scale=scale,
            length=steps * BATCH_SIZE,
            seed=seed,
        )
        torch.manual_seed(seed)  # of the initial weights
        model = self.task.network().to(memory_format=torch.channels_last)  # the faster layout on a CPU
        self.folder.mkdir(parents=True, exist_ok=True)
        checkpoint = self.folder / f"{name}-{seed}.ckpt"
        print(f"{self.task.name}, {name}, seed {seed}", flush=True)
        fit(
            model,
            pairs,
            steps=steps,
            batch_size=BATCH_SIZE,
            step=supervised(loss=loss, augment=self.task.augment),
            learning_rate=LEARNING_RATE,
            schedule=cosine(steps, floor=0.02),
            checkpoint=checkpoint,
            checkpoint_every=50,
            seed=seed,
        )
        return model.eval()

    def judge(self, model: nn.Module | Callable[[Tensor], Tensor], kept: Path | None = None) -> Evaluation:
        """Scores on the test pictures; what comes out is written to the folder ``kept``."""
        return evaluate(
            model.forward if isinstance(model, nn.Module) else model,  # Skip is none of the library's restorers
            self.test_set,
            scale=self.task.scale,
            protocol="rgb",
            metrics=self.metrics,
            lower_is_better=[metric for metric in self.metrics if metric != "MS-SSIM"],
            keep_pictures=kept,
        )

    def mdf(self, *, num_scales: int = 8, reduction: str = "mean") -> MDFLoss:
        """The MDF loss of the file that was given, or of the discriminators that ship for the task."""
        if self.options.discriminators is None:
            return MDFLoss.from_pretrained(self.task.name, num_scales=num_scales, reduction=reduction)
        return MDFLoss.from_file(self.options.discriminators, num_scales=num_scales, reduction=reduction)

    def mdf_to_train_with(self, *, num_scales: int = 8) -> MDFLoss:
        """The same where the networks are trained, in the type that was chosen."""
        dtype = torch.bfloat16 if self.options.bfloat16 else torch.float32
        return self.mdf(num_scales=num_scales).to(DEVICE, dtype)

    @cached_property
    def metrics(self) -> dict[str, Loss]:
        """What is measured besides PSNR and SSIM."""
        found: dict[str, Loss] = {"MS-SSIM": ms_ssim, "MDF": self.mdf(reduction="none")}
        if self.options.lpips:
            found["LPIPS"] = partial(lpips, network=load_network(*self.options.lpips))
        return found

    @cached_property
    def truth(self) -> Path:
        """The folder of true pictures; unless there is one, photographs from scikit-image are written to it."""
        if self.options.test is not None:
            return Path(self.options.test)
        folder, side = self.folder / "true", self.options.side
        folder.mkdir(parents=True, exist_ok=True)
        for name, pixels in test_pictures().items():
            top, left = (max(0, (size - side) // 2) for size in pixels.shape[:2])
            write_image(folder / f"{name}.png", pixels[top : top + side, left : left + side])
        return folder

    @cached_property
    def test_set(self) -> Path | PairedFolder:
        """The true pictures, with noisy ones if the task needs them."""
        if self.task.augment is None:
            return self.truth
        pictures, noisy = ImageFolder(self.truth), self.folder / "noisy"
        noisy.mkdir(parents=True, exist_ok=True)
        for index, path in enumerate(pictures.paths):
            hq = pictures[index][None]
            lq, _ = self.task.augment(hq, hq, generator=Generator().manual_seed(index))
            write_image(noisy / f"{path.stem}.png", lq)
        return PairedFolder(noisy, self.truth, scale=1)


def training_pictures(folder: Path | None) -> ImageFolder | list[np.ndarray]:
    """Pictures of a folder, or those of scikit-image that are not tested on."""
    if folder is not None:
        return ImageFolder(folder)
    grey = [data.brick(), data.clock(), data.grass(), data.gravel()]
    return [data.coffee(), data.hubble_deep_field(), data.immunohistochemistry(), *grey]


def test_pictures() -> dict[str, np.ndarray]:
    """Photographs that ship with scikit-image and are never trained on."""
    photographs = [data.astronaut, data.camera, data.chelsea, data.coins, data.rocket]
    return {"motorcycle": data.stereo_motorcycle()[0]} | {load.__name__: load() for load in photographs}


def load_network(trunk: Path, linear: Path) -> LPIPS:
    """VGG-16 with ImageNet's weights, and the linear weights of LPIPS behind it; neither ships."""
    return load_lpips(load_trunk("vgg16", trunk), linear)


def losses(bench: Bench) -> dict[str, Loss]:
    """All losses by name, on the device that the networks are trained on."""
    found = {
        "L1": nn.L1Loss(),
        "L2": nn.MSELoss(),
        "SSIM": SSIMLoss(),
        "MS-SSIM": MSSSIMLoss(),
        "MS-SSIM+L1": MixLoss(),
        "MDF": bench.mdf_to_train_with(),
    }
    if bench.options.lpips:
        found["LPIPS"] = LPIPSLoss(load_network(*bench.options.lpips))
    return {name: loss.to(DEVICE) for name, loss in found.items()}


def compare_losses(bench: Bench, names: Sequence[str] | None, seeds: int) -> None:
    """Train and judge all, write the report of the first seed, print the table of all."""
    offered, kept = losses(bench), bench.folder / "restored"
    found = {bench.task.before: [bench.judge(bench.task.untrained, kept / bench.task.before)]}
    for name in names or offered:
        models = [bench.train(name, offered[name], seed) for seed in range(seeds)]
        found[name] = [bench.judge(model, None if seed else kept / name) for seed, model in enumerate(models)]
    report = bench.folder / "report.html"
    pictures = {"Original": bench.truth} | {name: kept / name for name in found}
    first = {name: evaluations[0] for name, evaluations in found.items()}
    print(compare(first, report, pictures=pictures, title=bench.task.title).conditions())
    print(f"\n{table(found)}\n\n{report} written; open it in a browser\n")


def table(found: Mapping[str, Sequence[Evaluation]]) -> str:
    """For each method and metric the mean over pictures and seeds, and half of what the seeds are apart."""
    metrics = next(iter(found.values()))[0].metrics
    width = max(map(len, found))
    lines = [" ".join([" " * width, *(f"{metric:>18}" for metric in metrics)])]
    for name, evaluations in found.items():
        means = [[evaluation.mean(metric) for evaluation in evaluations] for metric in metrics]
        cells = [f"{fmean(values):.4f} ± {(max(values) - min(values)) / 2:.4f}" for values in means]
        lines.append(" ".join([f"{name:<{width}}", *(f"{cell:>18}" for cell in cells)]))
    return "\n".join(lines)


def parser(description: str | None, *, work: str, seeds: int) -> argparse.ArgumentParser:
    """The options that this example shares with the ablations."""
    out = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    out.add_argument("--steps", type=int, default=800, help="training steps of a run (default: %(default)s)")
    out.add_argument("--seeds", type=int, default=seeds, help="runs of each kind, by seed (default: %(default)s)")
    out.add_argument("--train", type=Path, help="folder of training pictures (default: some from scikit-image)")
    out.add_argument("--test", type=Path, help="folder of true pictures (default: photographs from scikit-image)")
    out.add_argument("--side", type=int, default=256, help="most pixels of a default photograph's side")
    out.add_argument("--discriminators", type=Path, help="file for the MDF loss (default: those that ship)")
    out.add_argument("--bfloat16", action="store_true", help="train with the MDF loss computed in this type")
    out.add_argument("--lpips", type=Path, nargs=2, metavar=("TRUNK", "LINEAR"), help="weights of VGG-16 and LPIPS")
    out.add_argument("--work", type=Path, default=Path(work), help="folder for all files (default: %(default)s)")
    return out


def main() -> None:
    """Train, compare, write."""
    options = parser(__doc__, work="comparison", seeds=2)
    options.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), help="(default: both)")
    options.add_argument("--losses", nargs="+", help="(default: all)")
    chosen = options.parse_args()
    torch.set_num_threads(1)  # steps as small as these gain little from more, and lose a lot where cores are shared
    for name in chosen.tasks:
        compare_losses(Bench(TASKS[name], chosen), chosen.losses, chosen.seeds)


if __name__ == "__main__":
    main()
