"""degrade's blur and noise against the obvious alternatives, a level for each of 16 pictures of 256 x 256.

Target for the Gaussian blur: at most half of kornia's time. kornia takes one kernel size for the batch: the largest
that the blur here uses. Without kornia its rows are left out.
"""

import importlib.util
from collections.abc import Callable

import numpy as np
import torch
from harness import arguments, compare
from scipy.ndimage import gaussian_filter
from torch import Tensor

from restorekit.degrade import defocus_blur, gaussian_blur, gaussian_noise, motion_blur

Blur = Callable[[Tensor, Tensor], Tensor]


def kornia_blur() -> Blur | None:
    """Its Gaussian blur with the same border, or None where it is not installed."""
    if importlib.util.find_spec("kornia") is None:
        print("kornia is not installed: its rows are left out")
        return None
    from kornia.filters import gaussian_blur2d  # noqa: PLC0415

    def blur(x: Tensor, sigma: Tensor) -> Tensor:
        size = 2 * int(4 * sigma.max().item() + 0.5) + 1
        return gaussian_blur2d(x, (size, size), torch.stack([sigma, sigma], 1), border_type="replicate")

    return blur


def scipy_blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Picture by picture."""
    pairs = zip(x.numpy(), sigma.tolist(), strict=True)
    return torch.from_numpy(np.stack([gaussian_filter(p, (0, s, s), mode="nearest", truncate=4) for p, s in pairs]))


def numpy_noise(x: Tensor, sigma: Tensor, source: np.random.Generator) -> Tensor:
    """Picture by picture."""
    pairs = zip(x.numpy(), sigma.tolist(), strict=True)
    noisy = [(p + np.float32(s) * source.standard_normal(p.shape, np.float32)).clip(0, 1) for p, s in pairs]
    return torch.from_numpy(np.stack(noisy))


def with_gradient(blur: Blur, x: Tensor, sigma: Tensor) -> None:
    """Forward and backward, to the pictures."""
    blur(x.detach().requires_grad_(), sigma).sum().backward()


def main() -> None:
    """Compare forward, and for the blur also with its gradient."""
    options = arguments(__doc__.splitlines()[0])
    n, side, repeats = (4, 64, 5) if options.quick else (16, 256, 21)
    x = torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(0))
    sigma = torch.linspace(0.5, 3, n)
    kornia = kornia_blur()
    blurs: dict[str, Blur] = {"kornia": kornia} if kornia else {}
    blurs["degrade.gaussian_blur"] = gaussian_blur
    with torch.no_grad():
        ways = {name: lambda f=f: f(x, sigma) for name, f in blurs.items()}
        ways["SciPy, picture by picture"] = lambda: scipy_blur(x, sigma)
        compare(f"Gaussian blur, sigma 0.5 to 3, {n} x 3 x {side} x {side}", ways, repeats=repeats)
        others = {"motion_blur, 9 to 21 px": lambda: motion_blur(x, torch.linspace(9, 21, n), angle=0.4)}
        others["defocus_blur, 2 to 8 px"] = lambda: defocus_blur(x, torch.linspace(2, 8, n))
        compare("The other blurs", others, repeats=repeats)
    ways = {name: lambda f=f: with_gradient(f, x, sigma) for name, f in blurs.items()}
    compare("Gaussian blur and its gradient", ways, repeats=repeats)
    source, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    ways = {
        "NumPy, picture by picture": lambda: numpy_noise(x, sigma / 30, source),
        "degrade.gaussian_noise": lambda: gaussian_noise(x, sigma / 30, generator=generator),
    }
    compare(f"Gaussian noise, {n} x 3 x {side} x {side}", ways, repeats=repeats)


if __name__ == "__main__":
    main()
