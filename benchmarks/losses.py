"""restorekit.losses, forward and backward, against the packages that users have; those that are missing are left out.

Targets: as fast as the fastest of pytorch-msssim, piq and kornia for SSIM and MS-SSIM, faster than the formula of the
Charbonnier loss written out, and as fast as that of the VGG loss. The value of each way is printed, to show that all
compute the same; kornia halves 1 - SSIM, and its mixture has windows of its own at full resolution, which is another
loss for the same purpose.
"""

import importlib
from collections.abc import Callable
from types import ModuleType

import torch
from harness import arguments, compare
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.losses import CharbonnierLoss, GANLoss, MaskedLoss, MixLoss, MSSSIMLoss, SSIMLoss, VGGLoss, WeightedSum
from restorekit.models import VGG19Features

Loss = Callable[[Tensor, Tensor], Tensor]
Ways = dict[str, Loss]


def found(name: str) -> ModuleType | None:
    """A package, if it is installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def ssim_ways() -> Ways:
    """One minus SSIM with the published window, where it fits, at full size."""
    ways: Ways = {"restorekit": SSIMLoss()}
    if peer := found("pytorch_msssim"):
        ways["pytorch-msssim"] = lambda a, b, f=peer.ssim: 1 - f(a, b, data_range=1.0)
    if peer := found("piq"):
        ways["piq"] = lambda a, b, f=peer.ssim: 1 - f(a, b, data_range=1.0, downsample=False)
    if peer := found("kornia.losses"):
        ways["kornia (halved)"] = lambda a, b, f=peer.ssim_loss: f(a, b, 11, padding="valid")
    return ways


def ms_ssim_ways() -> Ways:
    """One minus MS-SSIM of five scales."""
    ways: Ways = {"restorekit": MSSSIMLoss()}
    if peer := found("pytorch_msssim"):
        ways["pytorch-msssim"] = lambda a, b, f=peer.ms_ssim: 1 - f(a, b, data_range=1.0)
    if peer := found("piq"):
        ways["piq"] = lambda a, b, f=peer.multi_scale_ssim: 1 - f(a, b, data_range=1.0)
    return ways


def mix_ways() -> Ways:
    """MS-SSIM and weighted L1."""
    ways: Ways = {"restorekit": MixLoss(), "restorekit, plain L1": MixLoss(sigma=None)}
    if peer := found("kornia.losses"):
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


def masked_ways(side: int) -> Ways:
    """L1 without what Cutout erased, and the published product with a mask of full size."""
    mask = (torch.rand(16, 1, side, side, generator=torch.Generator().manual_seed(2)) < 0.999).float()
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


def measure(title: str, ways: Ways, shape: tuple[int, ...], repeats: int) -> None:
    """Print what each way finds and how long it takes with the gradient of the prediction."""
    generator = torch.Generator().manual_seed(0)
    target, noise = (torch.rand(shape, generator=generator) for _ in range(2))
    prediction = (0.8 * target + 0.2 * noise).requires_grad_()

    def step(loss: Loss) -> Tensor:
        prediction.grad = None
        value = loss(prediction, target)
        value.backward()
        return value.detach()

    values = ", ".join(f"{name} {step(loss).item():.6f}" for name, loss in ways.items())
    calls: dict[str, Callable[[], object]] = {name: lambda loss=loss: step(loss) for name, loss in ways.items()}
    compare(f"{title}, {'x'.join(map(str, shape))}: {values}", calls, repeats=repeats)


def main() -> None:
    """A training batch for every loss, a frame of 1080p for those with windows of their own."""
    options = arguments(__doc__.splitlines()[0])
    side, repeats = (176, 3) if options.quick else (256, 15)
    batch, frame = (16, 3, side, side), (1, 3, 1080, 1920)
    for title, ways in (("Charbonnier", pixel_ways()), ("two terms", sum_ways()), ("masked L1", masked_ways(side))):
        measure(title, ways, batch, repeats)
    for title, ways in (("1 - SSIM", ssim_ways()), ("1 - MS-SSIM", ms_ssim_ways())):
        for shape in (batch,) if options.quick else (batch, frame):
            measure(title, ways, shape, repeats)
    # few and small: the 33x33 windows of kornia take seconds for each picture
    measure("MS-SSIM and L1", mix_ways(), (2, 3, side, side), 3)
    measure("VGG-19", vgg_ways(), (2, 3, side, side), 3)
    for kind in ("vanilla", "least-squares", "hinge", "relativistic", "wgan"):
        measure(f"GAN, {kind}", gan_ways(kind), (16, 1, side // 8, side // 8), repeats)


if __name__ == "__main__":
    main()
