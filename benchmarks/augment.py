"""restorekit.augment against the published way of augmenting pairs. Target: twice its speed (geometric mean).

The published way enlarges the damaged pictures to the size of the clean ones first, clones both, draws with NumPy once
for the whole batch, and writes into slices. Here each picture has its own draw, and what need not be large stays small.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from harness import Measurement, Options, compare, main
from torch import Tensor

from restorekit import augment

RNG = np.random.default_rng(0)
Pair = tuple[Tensor, Tensor]


def published_blend(lq: Tensor, hq: Tensor) -> Pair:
    """One weight for the batch, colours written out at full size."""
    colour = torch.rand(len(hq), hq.shape[1], 1, 1)
    v = RNG.uniform(0.6, 1)
    large = colour.repeat(1, 1, *hq.shape[-2:]), colour.repeat(1, 1, *lq.shape[-2:])
    return v * lq + (1 - v) * large[1], v * hq + (1 - v) * large[0]


def published_permute_rgb(lq: Tensor, hq: Tensor) -> Pair:
    """One order for the batch."""
    order = RNG.permutation(3)
    return lq[:, order], hq[:, order]


def published_mixup(lq: Tensor, hq: Tensor) -> Pair:
    """One share for the batch."""
    v, partner = RNG.beta(1.2, 1.2), torch.randperm(len(hq))
    return v * lq + (1 - v) * lq[partner], v * hq + (1 - v) * hq[partner]


def published_cutout(lq: Tensor, hq: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A mask by NumPy's choice, at the size of the enlarged picture, of which a copy is for the target."""
    keep = RNG.choice([0.0, 1.0], size=(len(lq), 1, *lq.shape[-2:]), p=[0.001, 0.999])
    mask = torch.tensor(keep, dtype=torch.float32)
    lq *= mask
    return lq, hq, F.interpolate(mask, scale_factor=1, mode="nearest")


def box(x: Tensor) -> tuple[slice, slice]:
    """Rows and columns of one box for the batch."""
    ratio = min(RNG.normal(0.7, 0.01), 1.0)
    sides = [int(size * ratio) for size in x.shape[-2:]]
    starts = [int(RNG.integers(0, size - side + 1)) for size, side in zip(x.shape[-2:], sides, strict=True)]
    top, left = (slice(start, start + side) for start, side in zip(starts, sides, strict=True))
    return top, left


def published_cutmix(lq: Tensor, hq: Tensor) -> Pair:
    """Slices of partners written into the clones."""
    rows, columns = box(lq)
    partner = torch.randperm(len(hq))
    for x in (lq, hq):
        x[..., rows, columns] = x[partner, :, rows, columns]  # gathers the boxes alone
    return lq, hq


def published_cutmixup(lq: Tensor, hq: Tensor) -> Pair:
    """The blended batch in full, then slices from one into the other."""
    rows, columns = box(lq)
    mixed = published_mixup(lq, hq)
    into, source = ((lq, hq), mixed) if RNG.random() > 0.5 else (mixed, (lq, hq))
    for x, other in zip(into, source, strict=True):
        x[..., rows, columns] = other[..., rows, columns]
    return into


def published_cutblur(lq: Tensor, hq: Tensor) -> Pair:
    """Slices of the clean picture, or of the damaged one into a clone of the clean."""
    rows, columns = box(lq)
    if RNG.random() > 0.5:
        lq[..., rows, columns] = hq[..., rows, columns]
        return lq, hq
    out = hq.clone()
    out[..., rows, columns] = lq[..., rows, columns]
    return out, hq


PUBLISHED: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, ...]]] = {
    "blend": published_blend,
    "permute_rgb": published_permute_rgb,
    "mixup": published_mixup,
    "cutout": published_cutout,
    "cutmix": published_cutmix,
    "cutmixup": published_cutmixup,
    "cutblur": published_cutblur,
}


def published(name: str, lq: Tensor, hq: Tensor, scale: int) -> tuple[Tensor, ...]:
    """What a training step runs around each augmentation."""
    if scale > 1:
        lq = F.interpolate(lq, scale_factor=scale, mode="nearest")
    return PUBLISHED[name](lq.clone(), hq.clone())


def ours(name: str, lq: Tensor, hq: Tensor) -> tuple[Tensor, ...]:
    """The same with a draw for each picture."""
    return augment.cutout(lq, hq, return_mask=True) if name == "cutout" else getattr(augment, name)(lq, hq)


def methods(lq: Tensor, hq: Tensor, scale: int, repeats: int, table: str) -> list[Measurement]:
    """Each method, as published and here."""
    return [
        compare(
            name,
            {
                "published": lambda n=name: published(n, lq, hq, scale),
                "restorekit": lambda n=name: ours(n, lq, hq),
            },
            repeats=repeats,
            table=table,
        )
        for name in PUBLISHED
    ]


def measure(options: Options) -> list[Measurement]:
    """Each augmentation for enlarging by 4 and for equal sizes, and the mixture with the mean of all."""
    side, repeats = (48, 5) if options.quick else (192, 31)
    mixture, found = augment.Mixture("sr"), []
    for scale in (4, 1):
        hq = torch.rand(32, 3, side, side, generator=torch.Generator().manual_seed(0))
        lq = hq[..., ::scale, ::scale].contiguous()
        table = f"32 pairs, hq {side} x {side}, lq {side // scale} x {side // scale}"
        with torch.no_grad():
            rows = methods(lq, hq, scale, repeats, table)
            found += rows
            ways = {"clone of hq": hq.clone, "restorekit, Mixture": lambda a=lq, b=hq: mixture(a, b)}
            mean = 1e3 * sum(row["published"] for row in rows) / len(rows)
            note = f"the mean of the published methods is {mean:.1f} ms"
            found.append(compare(table, ways, repeats=repeats, table="Mixture", note=note, aside=["clone of hq"]))
    return found


if __name__ == "__main__":
    main(__doc__, measure)
