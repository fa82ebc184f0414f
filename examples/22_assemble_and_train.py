"""A network of one's own from the library's parts, trained in a loop of one's own, as another project would do it.

The network is a cascade whose convolutions all mix their kernels from one bank of templates. It learns to undo damage
that differs from strip to strip of a picture (SHDD), on batches that Mixture augments, by L1 and the MDF loss. Nothing
of ``restorekit.train`` is needed. Everything ships with scikit-image; the cat ``chelsea`` is kept out. Needs the extra
``plots``.
"""

import argparse

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from skimage import data
from torch import Tensor, nn
from torch.utils.data import DataLoader

from restorekit.augment import Mixture
from restorekit.data import DegradedFolder
from restorekit.degrade import shdd
from restorekit.image import to_image, to_tensor
from restorekit.layers import Cascade, SConv2d, TemplateBank
from restorekit.losses import MDFLoss
from restorekit.metrics import count_parameters, psnr

BATCH_SIZE, PATCH = 8, 48
DAMAGE = shdd("moderate", reference_size=(1356, 2040))  # f-noise as strong as in the paper's pictures


class SharedBlock(nn.Module):
    """A residual block whose two convolutions mix their kernels from a bank that other blocks use too."""

    def __init__(self, bank: TemplateBank) -> None:
        super().__init__()
        self.first, self.second = SConv2d(bank, padding=1, bias=True), SConv2d(bank, padding=1, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(x)))


class Restorer(nn.Module):
    """Entry, cascade, exit; the network learns what to add to the picture."""

    def __init__(self, channels: int = 24, blocks: int = 4, templates: int = 6) -> None:
        super().__init__()
        self.bank = TemplateBank(templates, channels, channels, 3)
        self.entry = nn.Conv2d(3, channels, 3, padding=1)
        self.body = Cascade([SharedBlock(self.bank) for _ in range(blocks)], channels)
        self.exit = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.exit(self.body(self.entry(x)))


def train(model: nn.Module, steps: int) -> list[float]:
    """The loop, as anybody writes it; the losses."""
    pictures = [data.astronaut(), data.coffee(), data.rocket(), *data.stereo_motorcycle()[:2]]
    pairs = DegradedFolder(pictures, DAMAGE, patch_size=PATCH, variants=steps * BATCH_SIZE // len(pictures) + 1)
    generator = torch.Generator().manual_seed(0)
    loader = DataLoader(pairs, BATCH_SIZE, shuffle=True, drop_last=True, generator=generator)
    mixture, mdf = Mixture("restoration"), MDFLoss.from_pretrained("denoising", num_scales=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses = []
    for number, pair in zip(range(steps), loader, strict=False):
        lq, hq = mixture(*pair, generator=generator)
        prediction = model(lq)
        loss = F.l1_loss(prediction, hq) + mdf(prediction, hq)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if number % 50 == 0:
            print(f"step {number:4}   loss {losses[-1]:.4f}")
    return losses


def draw(pictures: dict[str, Tensor], path: str) -> None:
    """The pictures side by side, whole and a detail."""
    figure = Figure(figsize=(12, 6.2), layout="constrained")
    for (whole, detail), (name, x) in zip(figure.subplots(2, len(pictures)).T, pictures.items(), strict=True):
        picture = to_image(x, like="uint8")
        whole.set_title(name)
        for axis, shown in ((whole, picture), (detail, picture[60:160, 120:270])):
            axis.imshow(shown)
            axis.set_axis_off()
    figure.savefig(path, dpi=80)


def main() -> None:
    """Train, restore the cat, print scores, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300, help="training steps (default: %(default)s)")
    parser.add_argument("--out", default="assembled.png", help="picture to write (default: %(default)s)")
    options = parser.parse_args()
    if options.steps < 1:
        parser.error("--steps must be at least 1")

    torch.set_num_threads(1)  # steps as small as these gain little from more, and lose a lot where cores are shared
    torch.manual_seed(0)  # of the initial weights
    model = Restorer()
    print(f"{count_parameters(model):,} parameters")
    train(model, options.steps)

    clean = to_tensor(data.chelsea())
    damaged = DAMAGE(clean, generator=torch.Generator().manual_seed(11))
    assert isinstance(damaged, Tensor)
    with torch.inference_mode():
        restored = model.eval()(damaged).clamp(0, 1)
    scores = {name: psnr(x.clamp(0, 1), clean).item() for name, x in (("damaged", damaged), ("restored", restored))}
    for name, score in scores.items():
        print(f"{name:<10}{score:.2f} dB")
    titles = {name: f"{name}, {score:.2f} dB" for name, score in scores.items()}
    draw({titles["damaged"]: damaged, titles["restored"]: restored, "true": clean}, options.out)


if __name__ == "__main__":
    main()
