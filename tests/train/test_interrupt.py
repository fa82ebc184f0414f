"""Signals: the first is noted, the second acts, the handlers come back."""

import signal
import threading

import pytest

from restorekit.train.interrupt import Interrupt, heed_main_process, leave

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture(autouse=True)
def _handlers_come_back():
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    after = [signal.getsignal(number) for number in SIGNALS]
    for number, handler in zip(SIGNALS, before, strict=True):
        signal.signal(number, handler)
    assert after == before


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_noted(number):
    with Interrupt() as interrupt:
        assert interrupt.signal == 0
        signal.raise_signal(number)
        assert interrupt.signal == number


@pytest.fixture
def _ctrl_c_raises():
    """A process that a shell starts in the background ignores Ctrl-C; Python's own handler is what is tested here."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.mark.usefixtures("_ctrl_c_raises")
def test_the_second_signal_acts_at_once():
    with Interrupt() as interrupt:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert interrupt.signal == signal.SIGINT


def test_an_error_brings_the_handlers_back():
    with pytest.raises(RuntimeError, match="inside"), Interrupt():
        raise RuntimeError("inside")


def test_another_thread_changes_nothing():
    seen = []

    def work():
        with Interrupt() as interrupt:
            seen.append((interrupt.signal, signal.getsignal(signal.SIGINT)))

    expected = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(0, expected)]


def test_leaving_raises_what_the_signal_would():
    with pytest.raises(KeyboardInterrupt, match="stopped"):
        leave(signal.SIGINT, "stopped")
    with pytest.raises(SystemExit) as left:
        leave(signal.SIGTERM, "stopped")
    assert left.value.code == 143


def test_a_worker_lives_through_ctrl_c():
    previous = signal.getsignal(signal.SIGINT)
    try:
        heed_main_process(0)
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, previous)
