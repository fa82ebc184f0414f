"""Peak memory of restore with tiles against one piece, each in a process of its own.

One piece by 4 at 1080p needs more than 17 GB for CARN-M, so the two are compared at 640 x 360 as well, and at 1080p
only tiles are run. The goal is a peak below 1.5 GB at 1080p. Peaks include Python and torch (the "before" column).
"""

import multiprocessing
import resource
import sys
import time
from multiprocessing.connection import Connection

import torch
from harness import arguments

from restorekit import models
from restorekit.inference import restore


def peak() -> float:
    """Largest resident memory of this process so far, in MB (10^6 bytes)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def measure(name: str, size: tuple[int, int], kind: str, tile: int | str, threads: int, pipe: Connection) -> None:
    """Restore one picture and send memory before, peak memory and seconds."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = models.create_model(name, scale=4)
    picture = torch.randint(0, 256, (*size, 3), dtype=torch.uint8)
    image = picture.numpy() if kind == "uint8" else picture.permute(2, 0, 1).float() / 255
    before, start = peak(), time.perf_counter()
    restore(model, image, tile=tile)
    pipe.send((before, peak(), time.perf_counter() - start))


def run(name: str, size: tuple[int, int], kind: str, tile: int | str, threads: int) -> None:
    """One measurement in a fresh process, printed as a row."""
    receive, send = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("spawn").Process(target=measure, args=(name, size, kind, tile, threads, send))
    child.start()
    send.close()
    height, width = size
    what = "one piece" if tile == max(size) else f"tile={tile!r}"
    row = f"{name:<8}{f'{width} x {height}':<14}{kind:<9}{what:<14}"
    try:
        before, most, seconds = receive.recv()
        print(f"{row}{before:8.0f} MB{most:8.0f} MB{seconds:9.1f} s", flush=True)
    except EOFError:
        print(f"{row}   ended without a result: out of memory?", flush=True)
    child.join()


def main() -> None:
    """Print a row for each network, size and way."""
    options = arguments(__doc__.splitlines()[0])
    print(f"{'network':<8}{'picture':<14}{'kind':<9}{'how':<14}{'before':>11}{'peak':>11}{'time':>11}")
    small, large = ((90, 160), (180, 320)) if options.quick else ((360, 640), (1080, 1920))
    for name in ("carn_m", "carn"):
        run(name, small, "uint8", max(small), options.threads)
        run(name, small, "uint8", "auto", options.threads)
        for kind in ("uint8", "float"):
            run(name, large, kind, "auto", options.threads)


if __name__ == "__main__":
    main()
