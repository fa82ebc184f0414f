"""What the augmentations of pairs share: where draws come from, what a record of them is, boxes, and mixing.

Each augmentation first decides and then does: its draw turns a ``Source`` into a ``Record``, and the ``apply`` of this
turns a pair into the augmented one. A replay is therefore the second half alone; ``Mixture`` runs both on a few rows.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, Self, TypedDict, TypeVar

import torch
from torch import Tensor

from restorekit._check import check_batch, check_generator, check_interval, check_same_kind
from restorekit._random import beta, normal, uniform

Pair = tuple[Tensor, Tensor]

MAX_BETA = 1e3  # of Beta(alpha, alpha): all shares are 1/2 by then


_Replay = TypeVar("_Replay")


class Options(TypedDict, Generic[_Replay], total=False):
    """The keywords that all augmentations of pairs have, for overloads, which only type checkers read."""

    p: float
    same_on_batch: bool
    generator: torch.Generator | None
    replay: _Replay | None


class Strength(Options[_Replay], Generic[_Replay], total=False):
    """The same for those that have a strength."""

    alpha: float


def check_pair(lq: Tensor, hq: Tensor) -> int:
    """Require a pair of batches whose sizes are related by one integer factor, and return it."""
    check_batch(lq, "lq")
    check_batch(hq, "hq")
    if lq.shape[:2] != hq.shape[:2]:
        raise ValueError(
            f"lq and hq must have the same batch size and channels, got {tuple(lq.shape)} and {tuple(hq.shape)}"
        )
    check_same_kind(lq, hq, ("lq", "hq"))
    scale = scale_of(lq, hq)
    if scale < 1 or hq.shape[-2:] != (scale * lq.shape[-2], scale * lq.shape[-1]):
        raise ValueError(
            f"hq must be lq's size times one integer on both axes, got {tuple(hq.shape[-2:])} for "
            f"{tuple(lq.shape[-2:])}; crop the pair to match"
        )
    return scale


def scale_of(lq: Tensor, hq: Tensor) -> int:
    """How many times larger ``hq`` is."""
    return hq.shape[-1] // lq.shape[-1]


@dataclass(frozen=True, eq=False)
class Source:
    """What one call draws for: the rows (all for None) of a batch, alike for all pictures or not, and from where."""

    lq: Tensor
    same_on_batch: bool
    generator: torch.Generator | None
    rows: Tensor | None = None

    def __post_init__(self) -> None:
        check_generator(self.generator)

    @property
    def count(self) -> int:
        return len(self.lq) if self.rows is None else len(self.rows)

    @property
    def size(self) -> tuple[int, int]:
        return self.lq.shape[-2], self.lq.shape[-1]

    def _for_each(self, drawn: Tensor) -> Tensor:
        return drawn.expand(self.count, *drawn.shape[1:])

    @property
    def _drawn(self) -> int:
        return 1 if self.same_on_batch else self.count

    def uniform(self, *shape: int) -> Tensor:
        """U[0, 1) for each picture: (count, *shape)."""
        return self._for_each(uniform((self._drawn, *shape), device=self.lq.device, generator=self.generator))

    def normal(self, *shape: int) -> Tensor:
        """N(0, 1) for each picture: (count, *shape)."""
        return self._for_each(normal((self._drawn, *shape), device=self.lq.device, generator=self.generator))

    def beta(self, alpha: float, name: str = "alpha") -> Tensor:
        """Beta(alpha, alpha) for each picture: (count,); 0 draws as many numbers as any other."""
        check_interval(alpha, name, 0, MAX_BETA)
        return self._for_each(beta((self._drawn,), alpha or 1.0, device=self.lq.device, generator=self.generator))

    def applied(self, p: float, alpha: float = 1.0) -> Tensor:
        """Whether each picture is augmented: (count,) of bool."""
        check_interval(p, "p", 0, 1)
        return self.uniform() < (p if alpha > 0 else 0)

    def box(self, ratio: float, deviation: float = 0.01) -> Tensor:
        """Boxes of ``clamp(ratio + deviation * N(0, 1), 0, 1)`` of both sides, fully inside: (count, 4) of int64.

        Top, left, bottom and right, in pixels of ``lq``; bottom and right lie behind the last pixel.
        """
        check_interval(ratio, "alpha", 0, 1)
        ratios = (self.normal() * deviation + ratio).clamp(0, 1)
        position = self.uniform(2)
        (top, bottom), (left, right) = (span(ratios, position[:, axis], self.size[axis]) for axis in (0, 1))
        return torch.stack([top, left, bottom, right], 1)

    def partner(self, applied: Tensor) -> Tensor:
        """Each picture's partner by a random permutation of the whole batch: (count,) of int64.

        Pictures that are not augmented are their own, so that nothing of another, such as NaN, reaches them.
        """
        order = uniform((len(self.lq),), device=self.lq.device, generator=self.generator).argsort()
        own = torch.arange(len(order), device=order.device)
        return torch.where(applied, taken(order, self.rows), taken(own, self.rows))


@dataclass(frozen=True, eq=False)
class Record(ABC):
    """What was drawn for the pictures of a batch: enough to do it again."""

    @abstractmethod
    def apply(self, lq: Tensor, hq: Tensor, rows: Tensor | None = None) -> Pair:
        """Augment these rows of a batch (all for None), in new tensors; a target that stays is ``hq`` as it came."""

    @abstractmethod
    def check(self, lq: Tensor) -> None:
        """Require a batch for which this can have been drawn."""

    def to(self, device: torch.device) -> Self:
        """The same on another device."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {name: value.to(device) for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, **moved)


