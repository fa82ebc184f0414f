"""Which items each batch holds: a function of the seed and the step, on any number of processes."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Sampler

from restorekit._random import seeded
from restorekit.train.keyed import Key

_TAG, _KEY_TAG = 0, 4  # keep these draws apart from the others that start from the same seed
_BLOCK = 1000  # steps whose keys are drawn at once


class _Row:
    """An endless row of shuffled passes: place ``p`` holds ``shuffle(seed, p // length)[p % length]``."""

    def __init__(self, length: int, *seed: int) -> None:
        self.length, self.seed = length, seed
        self._round, self._order = -1, torch.empty(0)

    def __getitem__(self, place: int) -> int:
        if place // self.length != self._round:
            self._round = place // self.length
            self._order = self._shuffle()
        return int(self._order[place % self.length])

    def _shuffle(self) -> Tensor:
        first, *others = self.seed
        return torch.randperm(self.length, generator=seeded(first, _TAG, self._round, *others))


class Order(Sampler[list[Any]]):
    """Batches of indices from step ``start`` to step ``stop``, taken from an endless row of shuffled passes.

    Step ``i`` takes the places ``[i batch_size, (i + 1) batch_size)`` of the row, and process ``rank`` of ``ranks``
    takes its part of them, in ``parts`` batches. So a run may stop anywhere, go on with another number of processes,
    and still see the same items in each step. Of several data sets each has a row of its own; each step draws one of
    them from the seed, and takes the next places of its row.

    Args:
        length: Number of items, at least 1, or that of each data set by its key; then indices are (key, index).
        batch_size: Items per step over all processes, a multiple of ``ranks * parts``.
        start: First step.
        stop: Step before which to end.
        seed: Seed of the shuffles and of the keys, at least 0.
        rank: Number of this process, from 0.
        ranks: Number of processes.
        parts: Batches that a process takes in each step.
    """

    def __init__(
        self,
        length: int | Mapping[Key, int],
        *,
        batch_size: int,
        start: int,
        stop: int,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
        parts: int = 1,
    ) -> None:
        self.length, self.batch_size, self.seed = length, batch_size, seed
        self.start, self.stop = start, stop
        self.parts, self.share = parts, batch_size // (ranks * parts)
        self.offset = rank * self.share * parts

    def __len__(self) -> int:
        return max(self.stop - self.start, 0) * self.parts

    def __iter__(self) -> Iterator[list[Any]]:
        if isinstance(self.length, Mapping):
            yield from self._of_several(self.length)
            return
        row = _Row(self.length, self.seed)
        for step in range(self.start, self.stop):
            for places in self._places(step):
                yield [row[place] for place in places]

    def _of_several(self, lengths: Mapping[Key, int]) -> Iterator[list[tuple[Key, int]]]:
        keys = list(lengths)
        rows = [_Row(lengths[key], self.seed, number) for number, key in enumerate(keys)]
        taken = [0] * len(keys)
        for step, number in enumerate(islice(self._keys(len(keys)), max(self.stop, 0))):
            if step >= self.start:
                for places in self._places(taken[number]):
                    yield [(keys[number], rows[number][place]) for place in places]
            taken[number] += 1

    def _keys(self, count: int) -> Iterator[int]:
        """Which of the data sets is drawn at step 0, 1, ..."""
        block = 0
        while True:
            yield from torch.randint(count, (_BLOCK,), generator=seeded(self.seed, _KEY_TAG, block)).tolist()
            block += 1

    def _places(self, batch: int) -> Iterator[range]:
        """This process's places of a row's ``batch``-th batch."""
        first = batch * self.batch_size + self.offset
        for part in range(self.parts):
            yield range(first + part * self.share, first + (part + 1) * self.share)
