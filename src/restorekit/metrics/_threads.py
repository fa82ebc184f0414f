"""Work shared out to threads that each compute alone.

An operation that several threads share ends when the last of them is done. On a machine with other work to do that one
may wait for a core while the rest wait for it, thousands of times a second. Threads that take whole strips wait once.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Thread
from typing import TypeVar

import torch

from restorekit.image._precision import full_precision

Item = TypeVar("Item")
Result = TypeVar("Result")


def share_out(start: Callable[[], Callable[[Item], Result]], items: Sequence[Item]) -> list[Result]:
    """Apply what ``start()`` returns to each item; every thread calls it once, for buffers of its own.

    As many threads as torch has take items in turns. They neither autocast nor record a graph.
    """
    numbered = deque(enumerate(items))
    results: dict[int, Result] = {}

    def take() -> None:
        with torch.no_grad(), full_precision(torch.device("cpu")):
            work = start()
            for number, item in _popped(numbered):
                results[number] = work(item)

    # A thread can be told to compute alone where OpenMP makes the threads.
    apart = torch.backends.openmp.is_available()  # type: ignore[no-untyped-call]
    count = min(torch.get_num_threads(), len(items)) if apart else 1
    if count == 1:
        take()
    else:
        for running in [_pool(torch.get_num_threads()).submit(take) for _ in range(count)]:
            running.result()
    return [results[number] for number in range(len(items))]


def _popped(items: deque[tuple[int, Item]]) -> Iterator[tuple[int, Item]]:
    while True:
        try:
            yield items.popleft()
        except IndexError:
            return


@cache
def _pool(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "restorekit", initializer=_compute_alone)


def _compute_alone() -> None:
    """One thread for the operations of this thread; threads that others start later get as many as they would have."""
    count = torch.get_num_threads()
    torch.set_num_threads(1)  # also what later threads of the process would start with
    restoring = Thread(target=torch.set_num_threads, args=(count,))
    restoring.start()
    restoring.join()


if hasattr(os, "register_at_fork"):  # a forked process has none of the threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
