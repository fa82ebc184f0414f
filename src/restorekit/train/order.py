"""Which items each batch holds: a function of the seed and the step, on any number of processes."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Sampler

from restorekit._random import seeded

_TAG = 0  # keeps these draws apart from the others that start from the same seed


class Order(Sampler[list[int]]):
    """Batches of indices from step ``start`` to step ``stop``, taken from an endless row of shuffled passes.

    Place ``p`` of the row holds item ``shuffle(seed, p // length)[p % length]``; step ``i`` takes the places
    ``[i batch_size, (i + 1) batch_size)``, and process ``rank`` of ``ranks`` takes its part of them. So a run may stop
    anywhere, go on with another number of processes, and still see the same batches.

    Args:
        length: Number of items, at least 1.
        batch_size: Items per step over all processes, a multiple of ``ranks``.
        start: First step.
        stop: Step before which to end.
        seed: Seed of the shuffles, at least 0.
        rank: Number of this process, from 0.
        ranks: Number of processes.
    """

    def __init__(
        self, length: int, *, batch_size: int, start: int, stop: int, seed: int, rank: int = 0, ranks: int = 1
    ) -> None:
        self.length, self.batch_size, self.seed = length, batch_size, seed
        self.start, self.stop = start, stop
        self.share = batch_size // ranks
        self.offset = rank * self.share

    def __len__(self) -> int:
        return max(self.stop - self.start, 0)

    def __iter__(self) -> Iterator[list[int]]:
        round_, order = -1, torch.empty(0)
        for step in range(self.start, self.stop):
            first = step * self.batch_size + self.offset
            batch = []
            for place in range(first, first + self.share):
                if place // self.length != round_:
                    round_ = place // self.length
                    order = self._shuffle(round_)
                batch.append(int(order[place % self.length]))
            yield batch

    def _shuffle(self, round_: int) -> Tensor:
        return torch.randperm(self.length, generator=seeded(self.seed, _TAG, round_))
