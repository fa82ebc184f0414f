"""image.resize against torch's antialiased bicubic, at 1080p. Target by 1/4 and by 4: within 1.5 times torch's time.

The two differ within a few pixels of the border, where MATLAB mirrors the picture and torch cuts the window.
"""

from functools import partial

import torch
import torch.nn.functional as F
from harness import Measurement, Options, compare, main

from restorekit.image import resize


def measure(options: Options) -> list[Measurement]:
    """Compare at five scales."""
    height, width = (270, 480) if options.quick else (1080, 1920)
    x = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    found = []
    for name, scale in (("1/4", 1 / 4), ("1/3", 1 / 3), ("0.37", 0.37), ("2", 2.0), ("4", 4.0)):
        theirs = partial(F.interpolate, x, scale_factor=scale, mode="bicubic", antialias=True)
        expected = theirs()
        rows, columns = expected.shape[-2:]
        inner = (..., slice(16, rows - 16), slice(16, columns - 16))
        difference = (resize(x, scale)[inner] - expected[inner]).abs().max().item()
        found.append(
            compare(
                f"by {name}",
                {"torch, bicubic antialiased": theirs, "restorekit": partial(resize, x, scale)},
                repeats=5 if options.quick else 21,
                table=f"{width} x {height}",
                note=f"largest difference inside {difference:.0e}",
            )
        )
    return found


if __name__ == "__main__":
    main(__doc__, measure)
