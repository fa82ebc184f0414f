"""psnr, ssim and ms_ssim, forward and with the gradient, against scikit-image and the packages that people use.

Targets: ssim at 1080p on two threads at least eight times as quick as scikit-image, and as the quickest package forward
and with the gradient; ahead of every package elsewhere. Packages that cannot be imported are left out; for piq its way
of computing SSIM stands, written out. scikit-image has neither gradients nor MS-SSIM. Not all compute the same:
kornia's PSNR is one number per batch, its SSIM pads the pictures and gives a map, averaged here; the others' SSIM is
that of ``ssim``.

The floor of ssim counts 4 filterings of 11 taps on two axes, 176 operations a value, and both pictures read once; with
the gradient three times the operations, and the gradient written. That of psnr counts reading alone.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from floor import Limits, limits
from harness import Floor, Measurement, Options, compare, main
from plain_ssim import dense_window_ssim
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from restorekit.metrics import ms_ssim, psnr, ssim

Metric = Callable[[Tensor, Tensor], Any]


def by_skimage(metric: Metric, **options: object) -> Metric:
    """A function of NumPy pictures, applied to one after the other."""

    def call(prediction: Tensor, target: Tensor) -> list[float]:
        pairs = zip(prediction.numpy(), target.numpy(), strict=True)
        return [metric(t, p, data_range=1.0, **options) for p, t in pairs]

    return call


def packages(options: Options) -> dict[str, Any]:
    """The packages that can be imported here."""
    modules = {
        "pytorch-msssim": "pytorch_msssim",
        "torchmetrics": "torchmetrics.functional.image",
        "piq": "piq",
        "kornia": "kornia.metrics",
    }
    found = {name: options.peer(name, module) for name, module in modules.items()}
    return {name: module for name, module in found.items() if module is not None}


def peers(found: dict[str, Any]) -> dict[str, dict[str, Metric]]:
    """The differentiable ways of computing each metric, by metric and package."""
    ways: dict[str, dict[str, Metric]] = {"psnr": {}, "ssim": {}, "ms_ssim": {}}
    if "pytorch-msssim" in found:
        msssim = found["pytorch-msssim"]
        ways["ssim"]["pytorch-msssim"] = lambda p, t: msssim.ssim(p, t, data_range=1.0)
        ways["ms_ssim"]["pytorch-msssim"] = lambda p, t: msssim.ms_ssim(p, t, data_range=1.0)
    if "torchmetrics" in found:
        torchmetrics = found["torchmetrics"]
        ways["psnr"]["torchmetrics"] = lambda p, t: torchmetrics.peak_signal_noise_ratio(
            p, t, data_range=1.0, dim=(1, 2, 3)
        )
        ways["ssim"]["torchmetrics"] = lambda p, t: torchmetrics.structural_similarity_index_measure(
            p, t, data_range=1.0
        )
        ways["ms_ssim"]["torchmetrics"] = lambda p, t: torchmetrics.multiscale_structural_similarity_index_measure(
            p, t, data_range=1.0
        )
    if "piq" in found:
        piq = found["piq"]
        ways["psnr"]["piq"] = lambda p, t: piq.psnr(p, t, data_range=1.0)
        ways["ssim"]["piq"] = lambda p, t: piq.ssim(p, t, data_range=1.0, downsample=False)
        ways["ms_ssim"]["piq"] = lambda p, t: piq.multi_scale_ssim(p, t, data_range=1.0)
    else:
        ways["ssim"]["dense windows, as piq"] = dense_window_ssim
    if "kornia" in found:
        kornia = found["kornia"]
        ways["psnr"]["kornia"] = lambda p, t: kornia.psnr(p, t, 1.0)
        ways["ssim"]["kornia"] = lambda p, t: kornia.ssim(p, t, 11).mean()
    return ways


def gradient(metric: Metric, prediction: Tensor, target: Tensor) -> Tensor:
    """The gradient to the prediction."""
    leaf = prediction.detach().requires_grad_()
    return torch.autograd.grad(metric(leaf, target).sum(), leaf)[0]


def by_scikit_image() -> dict[str, Metric]:
    """What it has of them."""
    window = {"channel_axis": 0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return {
        "psnr": by_skimage(peak_signal_noise_ratio),
        "ssim": by_skimage(structural_similarity, **window),
    }


def floors(machine: Limits, name: str, values: int, passes: int) -> dict[str, Floor]:
    """Of psnr and ssim: forward is one pass, the gradient makes it three."""
    operations = {"psnr": 3, "ssim": 176}
    if name not in operations:
        return {}
    traffic = 4 * values * (2 if passes == 1 else 3)
    return {f"restorekit {name}": machine.floor(passes * operations[name] * values, traffic)}


def rows(
    name: str, ways: dict[str, Metric], pair: tuple[Tensor, Tensor], machine: Limits, repeats: int
) -> list[Measurement]:
    """Forward, then with the gradient; the first way is ours."""
    prediction = pair[0]
    title = " x ".join(map(str, prediction.shape))
    values, shared = prediction.numel(), {"repeats": repeats, "table": name, "limit": 12}
    with torch.no_grad():
        calls = {way: partial(f, *pair) for way, f in ways.items()}
        forward = compare(title, calls, floors=floors(machine, name, values, 1), **shared)
    calls = {way: partial(gradient, f, *pair) for way, f in ways.items() if way != "scikit-image"}
    return [forward, compare(f"{title}, with the gradient", calls, floors=floors(machine, name, values, 3), **shared)]


def measure(options: Options) -> list[Measurement]:
    """Each metric at one large picture and at a batch of small ones."""
    theirs, skimage_ways = peers(packages(options)), by_scikit_image()
    shapes = ((1, 3, 180, 240),) if options.quick else ((1, 3, 1080, 1920), (16, 3, 256, 256))
    machine, repeats, found = limits(options), 3 if options.quick else 15, []
    for ours in (psnr, ssim, ms_ssim):
        name = ours.__name__
        ways: dict[str, Metric] = {f"restorekit {name}": ours}
        ways |= {"scikit-image": skimage_ways[name]} if name in skimage_ways else {}
        for shape in shapes:
            generator = torch.Generator().manual_seed(0)
            target, noise = (torch.rand(shape, generator=generator) for _ in range(2))
            found += rows(name, {**ways, **theirs[name]}, (0.9 * target + 0.1 * noise, target), machine, repeats)
    return found


if __name__ == "__main__":
    main(__doc__, measure)
