"""One training step of CARN-M by 4 (16 patches of 48 x 48 px, L1, Adam), against the published network's eager step.

Forward, backward and update: the plain transcription, eager and channels first, against ``train.fit``'s ways: channels
last, Adam in one pass, the batch in parts, bfloat16 autocast. Targets: 1.3 times as many steps in float32, 3 times
where bfloat16 has matrix units, and the same loss curve. The floor is three times the forward pass' multiply-adds (for
itself, the gradient of the features and that of the weights) at the rate that a matrix product reaches in the same
run. On Linux, C's allocator maps tensors above 32 MB afresh at every operation; MALLOC_MMAP_THRESHOLD_=4294967296 with
MALLOC_TRIM_THRESHOLD_=4294967296 in the environment keeps them, which helps the published step most: quote both.
"""

import copy
import os
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import cycle

import torch
from harness import arguments, compare
from restore_carn_m import Plain, copy_weights
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.models import CARN, carn_m
from restorekit.train import supervised
from restorekit.train._forward import Forward

Pair = tuple[Tensor, Tensor]
Step = Callable[[], float]

LEARNING_RATE = 1e-4


def pairs(batch: int, side: int, seed: int = 0) -> Pair:
    """Smooth pictures of four times the side, and their means of 4 x 4 pixels."""
    coarse = torch.rand(batch, 3, side // 8, side // 8, generator=torch.Generator().manual_seed(seed))
    hq = F.interpolate(coarse, scale_factor=32, mode="bicubic", align_corners=False).clamp(0, 1)
    return F.avg_pool2d(hq, 4), hq


def published(network: nn.Module, batches: Sequence[Pair], *, bf16: bool = False, last: bool = False) -> Step:
    """The step as it is commonly written."""
    layout = torch.channels_last if last else torch.contiguous_format
    network = copy.deepcopy(network).to(memory_format=layout)
    adam, endless = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE), cycle(batches)

    def step() -> float:
        lq, hq = (part.contiguous(memory_format=layout) for part in next(endless))
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            prediction = network(lq)
        loss = F.l1_loss(prediction.float(), hq)
        loss.backward()
        adam.step()
        adam.zero_grad()
        return loss.item()

    return step


def ours(network: CARN, batches: Sequence[Pair], *, bf16: bool = False, parts: int | None = None) -> Step:
    """What ``fit`` does in a step."""
    forward = Forward(copy.deepcopy(network), autocast="cpu" if bf16 else None, channels_last=True)
    adam, endless = torch.optim.Adam(forward.parameters(), lr=LEARNING_RATE, fused=True), cycle(batches)
    compared, generator = supervised(micro_batch=parts), torch.Generator()

    def step() -> float:
        loss = compared(forward, next(endless), generator)
        loss.backward()
        adam.step()
        adam.zero_grad()
        return loss.item()

    return step


def ways(network: CARN, batches: Sequence[Pair]) -> dict[str, Step]:
    """All of them from the same weights; parts of 4 pictures keep most tensors below 32 MB."""
    plain = Plain()
    copy_weights(network, plain)
    return {
        "published, channels first": published(plain, batches),
        "published, channels last": published(plain, batches, last=True),
        "fit": ours(network, batches),
        "fit, 4 pictures at a time": ours(network, batches, parts=4),
        "published, channels first, bfloat16": published(plain, batches, bf16=True),
        "published, channels last, bfloat16": published(plain, batches, bf16=True, last=True),
        "fit, bfloat16": ours(network, batches, bf16=True),
        "fit, bfloat16, 8 pictures at a time": ours(network, batches, bf16=True, parts=8),
    }


def multiply_adds(network: CARN, batch: Tensor) -> float:
    """Of the forward pass' convolutions, from the shapes that they are run with."""
    counted = []

    def count(conv: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        counted.append(output.numel() * conv.weight[0].numel())

    hooks = [part.register_forward_hook(count) for part in network.modules() if isinstance(part, nn.Conv2d)]
    with torch.no_grad():
        network(batch)
    for hook in hooks:
        hook.remove()
    return float(sum(counted))


def matrix_rate(dtype: torch.dtype, side: int) -> float:
    """Multiply-adds a second of a square product, the best of ten runs."""
    a, b = torch.rand(2, side, side).to(dtype)
    times = []
    for _ in range(10):
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return side**3 / min(times)


def floors(network: CARN, batch: Tensor, medians: dict[str, float], side: int) -> None:
    """Print the least time that the multiply-adds take here, and how much of it the fastest way reaches."""
    work = 3 * multiply_adds(network, batch)
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        floor = work / matrix_rate(dtype, side)
        fastest = min(value for way, value in medians.items() if ("bfloat16" in way) == (dtype == torch.bfloat16))
        print(
            f"floor in {name}: {work / 1e9:.1f} G multiply-adds, {1e3 * floor:.1f} ms; fastest {fastest / floor:.1f}x"
        )


def curves(network: CARN, batches: Sequence[Pair]) -> None:
    """Run all ways over the same batches; print the mean of their last ten losses and how it differs from the first's.

    The noise to compare that with is the standard error of the first way's mean.
    """
    losses = {name: [step() for _ in batches] for name, step in ways(network, batches).items()}
    reference = next(iter(losses.values()))[-10:]
    mean = statistics.mean(reference)
    noise = statistics.stdev(reference) / len(reference) ** 0.5
    print(f"\nloss over {len(batches)} steps, noise {noise / mean:.2%}")
    for name, curve in losses.items():
        ratio = statistics.mean(curve[-10:]) / mean
        print(f"  {name:<38}{curve[0]:.5f} to {curve[-1]:.5f}, mean of the last ten {ratio - 1:+.3%}")


def main() -> None:
    """Time the steps, then follow their losses."""
    options = arguments(__doc__.splitlines()[0])
    print("allocator:", {k: v for k, v in os.environ.items() if k.startswith("MALLOC_")} or "as the system has it")
    torch.manual_seed(0)
    network = carn_m(scale=4)
    size, side = (2, 16) if options.quick else (16, 48)
    batch = pairs(size, side)
    title = f"training step of CARN-M by 4, {size} x {side} x {side}"
    medians = compare(title, ways(network, [batch]), repeats=3 if options.quick else 11)
    floors(network, batch[0], medians, 512 if options.quick else 2048)
    # small batches, so that eight curves take minutes
    size, side, steps = (2, 16, 12) if options.quick else (16, 16, 60)
    curves(network, [pairs(size, side, seed) for seed in range(steps)])


if __name__ == "__main__":
    main()
