"""Calls in processes of their own: for peak memory, and for what the environment sets at the start of a process."""

import multiprocessing
import os
import resource
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

# What makes glibc give memory back to the system after each operation, which then clears it page by page for the next.
KEEP = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184"
ALLOCATORS: dict[str, dict[str, str]] = {
    "as it is": {},
    "memory kept": {"GLIBC_TUNABLES": KEEP},
    "memory kept, huge pages": {"GLIBC_TUNABLES": f"{KEEP}:glibc.malloc.hugetlb=1"},
}


def peak() -> float:
    """Largest resident memory of this process so far, in MB (10^6 bytes)."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage also counts what the process was before it became this program
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def fresh(
    call: Callable[..., Any], *arguments: object, threads: int, environment: Mapping[str, str] | None = None
) -> Any:
    """What ``call(*arguments)`` returns in a new process; None if that ends without a result, as for want of memory."""
    receive, send = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("spawn").Process(target=_answer, args=(send, call, arguments, threads))
    before = dict(os.environ)
    os.environ.update(environment or {})  # a process takes it over as it starts
    try:
        child.start()
    finally:
        os.environ.clear()
        os.environ.update(before)
    send.close()
    try:
        return receive.recv()
    except EOFError:
        return None
    finally:
        child.join()


def _answer(send: Connection, call: Callable[..., Any], arguments: tuple[object, ...], threads: int) -> None:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    with torch.no_grad():
        send.send(call(*arguments))
