"""Signals: the first is noted, the second acts, the handlers come back."""

import multiprocessing
import signal
import subprocess
import sys
import threading
import time

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


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_the_first_signal_is_noted_and_raised_at_the_end(number, error):
    with pytest.raises(error), Interrupt() as interrupt:  # noqa: PT012 -- what follows the signal is the point
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
    seen = []
    with pytest.raises(KeyboardInterrupt), Interrupt() as interrupt:  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        seen.append(interrupt.signal)
        signal.raise_signal(signal.SIGINT)
        seen.append("after it")
    assert seen == [signal.SIGINT]


def test_an_error_goes_before_a_signal():
    with pytest.raises(RuntimeError, match="inside"), Interrupt():  # noqa: PT012
        signal.raise_signal(signal.SIGTERM)
        raise RuntimeError("inside")


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


def _work(ready):
    heed_main_process(0)
    ready.set()
    time.sleep(120)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who sent a signal")
def test_a_worker_lives_through_signals_but_those_of_its_main_process():
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    worker = context.Process(target=_work, args=(ready,), daemon=True)
    worker.start()
    assert ready.wait(60)
    for name in ("-INT", "-TERM", "-TERM"):
        subprocess.run(["kill", name, str(worker.pid)], check=True)
    worker.join(0.3)
    assert worker.is_alive()
    worker.terminate()
    worker.join(60)
    assert worker.exitcode == 0
