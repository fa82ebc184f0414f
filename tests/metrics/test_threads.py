"""Threads that each compute alone, and that nobody else notices."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from restorekit.metrics import _threads, mse, ssim
from restorekit.metrics._threads import share_out


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def pair(shape=(1, 3, 300, 1100)):
    target, noise = (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) for seed in range(2))
    return 0.7 * target + 0.3 * noise, target


def newborn(call):
    """What a thread that starts now returns."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def test_threads_compute_alone_and_others_never_hear_of_it(threads, monkeypatch):
    """A number that is set for all and put back is seen by a thread that starts in between."""
    threads(3)
    _threads._pool.cache_clear()  # so that the threads begin here
    monkeypatch.setattr(torch, "set_num_threads", lambda count: pytest.fail("tells every thread to come"))
    meeting = threading.Barrier(3)

    def start():
        meeting.wait(timeout=20)  # all three are at work
        return lambda item: (threading.get_ident(), torch.get_num_threads(), newborn(torch.get_num_threads))

    found = share_out(start, range(30))
    assert threading.get_ident() not in {thread for thread, *_ in found}
    assert {(here, there) for _, here, there in found} == {(1, 3)}
    assert torch.get_num_threads() == 3


def test_a_number_set_meanwhile_stays(threads):
    threads(2)
    _threads._pool.cache_clear()
    share_out(lambda: lambda item: torch.set_num_threads(4), [0])  # in this thread: one item alone
    assert newborn(torch.get_num_threads) == 4
    threads(2)
    share_out(lambda: lambda item: newborn(lambda: torch.set_num_threads(5)), range(2))
    assert newborn(torch.get_num_threads) == 5
    assert torch.get_num_threads() == 2


def test_results_come_in_order(threads):
    threads(3)
    assert share_out(lambda: lambda item: item * item, range(100)) == [i * i for i in range(100)]
    assert share_out(lambda: lambda item: item, []) == []


@pytest.mark.parametrize("count", [1, 2])
def test_an_error_comes_out_and_nobody_begins_another_item(threads, count):
    threads(count)
    seen = []

    def work(item):
        seen.append(item)
        raise ArithmeticError(f"item {item}")

    with pytest.raises(ArithmeticError, match="item"):
        share_out(lambda: work, range(1000))
    assert len(seen) <= count
    assert share_out(lambda: lambda item: item, range(3)) == [0, 1, 2]  # the threads go on


def test_an_error_waits_for_the_others(threads):
    threads(2)
    both, ended = threading.Barrier(2), []

    def work(item):
        both.wait(timeout=20)
        if item == 0:
            raise ArithmeticError
        threading.Event().wait(0.05)
        ended.append(item)

    with pytest.raises(ArithmeticError):
        share_out(lambda: work, range(2))
    assert ended == [1]


def test_where_the_number_of_one_thread_cannot_be_set_this_one_works(threads, monkeypatch):
    threads(2)
    monkeypatch.setattr(_threads, "_limits", lambda: ())
    assert set(share_out(lambda: lambda item: threading.get_ident(), range(4))) == {threading.get_ident()}


def test_a_call_while_the_interpreter_ends_works(threads, monkeypatch):
    threads(2)
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    monkeypatch.setattr(_threads, "_pool", lambda count: pool)
    assert set(share_out(lambda: lambda item: threading.get_ident(), range(4))) == {threading.get_ident()}


def test_a_thread_that_outlives_the_main_one_works():
    code = (
        "import threading, torch\n"
        "from restorekit.metrics import ssim\n"
        "torch.set_num_threads(2)\n"
        "x = torch.rand(1, 1, 300, 1100)\n"
        "def late():\n"
        "    threading.main_thread().join()\n"
        "    print(ssim(x, x).item())\n"
        "threading.Thread(target=late).start()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("1.0\n", "")


def test_many_callers_at_once(threads):
    threads(2)
    pictures = pair((1, 1, 300, 1100))
    expected = ssim(*pictures)
    with ThreadPoolExecutor(4) as pool:
        assert all(torch.equal(found, expected) for found in pool.map(lambda i: ssim(*pictures), range(12)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_starts_threads_of_its_own(threads):
    threads(2)

    def numbers():
        return share_out(lambda: lambda item: (os.getpid(), torch.get_num_threads()), range(4))

    assert numbers() == [(os.getpid(), 1)] * 4
    context = get_context("fork")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=lambda: send.send(numbers()))
    child.start()
    send.close()
    assert receive.poll(30)
    assert receive.recv() == [(child.pid, 1)] * 4
    child.join()


def test_a_mode_that_follows_operations_sees_them_all(threads):
    threads(2)
    prediction, target = pair()
    counts = []
    for number in (1, 2):
        threads(number)
        with Count() as mode:
            ssim(prediction, target)
            mse(prediction, target)
        counts.append(mode.operations)
    assert counts[0] == counts[1] > 100


class Count(TorchDispatchMode):
    """Counts what is computed."""

    def __init__(self):
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        self.operations += 1
        return function(*arguments, **(options or {}))


@pytest.mark.parametrize("metric", [ssim, mse])
def test_graphs_of_large_pictures_can_be_traced(threads, metric):
    """A tracer notes what other threads wrote as constants."""
    threads(2)
    pictures = pair()
    graph = make_fx(lambda *batches: metric(*batches))(*pictures)  # noqa: PLW0108, options are no inputs
    changed = pictures[0] * 0.5, pictures[1]
    assert torch.equal(graph(*changed), metric(*changed))


@pytest.mark.parametrize("metric", [ssim, mse])
def test_the_default_device_does_not_matter(threads, metric):
    threads(2)
    pictures = pair()
    expected = metric(*pictures)
    with torch.device("meta"):
        assert torch.equal(metric(*pictures), expected)
