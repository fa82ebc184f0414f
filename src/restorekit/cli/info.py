"""``restorekit info``: the installation, a network, or a file of weights."""

import argparse
import hashlib
import inspect
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import restorekit
from restorekit.cli._console import say
from restorekit.cli.networks import add_option, find_file, takes_scale

_EXTRAS = ("accelerate", "matplotlib", "scikit-learn", "onnx", "onnxscript", "onnxruntime", "openvino")
_FACTORS = (1, 2, 3, 4, 8)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``restorekit info``."""
    parser.add_argument("about", nargs="?", metavar="NAME|FILE", help="a network, or a file of weights")
    add_option(parser)


def run(options: argparse.Namespace) -> int:
    """Show what is installed, what a network costs, or what a file of weights holds."""
    about: str | None = options.about
    if options.option and about not in restorekit.models.list_models():
        raise ValueError("--option is for a network that is named, such as restorekit info carn --option channels=32")
    if about is None:
        lines = _installation()
    elif about in restorekit.models.list_models():
        lines = _network(about, dict(options.option))
    elif find_file(Path(about)).exists():
        lines = _file(find_file(Path(about)))
    else:
        known = ", ".join(restorekit.models.list_models())
        shipped = ", ".join(row.name for row in restorekit.weights.list_shipped())
        raise ValueError(f"{about} is neither a network ({known}) nor a file, nor weights that come along ({shipped})")
    say("\n".join(lines))
    return 0


def _installation() -> Iterator[str]:
    import torch  # noqa: PLC0415

    yield _row("restorekit", restorekit.__version__)
    yield _row("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield _row("torch", f"{torch.__version__}, {torch.get_num_threads()} threads")
    yield _row("devices", ", ".join(_devices()))
    yield _row("extras", ", ".join(map(_installed, _EXTRAS)))
    yield ""
    yield "networks:"
    for task in restorekit.models.list_tasks():
        yield f"  {task}: {', '.join(restorekit.models.list_models(task))}"
    yield ""
    yield "trained weights that come with the library:"
    for row in restorekit.weights.list_shipped():
        yield f"  {row}"


def _devices() -> Iterator[str]:
    import torch  # noqa: PLC0415

    yield "cpu"
    if torch.accelerator.is_available():
        kind = str(torch.accelerator.current_accelerator()).partition(":")[0]
        for index in range(torch.accelerator.device_count()):
            yield f"{kind}:{index}" + (f" ({torch.cuda.get_device_name(index)})" if kind == "cuda" else "")


def _installed(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"{name} (absent)"


def _network(name: str, options: dict[str, Any]) -> Iterator[str]:
    yield _row("network", f"{name}, for {', '.join(restorekit.models.list_tasks(name))}")
    source = (inspect.getdoc(getattr(restorekit.models, name)) or "").partition("Source:")[2]
    yield _row("paper", " ".join(source.split()))
    for net in _built(name, options):
        yield from _costs(net)


def _built(name: str, options: dict[str, Any]) -> "Iterator[restorekit.models.Restorer]":
    """The network at every factor that it offers, without memory."""
    import torch  # noqa: PLC0415

    every = takes_scale(name) and "scale" not in options
    for factor in [{"scale": factor} for factor in _FACTORS] if every else [{}]:
        try:
            with torch.device("meta"):
                net = restorekit.models.create_model(name, **options, **factor)
        except ValueError:
            if not every:
                raise
            continue  # not one of its factors
        yield net


def _costs(net: "restorekit.models.Restorer") -> Iterator[str]:
    """Size, work and reach, for each factor."""
    parameters = restorekit.metrics.count_parameters(net)
    radius = net.receptive_radius
    reach = "sees the whole picture" if radius is None else f"sees {radius} px to each side"
    for scale in net.scales:
        try:
            work = restorekit.metrics.count_multadds(net, scale=scale)
        except ValueError:  # stage 1 of IDR, which runs only when it is told the degradation
            yield _row(
                f"x{scale}", f"{parameters:,} parameters; --model idr --option degradation=noise runs it for noise"
            )
            continue
        yield _row(f"x{scale}", f"{parameters:,} parameters, {work / 1e9:,.1f} G MultAdds to 1280 x 720, {reach}")


def _file(path: Path) -> Iterator[str]:
    net = restorekit.models.load_checkpoint(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    yield _row("file", str(path))
    yield _row("sha256", digest)
    card = path.with_suffix(".md")
    if card.exists():
        yield _row("card", str(card))
    yield _row("network", type(net).__name__)
    yield _row("options", ", ".join(f"{name}={value!r}" for name, value in net.config.items()))
    yield from _costs(net)


def _row(name: str, text: str) -> str:
    return f"{name:<10} {text}"
