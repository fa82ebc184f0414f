"""A blind denoiser and a remover of JPEG artefacts: EDSR at half the resolution, and MEPSNet for mixed distortions.

A network that folds 2 x 2 pixels into channels spends half of DnCNN-20's multiply-adds on twice as many weights.
It starts as the identity, so that it learns what is wrong with a picture and not first what a picture is.
"""

from collections.abc import Callable
from functools import partial

import torch
from skimage.data import chelsea
from torch import Tensor

from restorekit.augment import blend, permute_rgb
from restorekit.data import DegradedFolder, RandomCropPairs
from restorekit.degrade import gaussian_noise, jpeg, shdd
from restorekit.image import to_tensor
from restorekit.models import EDSR, edsr, load_default, mepsnet
from restorekit.train import supervised
from restorekit.train.supervised import Augment, Step
from weights.recipe import Pictures, Recipe, Stage, plain

Draw = torch.Generator | None

MOST_NOISE = 50 / 255
QUALITIES = 10, 90
HELD_OUT_SIDE = 128
FOLD = 2
IDLE = 1e-3  # of the pixels
SHDD = shdd("moderate", reference_size=(321, 481))  # of a whole picture; that in a patch would be far stronger


def identity_edsr() -> EDSR:
    """EDSR's baseline on folded pictures, whose linear path hands each pixel through at first."""
    net = edsr(FOLD, head="desubpixel")
    colours, places = 3, FOLD**2
    as_shuffled = [place * colours + colour for colour in range(colours) for place in range(places)]
    channels = range(len(as_shuffled))
    upsampler = net.upsampler.convs[0]
    with torch.no_grad():
        for layer, inputs in ((net.entry, as_shuffled), (upsampler, channels), (net.exit, range(colours))):
            layer.weight[: len(inputs)] = 0
            layer.bias[: len(inputs)] = 0
            layer.weight[range(len(inputs)), inputs, 1, 1] = 1
        net.body[-1].weight.zero_()
        net.body[-1].bias.zero_()
    return net


def from_denoiser() -> EDSR:
    """The denoiser that ships, with its idle units made new: a JPEG remover needs the same eyes."""
    net = load_default("denoising")
    wake(net, noise_of_25(to_tensor(chelsea())))
    return net


def wake(net: EDSR, x: Tensor) -> None:
    """Give the units of residual blocks whose ReLU passes next to nothing of ``x`` fresh weights.

    What they feed is set to zero, so that the network computes much the same, and the units can learn again.
    """
    blocks, shares = list(net.body)[:-1], []
    hooks = [
        block.conv1.register_forward_hook(lambda _, __, out: shares.append((out > 0).float().mean(dim=(0, 2, 3))))
        for block in blocks
    ]
    with torch.no_grad():
        net(x)
        for block, hook, share in zip(blocks, hooks, shares, strict=True):
            hook.remove()
            idle = share < IDLE
            fresh = torch.nn.init.kaiming_normal_(torch.empty_like(block.conv1.weight))
            block.conv1.weight[idle], block.conv1.bias[idle], block.conv2.weight[:, idle] = fresh[idle], 0, 0


def clean(pictures: Pictures, stage: Stage, seed: int) -> RandomCropPairs:
    """True patches twice; the step damages the first ones."""
    length = stage.steps * stage.batch_size
    return RandomCropPairs(pictures.training(), patch_size=stage.patch_size, scale=1, length=length, seed=seed)


def damaging(damage: Augment) -> Callable[[Stage], Step]:
    """Steps that change the colours of some pictures and damage all.

    Pictures of nature lack some colours. A network that never saw one shifts plain areas of it by several levels.
    """

    def augment(stage: Stage, lq: Tensor, hq: Tensor, *, generator: Draw = None) -> tuple[Tensor, Tensor]:
        if stage.recolour:
            lq, hq = permute_rgb(lq, hq, p=stage.recolour, generator=generator)
            lq, hq = blend(lq, hq, p=stage.recolour, generator=generator)
        return damage(lq, hq, generator=generator)

    return lambda stage: supervised(augment=partial(augment, stage))


