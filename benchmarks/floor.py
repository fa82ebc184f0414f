"""The machine's limits as torch reaches them: arithmetic in matrix products and convolutions, and memory traffic.

The floor of a call is the time that its arithmetic takes at the rate of a matrix product, or that its bytes take at the
rate of a copy that no cache holds, whichever is longer.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from harness import Floor, Measurement, Options, main, record
from torch import Tensor

from restorekit.models import Restorer

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Limits:
    """What was measured here and now."""

    rates: dict[torch.dtype, float]  # floating-point operations a second in a matrix product
    bandwidth: float  # bytes a second, read and written

    def floor(self, flops: float, traffic: float, dtype: torch.dtype = torch.float32) -> Floor:
        """The least time for so many operations and so many bytes."""
        return Floor(max(flops / self.rates[dtype], traffic / self.bandwidth), flops, traffic)

    def network(self, model: Restorer, x: Tensor, scale: int, dtype: torch.dtype = torch.float32) -> Floor:
        """The least time for a network: its multiply-adds, and the picture, the result and the weights once each."""
        pixels = x.shape[0] * x.shape[-2] * x.shape[-1]
        weights = sum(parameter.numel() for parameter in model.parameters())
        traffic = 4 * x.numel() * (1 + scale**2) + dtype.itemsize * weights
        return self.floor(2 * float(model.trace(scale).multadds_per_pixel) * pixels, traffic, dtype)


def limits(options: Options) -> Limits:
    """Measure what floors need, in a second or two."""
    rates = {dtype: product_rate(options, dtype) for dtype in DTYPES.values()}
    return Limits(rates, copy_rate(2**22 if options.quick else 2**28))


def quickest(call: Callable[[], object], repeats: int = 7) -> float:
    """Seconds of the fastest of some runs: a limit is what can be reached."""
    call()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def product_rate(options: Options, dtype: torch.dtype) -> float:
    """Operations a second of a square matrix product."""
    side = 512 if options.quick else 2048
    a, b = (torch.rand(side, side).to(dtype) for _ in range(2))
    return 2 * side**3 / quickest(partial(torch.mm, a, b))


def convolution_rate(options: Options, dtype: torch.dtype) -> float:
    """Operations a second of a 3x3 convolution from 64 to 64 channels in channels last."""
    height, width = (45, 80) if options.quick else (180, 320)
    layer = torch.nn.Conv2d(64, 64, 3, padding=1).to(dtype=dtype, memory_format=torch.channels_last)
    x = torch.rand(1, 64, height, width).to(dtype=dtype, memory_format=torch.channels_last)
    with torch.no_grad():
        return 2 * 64 * 64 * 9 * height * width / quickest(partial(layer, x))


def copy_rate(size: int) -> float:
    """Bytes a second of a copy of so many bytes, those read and those written."""
    source = torch.zeros(size // 4)
    target = torch.empty_like(source)
    return 2 * size / quickest(partial(target.copy_, source))


def measure(options: Options) -> list[Measurement]:
    """Both kinds of arithmetic in both types, and copies that a cache holds or not."""
    found = [
        record(
            name,
            {
                "matrix product": product_rate(options, dtype) / 1e9,
                "3x3 convolution, 64 to 64 channels": convolution_rate(options, dtype) / 1e9,
            },
            table="Arithmetic",
            unit="GFLOP/s",
        )
        for name, dtype in DTYPES.items()
    ]
    sizes = {"copy of 0.5 MB": 2**19, "copy of 16 MB": 2**24, "copy of 256 MB": 2**22 if options.quick else 2**28}
    rates = {name: copy_rate(size) / 1e9 for name, size in sizes.items()}
    return [*found, record("read and written", rates, table="Memory", unit="GB/s")]


if __name__ == "__main__":
    main(__doc__, measure)
