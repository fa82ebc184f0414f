"""Reading and writing in background threads while the caller computes: one step ahead, one step behind."""

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

_T = TypeVar("_T")


def ahead(items: Iterator[_T]) -> Generator[_T, None, None]:
    """The same items, each made while the caller is busy with the one before; close it to end the thread early."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item


@contextmanager
def behind(consume: Callable[[_T], None]) -> Iterator[Callable[[_T], None]]:
    """A function that returns at once while ``consume`` takes the item, in order; it waits for the item before.

    What ``consume`` raises comes out of the next call, or at the end of the ``with`` block. No thread is left behind.
    """
    with ThreadPoolExecutor(1) as thread:
        busy: list[Future[None]] = []

        def hand_over(item: _T) -> None:
            if busy:
                busy.pop().result()
            busy.append(thread.submit(consume, item))

        yield hand_over
        if busy:
            busy.pop().result()
