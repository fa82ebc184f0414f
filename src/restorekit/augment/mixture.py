"""The thesis' mixture of augmentations: each picture is augmented by one method of a pool."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypedDict, Unpack, final, overload

import torch
from torch import Tensor

from restorekit._check import check_batch, check_interval
from restorekit.augment._pair import Pair, Record, Source, check_pair, check_size, enlarged, scale_of
from restorekit.augment._pool import NAMES, Augmentation, method
from restorekit.augment.cutout import CutoutParams

# Decision probability, and ratios in the order of NAMES (None: all alike).
PRESETS: dict[str, tuple[float, tuple[float, ...] | None]] = {
    "sr": (1.0, None),
    "realistic-sr": (1.0, (0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.4)),
    "restoration": (0.6, None),
    "small-model": (0.2, None),
}


@dataclass(frozen=True, eq=False)
class MixtureParams:
    """What one call of a ``Mixture`` decided.

    Args:
        names: The methods of its pool.
        choice: Index of each picture's method in ``names``, -1 for none (N,), on the CPU.
        parts: For each method its decisions for the pictures that chose it, in their order, with partners counted in
            the whole batch; for a function from elsewhere the seed of its draws; None if no picture chose it.
        size: Height and width of ``lq``.
    """

    names: tuple[str, ...]
    choice: Tensor
    parts: tuple[Record | int | None, ...]
    size: tuple[int, int]

    def rows(self, index: int, device: torch.device) -> Tensor | None:
        """The pictures that chose this method, None for all."""
        chosen = self.choice == index
        return None if chosen.all() else chosen.nonzero().flatten().to(device)


class _Options(TypedDict, total=False):
    same_on_batch: bool
    generator: torch.Generator | None
    replay: MixtureParams | None


@final
class Mixture:
    """Augment each pair with probability ``p`` by one method of a pool, drawn with ``ratios``.

    Methods see the pictures that chose them, so that no work is done for a picture twice. Partners of ``mixup``,
    ``cutmix`` and ``cutmixup`` come from the whole batch as it was.

    Args:
        pool: A preset's name ("sr", "realistic-sr", "restoration", "small-model"), all of which hold the seven methods
            with their published strengths; or a sequence of methods: functions of this package, their names,
            ``functools.partial`` of these with other strengths, and any function ``f(lq, hq, *, generator)`` that
            returns the pair in its sizes, writes nothing in place and draws from the generator alone; it is given the
            pictures that chose it, with a CPU generator. One that returns ``lq`` at the size of ``hq`` has an
            attribute ``enlarges = True``, as mixtures themselves have.
        p: Probability that a picture is augmented, in [0, 1]; None is that of the preset, 1 for other pools.
        ratios: Probability of each method, not negative, with sum 1; None is the preset's, else all alike.

    Raises:
        TypeError: The pool holds something that cannot be called, or ``p`` or a ratio is no number.
        ValueError: An empty pool, an unknown name, an option that a method has not in a pool, ``p`` outside [0, 1], or
            ratios of the wrong number, below 0, or whose sum is off 1 by more than 1e-6.

    Example:
        >>> mixture = Mixture(["mixup", "cutblur"], ratios=[0.4, 0.6])
        >>> lq, hq = mixture(torch.rand(4, 3, 12, 12), torch.rand(4, 3, 24, 24))
        >>> lq.shape, hq.shape
        (torch.Size([4, 3, 24, 24]), torch.Size([4, 3, 24, 24]))

    Source: Yoo, Ahn and Sohn, CVPR 2020 (arXiv:2004.00448); Ahn's thesis, section 4.3, with p and ratios of its setup.
        There, one method is drawn for the whole batch.
    """

    def __init__(
        self,
        pool: str | Sequence[str | Augmentation] = "sr",
        *,
        p: float | None = None,
        ratios: Sequence[float] | None = None,
    ) -> None:
        default_p, default_ratios = 1.0, None
        expected = f"pool must be one of {', '.join(PRESETS)}, or a sequence of methods such as [{NAMES[0]!r}]"
        if isinstance(pool, str):
            if pool not in PRESETS:
                raise ValueError(f"{expected}, got {pool!r}")
            default_p, default_ratios = PRESETS[pool]
            pool = NAMES
        if not isinstance(pool, Sequence):
            raise TypeError(f"{expected}, got {type(pool).__name__}")
        self.methods = tuple(method(entry) for entry in pool)
        if not self.methods:
            raise ValueError(f"pool must not be empty; name some of {', '.join(NAMES)}")
        self.p = default_p if p is None else p
        check_interval(self.p, "p", 0, 1)
        self.ratios = _checked_ratios(default_ratios if ratios is None else ratios, len(self.methods))

    @property
    def enlarges(self) -> bool:
        """Whether ``lq`` is returned at the size of ``hq``: where CutBlur is in the pool."""
        return any(entry.enlarges for entry in self.methods)

    @property
    def names(self) -> tuple[str, ...]:
        """The methods of the pool."""
        return tuple(entry.name for entry in self.methods)

    def __repr__(self) -> str:
        chances = ", ".join(f"{name}: {ratio:.3g}" for name, ratio in zip(self.names, self.ratios, strict=True))
        return f"{type(self).__name__}(p={self.p:g}, {chances})"

    @overload
    def __call__(
        self,
        lq: Tensor,
        hq: Tensor,
        *,
        return_mask: Literal[False] = ...,
        return_params: Literal[False] = ...,
        **options: Unpack[_Options],
    ) -> Pair: ...
    @overload
    def __call__(
        self,
        lq: Tensor,
        hq: Tensor,
        *,
        return_mask: Literal[True],
        return_params: Literal[False] = ...,
        **options: Unpack[_Options],
    ) -> tuple[Tensor, Tensor, Tensor]: ...
    @overload
    def __call__(
        self,
        lq: Tensor,
        hq: Tensor,
        *,
        return_mask: Literal[False] = ...,
        return_params: Literal[True],
        **options: Unpack[_Options],
    ) -> tuple[Tensor, Tensor, MixtureParams]: ...
    @overload
    def __call__(
        self,
        lq: Tensor,
        hq: Tensor,
        *,
        return_mask: Literal[True],
        return_params: Literal[True],
        **options: Unpack[_Options],
    ) -> tuple[Tensor, Tensor, Tensor, MixtureParams]: ...
    @overload
    def __call__(
        self,
        lq: Tensor,
        hq: Tensor,
        *,
        return_mask: bool = ...,
        return_params: bool = ...,
        **options: Unpack[_Options],
    ) -> tuple[Tensor | MixtureParams, ...]: ...
    def __call__(
        self,
        lq: Tensor,
        hq: Tensor,
        *,
        same_on_batch: bool = False,
        generator: torch.Generator | None = None,
        return_params: bool = False,
        replay: MixtureParams | None = None,
        return_mask: bool = False,
    ) -> tuple[Tensor | MixtureParams, ...]:
        """Augment a batch.

        Args:
            lq: Damaged pictures (N, C, H, W), any float dtype, finite; 3 channels if ``permute_rgb`` is in the pool,
                as in those of all presets.
            hq: Clean pictures (N, C, s*H, s*W) for an integer s >= 1; same dtype and device.
            same_on_batch: Draw one method, and what it draws, for the whole batch; partners differ all the same, and
                a function from elsewhere draws as it does.
            generator: Source of the draws.
            return_params: Return the decisions as well.
            replay: Decisions of an earlier call of a mixture of the same methods, for N pictures with an ``lq`` of the
                same height and width; they are repeated, and no other argument but the returns is used.
            return_mask: Return Cutout's mask as well: ones for pictures that chose another method. What a mixture in
                the pool, or a function from elsewhere, cuts out is not in it.

        Returns:
            ``lq``, at the size of ``hq`` if CutBlur is in the pool whatever is chosen, and ``hq``, either of them the
            tensor that came where nothing changes it; if asked for, the mask (N, 1, s*H, s*W) in the dtype of ``lq``;
            then, if asked for, the decisions.

        Raises:
            TypeError: ``lq`` or ``hq`` is not a real floating-point tensor, or an argument is not what its name says.
            ValueError: ``replay`` is for another size or other methods, the pictures have the wrong number of
                channels, or the pair differs in batch, channels, dtype, device, or in size by anything but one integer
                factor.
        """
        check_pair(lq, hq)
        if any(entry.needs_rgb for entry in self.methods):
            check_batch(lq, "lq", channels=3)
        params = self._draw(Source(lq, same_on_batch, generator)) if replay is None else self._replayed(replay, lq)
        pair = self._apply(lq, hq, params)
        mask = (_mask(lq, pair[1], params),) if return_mask else ()
        return *pair, *mask, *((params,) if return_params else ())

    def _draw(self, source: Source) -> MixtureParams:
        gate, which = source.uniform().cpu(), source.uniform().cpu()
        steps = torch.tensor(self.ratios, dtype=torch.float64, device="cpu").cumsum(0)
        choice = torch.searchsorted(steps / steps[-1], which.double().contiguous(), right=True)
        choice = torch.where(gate < self.p, choice, -1)
        params = MixtureParams(self.names, choice, (), source.size)
        parts: list[Record | int | None] = [None] * len(self.methods)
        for index in sorted(set(choice.tolist()) - {-1}):
            rows = params.rows(index, source.lq.device)
            parts[index] = self.methods[index].draw(replace(source, rows=rows))
        return replace(params, parts=tuple(parts))

    def _replayed(self, replay: MixtureParams, lq: Tensor) -> MixtureParams:
        if not isinstance(replay, MixtureParams):
            raise TypeError(f"replay must be MixtureParams from return_params=True, got {type(replay).__name__}")
        if replay.names != self.names:
            raise ValueError(f"replay is of a mixture of {', '.join(replay.names)}, this has {', '.join(self.names)}")
        check_size(lq, len(replay.choice), replay.size)
        return replay

    def _apply(self, lq: Tensor, hq: Tensor, params: MixtureParams) -> Pair:
        scale = scale_of(lq, hq)
        # A batch of which nothing is left need not be copied first, a tenth of the time.
        all_put = bool((params.choice >= 0).all()) and (scale == 1 or not self.enlarges)
        damaged, clean = _Filled(torch.empty_like(lq) if all_put else lq, own=all_put), _Filled(hq)
        for enlarges in (False, True):  # what comes at the size of hq needs the others enlarged
            if enlarges and self.enlarges:
                damaged = _Filled(enlarged(damaged.value, scale), own=damaged.own or scale > 1)
            for index, (entry, part) in enumerate(zip(self.methods, params.parts, strict=True)):
                if part is not None and entry.enlarges == enlarges:
                    rows = params.rows(index, lq.device)
                    out, target = entry.apply(part, lq, hq, rows)
                    damaged.put(rows, out)
                    if target is not hq:
                        clean.put(rows, target)
        return damaged.value, clean.value


class _Filled:
    """A batch of which rows are replaced one group after the other, in a copy unless it is our own."""

    def __init__(self, x: Tensor, *, own: bool = False) -> None:
        self.value, self.own = x, own

    def put(self, rows: Tensor | None, part: Tensor) -> None:
        if rows is None:
            self.value = part
            return
        if not self.own:
            self.value, self.own = self.value.clone(), True
        self.value.index_copy_(0, rows, part)


def _mask(lq: Tensor, hq: Tensor, params: MixtureParams) -> Tensor:
    mask = _Filled(lq.new_ones(len(hq), 1, *hq.shape[-2:]), own=True)
    for index, part in enumerate(params.parts):
        if isinstance(part, CutoutParams):
            mask.put(params.rows(index, lq.device), part.to(lq.device).mask(lq, hq))
    return mask.value


def _checked_ratios(ratios: Sequence[float] | None, count: int) -> tuple[float, ...]:
    if ratios is None:
        return (1 / count,) * count
    ratios = tuple(ratios)
    if len(ratios) != count:
        raise ValueError(f"ratios must hold one number for each of the {count} methods, got {len(ratios)}")
    for ratio in ratios:
        check_interval(ratio, "ratios", 0, 1)
    if abs(math.fsum(ratios) - 1) > 1e-6:
        raise ValueError(f"ratios must sum to 1, got {math.fsum(ratios):g}")
    return ratios
