"""Reading the next, computing, and writing the last at the same time."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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

    ``compute`` runs here, on the items in their order. ``workers`` threads read and as many write, each with one item
    at a time, so that no more than ``2 * workers + 1`` items are held; a single one reads and writes them in their
    order too. ``items`` are made in the threads that read. An error ends it, and so does closing: what is being written
    is finished, what is being read is thrown away, and no thread is left behind.
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
