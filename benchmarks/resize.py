"""image.resize against torch's antialiased bicubic, at 1080p. Target by 1/4 and by 4: within 1.5 times torch's time.

The two differ within a few pixels of the border, where MATLAB mirrors the picture and torch cuts the window.
"""

import torch
import torch.nn.functional as F
from harness import arguments, compare

from restorekit.image import resize


def main() -> None:
    """Compare at five scales."""
    options = arguments(__doc__.splitlines()[0])
    height, width = (270, 480) if options.quick else (1080, 1920)
    repeats = 5 if options.quick else 21
    x = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    for name, scale in (("1/4", 1 / 4), ("1/3", 1 / 3), ("0.37", 0.37), ("2", 2.0), ("4", 4.0)):
        expected = F.interpolate(x, scale_factor=scale, mode="bicubic", antialias=True)
        rows, columns = expected.shape[-2:]
        inner = (..., slice(16, rows - 16), slice(16, columns - 16))
        difference = (resize(x, scale)[inner] - expected[inner]).abs().max().item()
        compare(
            f"{width} x {height} by {name}, largest difference inside {difference:.0e}",
            {
                "torch, bicubic antialiased": lambda s=scale: F.interpolate(
                    x, scale_factor=s, mode="bicubic", antialias=True
                ),
                "image.resize": lambda s=scale: resize(x, s),
            },
            repeats=repeats,
        )


if __name__ == "__main__":
    with torch.no_grad():
        main()
