"""Peak memory of CARN-M and CARN by 4, each in a process of its own: the published network whole, and ``restore``.

Goal for CARN-M from 960 x 540: a quarter of what the plain call on the whole picture takes. Peaks include Python and
torch, "before the picture". At 1080p the plain network needs more than 17 GB and is not run.
"""

import torch
from harness import Measurement, Options, main, record
from processes import fresh, peak
from published_carn import published

from restorekit.inference import restore
from restorekit.models import CARN, create_model

Size = tuple[int, int]
FLOAT, BYTES = "float32 tensor", "uint8 array"


def network(name: str) -> CARN:
    """With random weights, after a small picture: what libraries allocate once."""
    model = create_model(name, scale=4).eval()
    assert isinstance(model, CARN)
    model(torch.rand(1, 3, 8, 8))
    return model


def plain(name: str, size: Size) -> tuple[float, float]:
    """Peaks before and after one plain call on a float tensor."""
    run = published(network(name))
    x, before = torch.rand(1, 3, *size), peak()
    run(x)
    return before, peak()


def restored(name: str, size: Size, kind: str, whole: bool) -> tuple[float, float]:
    """Peaks before and after ``restore``: in one piece, or as it likes."""
    model = network(name)
    picture = torch.randint(0, 256, (*size, 3), dtype=torch.uint8)
    image = picture.numpy() if kind == BYTES else picture.permute(2, 0, 1).float() / 255
    before = peak()
    restore(model, image, tile=max(size) if whole else "auto")
    return before, peak()


def row(name: str, size: Size, kind: str, options: Options) -> Measurement:
    """The ways on one picture."""
    calls = {"restorekit, one piece": (restored, name, size, kind, True)} if size[0] < 600 else {}
    calls |= {"restorekit, tiles": (restored, name, size, kind, False)}
    if kind == FLOAT and size[0] < 600:
        calls = {"plain, whole picture": (plain, name, size), **calls}
    peaks, before = {}, 0.0
    for way, call in calls.items():
        answer = fresh(*call, threads=options.threads)
        if answer is None:
            options.say(f"{name}, {size[1]} x {size[0]}, {way}: ended without a result; out of memory?")
        else:
            before, peaks[way] = answer
    return record(
        f"{name}, {size[1]} x {size[0]}, {kind}",
        peaks,
        table="Peak memory, by 4",
        unit="MB",
        note=f"{before:.0f} MB before the picture",
    )


def measure(options: Options) -> list[Measurement]:
    """What fits whole, then 1080p."""
    small, large = ((45, 80), (600, 8)) if options.quick else ((540, 960), (1080, 1920))
    rows = [("carn_m", small, FLOAT), ("carn", small, FLOAT), ("carn_m", large, BYTES), ("carn_m", large, FLOAT)]
    return [row(*one, options) for one in (rows[:1] if options.quick else rows)]


if __name__ == "__main__":
    main(__doc__, measure)
