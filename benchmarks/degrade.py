"""degrade's blur and noise against the obvious alternatives, a level for each of 16 pictures of 256 x 256.

Target for the Gaussian blur: at most half of kornia's time. kornia takes one kernel size for the batch: the largest
that the blur here uses. Without kornia its rows are left out.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from harness import Measurement, Options, compare, main
from scipy.ndimage import gaussian_filter
from torch import Tensor

from restorekit.degrade import defocus_blur, gaussian_blur, gaussian_noise, motion_blur

Blur = Callable[[Tensor, Tensor], Tensor]


def kornia_blur(options: Options) -> Blur | None:
    """Its Gaussian blur with the same border, or None where it is not installed."""
    filters = options.peer("kornia", "kornia.filters")
    if filters is None:
        return None

    def blur(x: Tensor, sigma: Tensor) -> Tensor:
        size = 2 * int(4 * sigma.max().item() + 0.5) + 1
        return filters.gaussian_blur2d(x, (size, size), torch.stack([sigma, sigma], 1), border_type="replicate")

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


def blurs(x: Tensor, sigma: Tensor, options: Options, repeats: int) -> list[Measurement]:
    """The Gaussian blur forward and with its gradient, then the others, which have no peer."""
    kornia = kornia_blur(options)
    ways: dict[str, Blur] = {"kornia": kornia} if kornia else {}
    ways["restorekit"] = gaussian_blur
    table = f"Blur, {' x '.join(map(str, x.shape))}"
    with torch.no_grad():
        calls = {name: partial(f, x, sigma) for name, f in {**ways, "SciPy, picture by picture": scipy_blur}.items()}
        found = [compare("Gaussian, sigma 0.5 to 3", calls, repeats=repeats, table=table)]
    calls = {name: partial(with_gradient, f, x, sigma) for name, f in ways.items()}
    found.append(compare("the same with its gradient", calls, repeats=repeats, table=table))
    n = len(x)
    others = {"restorekit, motion, 9 to 21 px": lambda: motion_blur(x, torch.linspace(9, 21, n), angle=0.4)}
    others["restorekit, defocus, 2 to 8 px"] = lambda: defocus_blur(x, torch.linspace(2, 8, n))
    with torch.no_grad():
        return [*found, compare("motion and defocus", others, repeats=repeats, table="Other blurs")]


def measure(options: Options) -> list[Measurement]:
    """Blurs, then noise."""
    n, side, repeats = (4, 64, 5) if options.quick else (16, 256, 21)
    x = torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(0))
    sigma = torch.linspace(0.5, 3, n)
    source, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    noise = {
        "NumPy, picture by picture": lambda: numpy_noise(x, sigma / 30, source),
        "restorekit": lambda: gaussian_noise(x, sigma / 30, generator=generator),
    }
    title = f"Gaussian, {n} x 3 x {side} x {side}"
    return [*blurs(x, sigma, options, repeats), compare(title, noise, repeats=repeats, table="Noise")]


if __name__ == "__main__":
    main(__doc__, measure)
