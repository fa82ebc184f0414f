"""psnr, ssim and ms_ssim, forward and with the gradient, against scikit-image and the packages that people use.

Targets, on two threads: ssim at 1080p at least 8 times as quick as scikit-image, and with the gradient at least 8 times
as quick as the quickest package; ahead of every package, forward and with the gradient, at both sizes. Packages that
cannot be imported are left out: ``pip install pytorch-msssim torchmetrics piq kornia``. scikit-image has neither
gradients nor MS-SSIM. Not all compute the same: kornia's PSNR is one number per batch, its SSIM pads the pictures and
gives a map, averaged here; the others' SSIM is that of ``ssim``.

The floor of ssim: 4 filterings of 11 taps on two axes are 176 flops a value, 1.1 GFLOP at 1080p; both pictures are
50 MB there. The bands of the products multiply by zeros, too, and make that 3.4 GFLOP. About as long as the products
take the passes over single maps, some 18 without and 35 with the gradient.
"""

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from harness import arguments, compare
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


def packages() -> dict[str, Any]:
    """The packages that can be imported here."""
    modules = {
        "pytorch-msssim": "pytorch_msssim",
        "torchmetrics": "torchmetrics.functional.image",
        "piq": "piq",
        "kornia": "kornia.metrics",
    }
    found = {}
    for name, module in modules.items():
        try:
            found[name] = importlib.import_module(module)
        except ImportError as error:
            print(f"{name} is left out: {error}")
    return found


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
    if "kornia" in found:
        kornia = found["kornia"]
        ways["psnr"]["kornia"] = lambda p, t: kornia.psnr(p, t, 1.0)
        ways["ssim"]["kornia"] = lambda p, t: kornia.ssim(p, t, 11).mean()
    return ways


def gradient(metric: Metric, prediction: Tensor, target: Tensor) -> Tensor:
    """The gradient to the prediction."""
    leaf = prediction.detach().requires_grad_()
    return torch.autograd.grad(metric(leaf, target).sum(), leaf)[0]


def main() -> None:
    """Compare at one large picture and at a batch of small ones."""
    options = arguments(__doc__.splitlines()[0])
    repeats = 3 if options.quick else 15
    skimage_ways: dict[str, dict[str, Metric]] = {
        "psnr": {"scikit-image": by_skimage(peak_signal_noise_ratio)},
        "ssim": {
            "scikit-image": by_skimage(
                structural_similarity, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
            )
        },
        "ms_ssim": {},
    }
    theirs = peers(packages())
    for shape in ((1, 3, 270, 480), (4, 3, 176, 176)) if options.quick else ((1, 3, 1080, 1920), (16, 3, 256, 256)):
        generator = torch.Generator().manual_seed(0)
        target = torch.rand(shape, generator=generator)
        pair = 0.9 * target + 0.1 * torch.rand(shape, generator=generator), target
        for ours in (psnr, ssim, ms_ssim):
            name = ours.__name__
            title = f"{name}, {' x '.join(map(str, shape))}"
            ways = {f"restorekit {name}": ours, **skimage_ways[name], **theirs[name]}
            with torch.no_grad():
                compare(f"{title}, forward", {way: partial(f, *pair) for way, f in ways.items()}, repeats=repeats)
            calls = {way: partial(gradient, f, *pair) for way, f in ways.items() if way not in skimage_ways[name]}
            compare(f"{title}, with the gradient", calls, repeats=repeats)


if __name__ == "__main__":
    main()
