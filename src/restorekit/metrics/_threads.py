"""Work shared out to threads that each compute alone.

An operation that several threads share ends when the last of them is done. On a machine with other work to do that one
may wait for a core while the rest wait for it, thousands of times a second. Threads that take whole strips wait once.
"""

import ctypes
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from pathlib import Path
from typing import TypeVar

import torch

from restorekit.image._precision import full_precision

Item = TypeVar("Item")
Result = TypeVar("Result")


def share_out(start: Callable[[], Callable[[Item], Result]], items: Sequence[Item]) -> list[Result]:
    """Apply what ``start()`` returns to each item; every thread calls it once, for buffers of its own.

    As many threads as torch has take items in turns. They neither autocast nor record a graph. After an error nobody
    begins another item.
    """
    numbered = deque(enumerate(items))
    results: dict[int, Result] = {}

    def take() -> None:
        with torch.no_grad(), full_precision(torch.device("cpu")):
            work = start()
            for number, item in _popped(numbered):
                results[number] = work(item)

    running: list[Future[None]] = []
    try:
        running = _begun(take, min(torch.get_num_threads(), len(items)))
        if not running:
            take()
        wait(running)
    finally:
        numbered.clear()
    for one in running:
        one.result()
    return [results[number] for number in range(len(items))]


def _begun(take: Callable[[], None], count: int) -> list[Future[None]]:
    """The same begun by ``count`` threads; none if one thread, this one, is to do all of it."""
    # What follows the operations of a thread (a tracer, a mode that counts or fakes them) sees no other thread's.
    followed = torch._C._get_tracing_state() is not None or torch._C._len_torch_dispatch_stack()
    if count == 1 or followed or not _limits():
        return []
    try:
        return [_pool(torch.get_num_threads()).submit(take) for _ in range(count)]
    except RuntimeError:  # the interpreter is about to end and starts no more threads
        return []


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
    """One thread for the operations of this thread, and of no other."""
    torch.get_num_threads()  # torch gives a thread its number when first asked, which must not come later
    for limit in _limits():
        limit(1)


@cache
def _limits() -> tuple[Callable[[int], object], ...]:
    """What sets the number of threads of the calling thread alone, in OpenMP and MKL; nothing where that is unknown.

    ``torch.set_num_threads`` also sets that of every thread to come, if only until it is set back.
    """
    if not torch.backends.openmp.is_available():  # type: ignore[no-untyped-call]
        return ()
    try:  # by way of torch, as another copy of OpenMP may be loaded, too
        (path,) = (Path(torch.__file__).parent / "lib").glob("libtorch_cpu.*")
        library = ctypes.CDLL(str(path))
        mkl = (library.MKL_Set_Num_Threads_Local,) if torch.backends.mkl.is_available() else ()  # type: ignore[no-untyped-call]
        return (library.omp_set_num_threads, *mkl)
    except (OSError, ValueError, AttributeError):
        return ()


if hasattr(os, "register_at_fork"):  # a forked process has none of the threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
