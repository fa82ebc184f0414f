"""CARN-M and CARN by 4 to 1280 x 720: the published network in eager torch against ``inference.optimize``.

Other runtimes take part where they are installed, each with the network as it is and with the optimised one. The first
way is the plain transcription in float32, channels first. The second table repeats the plain and our own way in
processes whose allocator keeps its memory.
"""

import shutil
from collections.abc import Callable
from functools import partial

import plain_runtimes
import torch
from floor import DTYPES, Limits, limits
from harness import OURS, Measurement, Options, Way, brief, compare, main, shown
from processes import ALLOCATORS, fresh
from published_carn import published
from torch import Tensor

from restorekit.inference import optimize, restore
from restorekit.models import CARN, Restorer, create_model

Run = Callable[[Tensor], Tensor]
Builders = dict[str, Callable[[], Run]]
SCALE = 4
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.1}  # of the largest value; weights are random


def plain_ways(model: CARN, x: Tensor, options: Options) -> Builders:
    """Without anything of ours."""
    plain = published(model)
    half = published(model).to(torch.bfloat16)
    return {
        "plain, float32": lambda: plain,
        "plain, bfloat16": lambda: lambda pictures: half(pictures.bfloat16()).float(),
        "plain, ONNX Runtime": lambda: plain_runtimes.onnx_runtime(plain, x, options),
        "plain, OpenVINO": lambda: plain_runtimes.openvino(plain, x, options, precision="f32"),
        "plain, OpenVINO, bfloat16": lambda: plain_runtimes.openvino(plain, x, options, precision="bf16"),
    }


def our_ways(model: Restorer) -> Builders:
    """``optimize`` in both types and on every runtime, and the call that everybody uses."""
    return {
        "restorekit, float32": lambda: optimize(model),
        "restorekit, bfloat16": lambda: optimize(model, dtype=torch.bfloat16),
        "restorekit, restore": lambda: partial(restore, model),
        "restorekit, restore in tiles": lambda: partial(restore, model, tile="auto"),
        "restorekit, ONNX Runtime": lambda: optimize(model, backend="onnxruntime"),
        "restorekit, OpenVINO": lambda: optimize(model, backend="openvino"),
        "restorekit, OpenVINO, bfloat16": lambda: optimize(model, dtype=torch.bfloat16, backend="openvino"),
    }


def compiled_ways(model: CARN) -> Builders:
    """By torch.compile."""
    return {
        "plain, torch.compile": lambda: torch.compile(published(model)),
        "restorekit, torch.compile": lambda: optimize(model, compile=True),
    }


def build(builders: Builders, x: Tensor, options: Options) -> dict[str, Run]:
    """The ways that run here and compute what the first does."""
    ways: dict[str, Run] = {}
    expected: Tensor | None = None
    for name, builder in builders.items():
        try:
            run = builder()
            out = run(x)
        except Exception as error:  # not installed, or not for this machine: the others are worth their numbers
            options.say(f"{name} is left out: {brief(error)}")
            continue
        expected = out if expected is None else expected
        off = ((out - expected).abs().max() / expected.abs().max()).item()
        if off > TOLERANCE[dtype_of(name)]:
            text = f"{name} differs from the plain network by {off:.1e} of the largest value"
            if name.startswith(OURS):
                raise SystemExit(text)
            options.say(f"{text} and is left out")
            continue
        ways[name] = run
    return ways


def dtype_of(name: str) -> torch.dtype:
    """The type that a way computes in."""
    return next((dtype for word, dtype in DTYPES.items() if name.endswith(word)), torch.float32)


def picture(options: Options) -> Tensor:
    """What becomes 1280 x 720."""
    height, width = (24, 32) if options.quick else (180, 320)
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))


def network(name: str, options: Options) -> CARN:
    """With random weights, which take as long."""
    torch.manual_seed(0)
    model = create_model(name, scale=SCALE).eval()
    assert isinstance(model, CARN)
    return model


def side_by_side(name: str, options: Options, machine: Limits) -> Measurement:
    """All ways in turns in this process."""
    model, x = network(name, options), picture(options)
    builders = {**plain_ways(model, x, options), **our_ways(model)}
    if not options.quick and name == "carn_m" and any(map(shutil.which, ("c++", "g++", "clang++"))):
        builders |= compiled_ways(model)
    ways = build(builders, x, options)
    floors = {way: machine.network(model, x, SCALE, dtype_of(way)) for way in ways}
    calls = {way: partial(run, x) for way, run in ways.items()}
    title, repeats = f"{name}, {x.shape[-1]} x {x.shape[-2]}", 3 if options.quick else 11
    return compare(title, calls, repeats=repeats, table=f"{name} by 4", floors=floors, limit=20)


def seconds(name: str, way: str, options: Options) -> tuple[float, float, float]:
    """Median and quartiles of one way, for a process of its own."""
    model, x = network(name, options), picture(options)
    run = {**plain_ways(model, x, options), **our_ways(model)}[way]()
    found = compare(way, {way: partial(run, x)}, repeats=3 if options.quick else 5).ways[0]
    return found.median, found.low, found.high


def allocators(name: str, options: Options) -> list[Measurement]:
    """The same ways under each setting of the allocator."""
    found = []
    for way in ("plain, float32", "restorekit, float32", "restorekit, bfloat16"):
        ways = []
        for setting, environment in ALLOCATORS.items():
            answer = fresh(seconds, name, way, options, threads=options.threads, environment=environment)
            if answer is None:
                options.say(f"{way}, {setting}: ended without a result")
                continue
            ways.append(Way(setting, *answer))
        if ways:
            found.append(shown(Measurement(f"{name}: {way}", tuple(ways), "Environment of the process")))
    return found


def measure(options: Options) -> list[Measurement]:
    """Both networks, then the allocator."""
    with torch.no_grad():
        machine = limits(options)
        found = [side_by_side(name, options, machine) for name in ("carn_m", "carn")]
    return found + allocators("carn_m", options)


if __name__ == "__main__":
    main(__doc__, measure)