@dataclass(frozen=True, eq=False)
class Decisions(Record):
    """The record of an augmentation that leaves pictures out.

    Args:
        applied: Which pictures are augmented (N,); what the other fields hold for the rest is without effect.
        size: Height and width of ``lq`` if positions in it were drawn, else None.
    """

    applied: Tensor
    size: tuple[int, int] | None

    def check(self, lq: Tensor) -> None:
        check_size(lq, len(self.applied), self.size)


_Record = TypeVar("_Record", bound=Record)


def replayed(replay: object, kind: type[_Record], lq: Tensor) -> _Record:
    """What is to be repeated, after a look at whether it fits."""
    if not isinstance(replay, kind):
        raise TypeError(
            f"replay must be the {kind.__name__} that the same function gave with return_params=True, "
            f"got {type(replay).__name__}"
        )
    replay.check(lq)
    return replay.to(lq.device)


def check_size(lq: Tensor, count: int, size: tuple[int, int] | None) -> None:
    """Require the batch size, and the height and width if any, that a replay was drawn for."""
    if len(lq) != count:
        raise ValueError(f"replay was drawn for {count} pictures, got lq of shape {tuple(lq.shape)}")
    if size is not None and tuple(lq.shape[-2:]) != size:
        raise ValueError(f"replay holds positions in an lq of {size}, got {tuple(lq.shape[-2:])}; crop as before")


def span(ratio: Tensor, position: Tensor, size: int) -> Pair:
    """Start and end of floor(ratio * size) neighbours out of ``size``, placed by ``position`` in [0, 1): (N,) each."""
    length = (ratio * size).floor()
    # A float32 position is at most 1 - 2^-24, so position * places never rounds up to places.
    start = (position * (size - length + 1)).floor()
    return start.long(), (start + length).long()


def box_map(box: Tensor, size: tuple[int, int], scale: int, outside: Tensor | float, step: Tensor | float) -> Tensor:
    """``outside``, and ``outside + step`` in boxes (N, 4) of a picture of ``size``, enlarged: (N, 1, H, W) of float32.

    Outside and step are given for each picture (N,) or for all. One pass, as masks of bool are slow to combine.
    """
    top, left, bottom, right = (box * scale).unsqueeze(-1).unbind(1)
    row, column = (torch.arange(side * scale, device=box.device) for side in size)
    rows, columns = ((row >= top) & (row < bottom)).float(), ((column >= left) & (column < right)).float()
    outside, step = (torch.as_tensor(value, device=box.device).float().view(-1, 1) for value in (outside, step))
    return torch.addcmul(outside.unsqueeze(-1), (rows * step)[:, :, None], columns[:, None, :]).unsqueeze(1)


def per_picture(value: Tensor) -> Tensor:
    """(N,) to (N, 1, 1, 1)."""
    return value.view(-1, 1, 1, 1)


def taken(x: Tensor, rows: Tensor | None) -> Tensor:
    """A copy of these rows, or the whole itself for None."""
    return x if rows is None else x.index_select(0, rows)


def widened(x: Tensor) -> Tensor:
    """Half precision as float32, all else as it is."""
    return x.float() if x.dtype in {torch.float16, torch.bfloat16} else x


def lerp_share(share: Tensor, x: Tensor) -> Tensor:
    """A share for each picture (N,) as a weight for ``torch.lerp`` with ``x``: (N, 1, 1, W).

    Written out along a row, because torch's kernel is several times slower where its weight does not move with x.
    """
    return per_picture(share).to(x.dtype).repeat(1, 1, 1, x.shape[-1])


def mixed(x: Tensor, partner: Tensor, share: Tensor, rows: Tensor | None) -> Tensor:
    """``share * x + (1 - share) * x[partner]`` for these rows; exactly ``x`` where the share is 1.

    One pass of ``lerp`` over a float weight, also for boxes: ``where`` with a mask takes torch twice as long.
    """
    own, other = widened(taken(x, rows)), widened(x.index_select(0, partner))
    weight = lerp_share(share, own) if share.ndim == 1 else share.to(own.dtype)
    return other.lerp_(own, weight).to(x.dtype)


def enlarged(x: Tensor, scale: int) -> Tensor:
    """Each pixel ``scale`` times on both axes; ``x`` itself for 1."""
    if scale == 1:
        return x
    rows = x.repeat_interleave(scale, -1).unsqueeze(3).expand(-1, -1, -1, scale, -1)
    return rows.clone(memory_format=torch.contiguous_format).flatten(2, 3)


def lerp_enlarged(lq: Tensor, hq: Tensor, share: Tensor, scale: int) -> Tensor:
    """``lq + share * (hq - lq)`` with ``lq`` and ``share`` enlarged by nearest neighbour to ``hq``: a new tensor.

    Exactly ``lq`` where the share is 0 and ``hq`` where it is 1.
    """
    weight = share.to(hq.dtype)
    if scale == 1:
        return torch.lerp(lq, hq, weight)
    # Only the width is repeated in memory; rows are repeated by broadcasting: (N, C, H, scale, W * scale).
    weight = weight.repeat_interleave(scale, -1).unsqueeze(3)
    lq = lq.repeat_interleave(scale, -1).unsqueeze(3)
    rows = hq.reshape(*lq.shape[:3], scale, hq.shape[-1])
    return torch.lerp(lq, rows, weight).reshape(hq.shape)
