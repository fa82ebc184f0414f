"""Ctrl-C and SIGTERM, turned into a note that the training loop reads between two steps."""

import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import NoReturn, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """Note the first Ctrl-C or SIGTERM inside a ``with`` block; a second one acts at once, as outside.

    One that was noted and not acted on is raised at the end of the block, unless an error is under way.
    Signals can be caught in the main thread only; elsewhere nothing is changed and nothing is noted.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._previous: dict[signal.Signals, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
        if kind is None and self.signal:  # it came after the last look at it: during the last checkpoint, say
            leave(self.signal, "stopped when all was done")

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            # None stands for a handler that was not set from Python and cannot be put back
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous = {}


def leave(number: int, message: str) -> NoReturn:
    """Raise what the signal would have raised: KeyboardInterrupt, or SystemExit with the shell's code for it."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt(message)
    raise SystemExit(128 + number)


def heed_main_process(worker: int) -> None:
    """Let a data worker live through Ctrl-C and SIGTERM, so that the main process can finish its step.

    Both come to whole groups of processes, from terminals, launchers and schedulers. The main process itself ends its
    workers by SIGTERM, which is told from others by who sent it; only Linux says that.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_when_told, args=(os.getppid(),), daemon=True).start()


def _end_when_told(by: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != by:
        pass
    os._exit(0)
