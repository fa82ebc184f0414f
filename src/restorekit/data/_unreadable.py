"""A damaged picture among thousands: told once, counted, and replaced by another one."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from restorekit.image.files import picture_size, read_image
from restorekit.image.reading import Pixels

T = TypeVar("T")


class UnreadableError(ValueError):
    """A file that holds no picture to train on, told apart from pictures that do not suit the settings."""


class MissingError(UnreadableError, FileNotFoundError):
    """A file that went away."""


def read_file(path: Path, max_pixels: int) -> Pixels:
    """``read_image``, whose errors are told apart."""
    return _told(path, read_image, max_pixels)


def file_size(path: Path, max_pixels: int) -> tuple[int, int]:
    """``picture_size``, whose errors are told apart."""
    return _told(path, picture_size, max_pixels)


def _told(path: Path, read: Callable[..., T], max_pixels: int) -> T:
    try:
        return read(path, max_pixels=max_pixels)
    except ValueError as error:
        raise UnreadableError(str(error)) from error
    except FileNotFoundError as error:
        raise MissingError(f"{path}: no such file, or a link that leads nowhere") from error


class Unreadable:
    """The pictures of a data set that could not be read so far in this process, each told in a warning of its own.

    Args:
        count: Number of pictures in all.
        strict: Raise instead.
        what: What is counted.
    """

    def __init__(self, count: int, *, strict: bool, what: str = "pictures") -> None:
        self.count, self.strict, self.what = count, strict, what
        self._found: set[int] = set()
        self._last = ""

    def attempt(self, index: int, read: Callable[[int], T]) -> T | None:
        """What reading picture ``index`` gives; None if it cannot be read, unless none of them can."""
        if index not in self._found:
            try:
                return read(index)
            except UnreadableError as error:
                if self.strict:
                    raise
                self._note(index, str(error))
        if len(self._found) == self.count:
            raise ValueError(f"none of the {self.count} {self.what} can be read, the last one: {self._last}")
        return None

    def first(self, order: Iterable[int], read: Callable[[int], T]) -> T:
        """What the first picture in ``order``, which has no end, gives that can be read."""
        return next(item for item in (self.attempt(index, read) for index in order) if item is not None)

    def _note(self, index: int, why: str) -> None:
        self._found.add(index)
        self._last = why
        told = f"{len(self._found)} of {self.count} {self.what} could not be read so far and are left out: {why}"
        warnings.warn(told, stacklevel=4)


def endless(draw: Callable[[int], int], count: int) -> Iterator[int]:
    """Pictures drawn one after the other, as often as it takes."""
    while True:
        yield draw(count)
