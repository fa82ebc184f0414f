"""What each file of weights is scored on: the damage, the protocols, and what was published under them."""

import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from restorekit.data import PairedFolder
from restorekit.degrade import gaussian_noise, jpeg, shdd
from restorekit.evaluation import PROTOCOLS, Protocol
from restorekit.image import resize, to_image, to_tensor
from restorekit.inference import restore
from restorekit.models import Restorer

Run = Callable[[Tensor], Tensor]

TRUNCATED = PROTOCOLS["sr-y-truncated"]
WHOLE = Protocol("rgb-whole", color="rgb", crop_border=0)
# Grey pictures have three equal channels here, so that RGB is the grey value in all of its 256 levels; the luma of the
# other protocols has 220 of them, which is worth 1.3 dB.
GREY = Protocol("grey-whole", color="rgb", crop_border=0)
MEANING = {
    "sr-y": "luma, output rounded, `scale` pixels of border left out",
    "sr-y-truncated": "luma, output truncated and luma rounded as by the authors of CARN, `scale` pixels left out",
    "rgb-whole": "all channels, output rounded, no border left out",
    "grey-whole": "grey values from 0 to 255, output rounded, no border left out: as in DnCNN's tables",
    "jpeg-y": "luma from 16 to 235, rounded, 4 pixels left out: as in the thesis",
}


@dataclass(frozen=True)
class Condition:
    """Pictures that are damaged to one degree.

    Args:
        label: Of the damage.
        sets: Folders of pictures.
        protocols: How what is restored is compared.
        reference: What the damaged picture is called, or how it is enlarged.
        scale: Enlargement.
        damage: None where the small pictures are part of the set.
        grey: Pictures are grey, and restored as such.
    """

    label: str
    sets: tuple[str, ...]
    protocols: tuple[Protocol, ...]
    reference: str = "damaged"
    scale: int = 1
    damage: Run | None = None
    grey: bool = False

    def pictures(self, root: Path, name: str) -> Path | PairedFolder:
        """What ``evaluate`` reads: true pictures twice, where they are damaged here."""
        folder = root / name
        if self.damage is None:
            return folder
        true = folder / "HR" if (folder / "HR").is_dir() else folder
        return PairedFolder(true, true, scale=1)

    def plain(self) -> Run:
        """The reference: what the damaged picture scores by itself."""
        if self.damage is None:
            return lambda lq: resize(lq, self.scale)
        return self.damage

    def restoring(self, model: Restorer) -> Run:
        """Damage and restore."""
        damage, channels = self.damage or (lambda lq: lq), 1 if self.grey else 3

        def run(x: Tensor) -> Tensor:
            return restore(model, damage(x)[:, :channels], scale=self.scale).expand(-1, 3, -1, -1)

        return run


class Once:
    """A function that is computed once for each picture, however many protocols ask."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.known: dict[str, Tensor] = {}

    def __call__(self, x: Tensor) -> Tensor:
        key = hashlib.sha256(x.numpy().tobytes()).hexdigest()
        if key not in self.known:
            self.known[key] = self.run(x)
        return self.known[key]


def draws(x: Tensor) -> torch.Generator:
    """A generator of the picture's own: the same draws for it in every set, order and run."""
    samples = to_image(x[0], like="uint8")
    return torch.Generator().manual_seed(zlib.crc32(samples.tobytes()))


def noisy(sigma: float, *, file: bool) -> Run:
    """Gaussian noise, sigma of 255: as it is drawn, or in the 8 bits of a file."""

    def damage(x: Tensor) -> Tensor:
        noise = gaussian_noise(x, sigma / 255, clip=file, generator=draws(x))
        return to_tensor(to_image(noise, like="uint8")) if file else noise

    return damage


def compressed(quality: int, *, grey: bool = False) -> Run:
    """JPEG by Pillow; the colour of colour pictures is halved as cameras do."""
    return lambda x: jpeg(x[:, :1] if grey else x, quality).expand(-1, 3, -1, -1)


def heterogeneous(x: Tensor) -> Tensor:
    """SHDD's middle level."""
    return shdd("moderate")(x, generator=draws(x))


def enlarging(*scales: int) -> tuple[Condition, ...]:
    """Set5 and Set14 at each factor."""
    protocols = PROTOCOLS["sr-y"], TRUNCATED
    return tuple(Condition(f"x{scale}", ("Set5", "Set14"), protocols, "bicubic", scale) for scale in scales)


NOISE = tuple(
    Condition(f"sigma {sigma}{', 8 bits' if file else ''}", ("Set5", "Set14"), (WHOLE,), damage=noisy(sigma, file=file))
    for file in (False, True)
    for sigma in (15, 25, 50)
)
GREY_JPEG = tuple(
    Condition(f"quality {q}", ("classic5",), (PROTOCOLS["jpeg-y"], GREY), damage=compressed(q, grey=True), grey=True)
    for q in (10, 20, 30, 40)
)
COLOUR_JPEG = tuple(
    Condition(f"quality {q}, colour", ("Set5",), (PROTOCOLS["jpeg-y"], WHOLE), damage=compressed(q))
    for q in (10, 20, 40)
)
SHDD = (Condition("SHDD moderate", ("Set5", "Set14"), (WHOLE,), damage=heterogeneous),)
CONDITIONS: dict[str, tuple[Condition, ...]] = {
    "carn_m": enlarging(2, 3, 4),
    "carn": enlarging(2, 3, 4),
    "edsr_denoising": NOISE,
    "edsr_jpeg": GREY_JPEG + COLOUR_JPEG,
    "mepsnet": SHDD,
    "sparse_resnet": enlarging(2),
    "sparse_resnet_dense": enlarging(2),
}
