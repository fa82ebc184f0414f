"""One training step of CARN-M by 4 (16 patches of 48 x 48 px, L1, Adam), against the published network's eager step.

Forward, backward and update: the plain transcription, eager and channels first, against ``train.fit``'s ways: channels
last, Adam in one pass, the batch in parts, bfloat16 autocast. Targets: 1.3 times as many steps in float32, 3 times
where bfloat16 has matrix units, and the same loss curve. The floor is three times the forward pass' multiply-adds (for
itself, the gradient of the features and that of the weights) at the rate that a matrix product reaches in the same
run. ``inference.py`` says how an allocator that keeps its memory changes such figures.
"""

import copy
import statistics
from collections.abc import Callable, Sequence
from itertools import cycle

import torch
from floor import Limits, limits
from harness import Floor, Measurement, Options, compare, main
from published_carn import published as transcription
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
    plain = transcription(network).train()
    return {
        "published, channels first": published(plain, batches),
        "published, channels last": published(plain, batches, last=True),
        "restorekit": ours(network, batches),
        "restorekit, 4 pictures at a time": ours(network, batches, parts=4),
        "published, channels first, bfloat16": published(plain, batches, bf16=True),
        "published, channels last, bfloat16": published(plain, batches, bf16=True, last=True),
        "restorekit, bfloat16": ours(network, batches, bf16=True),
        "restorekit, 8 pictures at a time, bfloat16": ours(network, batches, bf16=True, parts=8),
    }


def floors(network: CARN, lq: Tensor, names: Sequence[str], machine: Limits) -> dict[str, Floor]:
    """Three times the forward pass; pictures and weights are next to nothing beside it."""
    operations = 3 * 2 * float(network.trace(4).multadds_per_pixel) * len(lq) * lq.shape[-2] * lq.shape[-1]
    dtypes = {name: torch.bfloat16 if "bfloat16" in name else torch.float32 for name in names}
    return {name: machine.floor(operations, 0, dtype) for name, dtype in dtypes.items()}


def curves(network: CARN, batches: Sequence[Pair], options: Options) -> None:
    """Run all ways over the same batches and say how the mean of their last ten losses differs from the first's.

    The noise to compare that with is the standard error of the first way's mean.
    """
    losses = {name: [step() for _ in batches] for name, step in ways(network, batches).items()}
    reference = next(iter(losses.values()))[-10:]
    mean = statistics.mean(reference)
    noise = statistics.stdev(reference) / len(reference) ** 0.5
    options.say(f"Mean of the last ten of {len(batches)} losses beside the first way's, noise {noise / mean:.2%}:")
    for name, curve in losses.items():
        options.say(f"{name}: {curve[0]:.5f} to {curve[-1]:.5f}, {statistics.mean(curve[-10:]) / mean - 1:+.3%}")


def measure(options: Options) -> list[Measurement]:
    """Time the steps, then follow their losses."""
    torch.manual_seed(0)
    network = carn_m(scale=4)
    size, side = (2, 16) if options.quick else (16, 48)
    batch = pairs(size, side)
    steps = ways(network, [batch])
    least = floors(network, batch[0], list(steps), limits(options))
    title, repeats = f"{size} x 3 x {side} x {side}", 3 if options.quick else 11
    found = compare(title, steps, repeats=repeats, table="One step of CARN-M by 4", floors=least, limit=25)
    # small batches, so that eight curves take a minute
    size, side, count = (2, 16, 12) if options.quick else (16, 16, 60)
    curves(network, [pairs(size, side, seed) for seed in range(count)], options)
    return [found]


if __name__ == "__main__":
    main(__doc__, measure)
