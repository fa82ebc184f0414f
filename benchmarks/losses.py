"""restorekit.losses, forward and backward, against the packages that users have; those that are missing are left out.

Targets: eight times as fast as the fastest of pytorch-msssim, piq and kornia for SSIM, ahead of them for MS-SSIM,
faster than the formula of the Charbonnier loss written out, and as fast as that of the VGG loss. The value of each way
is noted, to show that all compute the same; kornia halves 1 - SSIM, and its mixture has windows of its own at full
resolution, which is another loss for the same purpose.
"""

from collections.abc import Callable
from functools import partial

import torch
from harness import Measurement, Options, compare, main, working
from plain_ssim import dense_window_ssim
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.losses import CharbonnierLoss, GANLoss, MaskedLoss, MixLoss, MSSSIMLoss, SSIMLoss, VGGLoss, WeightedSum
from restorekit.models import VGG19Features

Loss = Callable[[Tensor, Tensor], Tensor]
Ways = dict[str, Loss]


def ssim_ways(options: Options) -> Ways:
    """One minus SSIM with the published window, where it fits, at full size."""
    ways: Ways = {"restorekit": SSIMLoss()}
    if peer := options.peer("pytorch-msssim", "pytorch_msssim"):
        ways["pytorch-msssim"] = lambda a, b, f=peer.ssim: 1 - f(a, b, data_range=1.0)
    if peer := options.peer("piq", "piq"):
        ways["piq"] = lambda a, b, f=peer.ssim: 1 - f(a, b, data_range=1.0, downsample=False)
    else:
        ways["dense windows, as piq"] = lambda a, b: 1 - dense_window_ssim(a, b).mean()
    if peer := options.peer("kornia", "kornia.losses"):
        ways["kornia (halved)"] = lambda a, b, f=peer.ssim_loss: f(a, b, 11, padding="valid")
    return ways


def ms_ssim_ways(options: Options) -> Ways:
    """One minus MS-SSIM of five scales."""
    ways: Ways = {"restorekit": MSSSIMLoss()}
    if peer := options.peer("pytorch-msssim", "pytorch_msssim"):
        ways["pytorch-msssim"] = lambda a, b, f=peer.ms_ssim: 1 - f(a, b, data_range=1.0)
    if peer := options.peer("piq", "piq"):
        ways["piq"] = lambda a, b, f=peer.multi_scale_ssim: 1 - f(a, b, data_range=1.0)
    return ways


def mix_ways(options: Options) -> Ways:
    """MS-SSIM and weighted L1."""
    ways: Ways = {"restorekit": MixLoss(), "restorekit, plain L1": MixLoss(sigma=None)}
    if peer := options.peer("kornia", "kornia.losses"):
        ways["kornia (another MS-SSIM)"] = peer.MS_SSIMLoss(alpha=0.84, compensation=1.0)
    return ways


def pixel_ways() -> Ways:
    """Charbonnier, and L1 as a yardstick."""
    return {
        "restorekit": CharbonnierLoss(),
        "formula written out": lambda a, b: ((a - b) ** 2 + 1e-3**2).sqrt().mean(),
        "torch, L1": F.l1_loss,
    }


def sum_ways() -> Ways:
    """Two losses added by a module, and by hand."""
    return {
        "restorekit": WeightedSum({"pixel": (F.l1_loss, 1.0), "power": (F.mse_loss, 0.1)}),
        "written out": lambda a, b: F.l1_loss(a, b) + 0.1 * F.mse_loss(a, b),
    }


def masked_ways(n: int, side: int) -> Ways:
    """L1 without what Cutout erased, and the published product with a mask of full size."""
    mask = (torch.rand(n, 1, side, side, generator=torch.Generator().manual_seed(2)) < 0.999).float()
    loss = MaskedLoss()
    return {
        "restorekit": lambda a, b: loss(a, b, mask),
        "published product": lambda a, b: F.l1_loss(mask * a, mask * b),
    }


def vgg_ways() -> Ways:
    """Squared distance of VGG-19's conv5_4, and what is commonly written for it; random weights take as long."""
    trunk = VGG19Features()
    layers = list(trunk.features)[:35]
    for layer in layers:
        if isinstance(layer, nn.Conv2d):  # what torch begins with would leave nothing to print
            nn.init.kaiming_normal_(layer.weight)
    chain = nn.Sequential(*[nn.ReLU(inplace=True) if isinstance(layer, nn.ReLU) else layer for layer in layers])
    return {
        "restorekit": VGGLoss(trunk),
        "written out": lambda a, b: F.mse_loss(chain(a), chain(b)),
    }


def gan_ways(kind: str) -> Ways:
    """Both players' losses on one map; a stands for fakes."""
    loss = GANLoss(kind)
    ways: Ways = {"restorekit": lambda a, b: loss.discriminator(b, a) + loss.generator(a, b)}
    if kind == "vanilla":
        entropy = F.binary_cross_entropy_with_logits
        ways["torch, cross entropy with labels"] = lambda a, b: (
            entropy(b, torch.ones_like(b)) + entropy(a, torch.zeros_like(a)) + entropy(a, torch.ones_like(a))
        )
    return ways


def row(title: str, ways: Ways, shape: tuple[int, ...], repeats: int) -> Measurement:
    """What each way finds, and how long it takes with the gradient of the prediction."""
    generator = torch.Generator().manual_seed(0)
    target, noise = (torch.rand(shape, generator=generator) for _ in range(2))
    prediction = (0.8 * target + 0.2 * noise).requires_grad_()

    def step(loss: Loss) -> Tensor:
        prediction.grad = None
        value = loss(prediction, target)
        value.backward()
        return value.detach()

    calls, lost = working({name: partial(step, loss) for name, loss in ways.items()})
    values = ", ".join(f"{name} {step(ways[name]).item():.6f}" for name in calls)
    size, note = " x ".join(map(str, shape)), "; ".join([f"values: {values}", *lost])
    return compare(size, calls, repeats=repeats, table=title, note=note, aside=["torch, L1"], limit=10)


def measure(options: Options) -> list[Measurement]:
    """A training batch for every loss, a frame of 1080p for those with windows of their own."""
    side, repeats = (176, 2) if options.quick else (256, 15)
    n = 1 if options.quick else 16
    batch, frame = (n, 3, side, side), (1, 3, 1080, 1920)
    pixel = (("Charbonnier", pixel_ways()), ("two terms", sum_ways()), ("masked L1", masked_ways(n, side)))
    found = [row(title, ways, batch, repeats) for title, ways in pixel]
    for title, ways in (("1 - SSIM", ssim_ways(options)), ("1 - MS-SSIM", ms_ssim_ways(options))):
        found += [row(title, ways, shape, repeats) for shape in ((batch,) if options.quick else (batch, frame))]
    # few and small: the 33x33 windows of kornia take seconds for each picture
    small = (1, 3, 176, 176) if options.quick else (2, 3, side, side)
    found.append(row("MS-SSIM and L1", mix_ways(options), small, 1 if options.quick else 3))
    found.append(row("VGG-19", vgg_ways(), (1, 3, 32, 32) if options.quick else small, min(repeats, 3)))
    for kind in ("vanilla", "least-squares", "hinge", "relativistic", "wgan"):
        found.append(row(f"GAN, {kind}", gan_ways(kind), (n, 1, side // 8, side // 8), repeats))
    return found


if __name__ == "__main__":
    main(__doc__, measure)
