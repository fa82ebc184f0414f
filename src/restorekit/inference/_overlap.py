"""Reading the next, computing, and writing the last at the same time."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

_Item = TypeVar("_Item")
_Read = TypeVar("_Read")
_Computed = TypeVar("_Computed")
_Written = TypeVar("_Written")


def overlapped(
    items: Iterator[_Item],
    read: Callable[[_Item], _Read],
    compute: Callable[[_Read], _Computed],
    write: Callable[[_Computed], _Written],
    *,
    workers: int,
) -> Generator[_Written]:
    """Do ``write(compute(read(item)))`` for all items, and yield what ``write`` returns.

    ``compute`` runs here, in order of what is read first. ``workers`` threads read and as many write, each with one
    item at a time, so that no more than ``2 * workers + 1`` items are held. An error ends it: what is being written is
    finished, what is being read is thrown away.
    """
    lock = threading.Lock()

    def read_next() -> _Read | None:
        with lock:  # a generator runs in one thread at a time
            item = next(items, None)
        return None if item is None else read(item)

    written: deque[Future[_Written]] = deque()
    with ThreadPoolExecutor(workers, "read") as readers, ThreadPoolExecutor(workers, "write") as writers:
        ahead = deque(readers.submit(read_next) for _ in range(workers))
        try:
            while ahead:
                found = ahead.popleft().result()
                if found is None:
                    continue
                ahead.append(readers.submit(read_next))
                computed = compute(found)
                if len(written) == workers:
                    yield written.popleft().result()
                written.append(writers.submit(write, computed))
                del found, computed  # they need not wait for the next
            while written:
                yield written.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def ahead(items: Iterator[_Item]) -> Generator[_Item, None, None]:
    """The same items, each made while the caller is busy with the one before; close it to end the thread early."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item


@contextmanager
def behind(consume: Callable[[_Item], None]) -> Iterator[Callable[[_Item], None]]:
    """A function that returns at once while ``consume`` takes the item, in order; it waits for the item before.

    What ``consume`` raises comes out of the next call, or at the end of the ``with`` block. No thread is left behind.
    """
    with ThreadPoolExecutor(1) as thread:
        busy: list[Future[None]] = []

        def hand_over(item: _Item) -> None:
            if busy:
                busy.pop().result()
            busy.append(thread.submit(consume, item))

        yield hand_over
        if busy:
            busy.pop().result()