def noisy(_: Tensor, hq: Tensor, *, generator: Draw = None) -> tuple[Tensor, Tensor]:
    """Gaussian noise of sigma 0 to 50; half of the pictures in the range of a file, half unclipped as in the papers."""
    sigma, kind = torch.rand(2, len(hq), generator=generator).to(hq.device)
    lq = gaussian_noise(hq, sigma * MOST_NOISE, clip=False, generator=generator)
    return torch.where((kind < 0.5)[:, None, None, None], lq.clamp(0, 1), lq), hq


def compressed(_: Tensor, hq: Tensor, *, generator: Draw = None) -> tuple[Tensor, Tensor]:
    """JPEG of quality 10 to 90, half of it below 20, where much is to be mended.

    Three of ten pictures are grey, a quarter has all of its colour samples kept.
    """
    level, kind = torch.rand(2, len(hq), generator=generator).to(hq.device)
    quality = (QUALITIES[0] + level**3 * (QUALITIES[1] - QUALITIES[0])).round()
    hq = torch.where((kind < 0.3)[:, None, None, None], _grey(hq), hq)
    lq, full = jpeg(hq, quality), kind >= 0.75
    if full.any():
        lq[full] = jpeg(hq[full], quality[full], subsampling="4:4:4")
    return lq, hq


def _grey(x: Tensor) -> Tensor:
    """The luma in all three channels."""
    return (x * x.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(dim=1, keepdim=True).expand_as(x)


def damaged(damage: Callable[[Tensor], Tensor], pictures: Pictures) -> tuple[int, list[tuple[Tensor, Tensor]]]:
    """The held-out pictures, damaged to the same degree."""
    return 1, [(damage(hq), hq) for hq in pictures.held_out(HELD_OUT_SIDE)]


def noise_of_25(hq: Tensor) -> Tensor:
    """Sigma 25, the same draws each time."""
    return gaussian_noise(hq, 25 / 255, clip=False, generator=torch.Generator().manual_seed(0))


def moderate(hq: Tensor) -> Tensor:
    """SHDD's middle level, the same draws each time."""
    return SHDD(hq, generator=torch.Generator().manual_seed(0))


def cut_and_damaged(pictures: Pictures, stage: Stage, seed: int) -> DegradedFolder:
    """Patches, each of them damaged differently from place to place."""
    crops, size = pictures.training(), stage.patch_size
    variants = -(-stage.steps * stage.batch_size // len(crops))
    return DegradedFolder(crops, SHDD, seed=seed, variants=variants, patch_size=size)


DENOISING = Recipe(
    name="edsr_denoising",
    network=identity_edsr,
    pairs=clean,
    step=damaging(noisy),
    stages=(
        Stage(steps=10000, patch_size=48, batch_size=16, learning_rate=1e-3, floor=0.2),
        Stage(steps=8000, patch_size=96, batch_size=8, learning_rate=5e-4),
        Stage(steps=3000, patch_size=96, batch_size=8, learning_rate=3e-4, recolour=0.5),
    ),
    examples=partial(damaged, noise_of_25),
)
JPEG = Recipe(
    name="edsr_jpeg",
    network=from_denoiser,
    pairs=clean,
    step=damaging(compressed),
    stages=(Stage(steps=2000, patch_size=96, batch_size=8, learning_rate=2e-4),),
    examples=partial(damaged, partial(jpeg, quality=10)),
)
MIXED = Recipe(
    name="mepsnet",
    network=partial(mepsnet, experts=3, units=1, blocks=4, channels=32, extraction_channels=64),
    pairs=cut_and_damaged,
    step=plain,
    stages=(Stage(steps=4000, patch_size=80, batch_size=8, learning_rate=1e-3),),
    examples=partial(damaged, moderate),
)
