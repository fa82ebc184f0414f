"""Which network a command runs: from a file of weights, or one that comes with the library."""

import argparse
import inspect
from pathlib import Path
from typing import Any

import restorekit
from restorekit.cli._console import existing, named_value, path, whole_number

_FACTOR = 2  # where weights that come with the library enlarge by several, and none is named


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a network."""
    group = parser.add_argument_group(
        "the network", "Without --weights, one that comes with the library, trained; see restorekit info."
    )
    group.add_argument("--task", help="what it is for, such as denoising (default: super-resolution)")
    group.add_argument(
        "--weights",
        type=path,
        metavar="FILE",
        help="a checkpoint: of this library, or as published, or a name of restorekit info",
    )
    group.add_argument("--model", metavar="NAME", help="where task or file do not tell which")
    group.add_argument(
        "--scale", type=whole_number, metavar="N", help=f"how many times to enlarge (default: {_FACTOR}, or the file's)"
    )
    add_option(group)


def add_option(parser: argparse._ActionsContainer) -> None:
    """Add the options of a network that have no flag of their own."""
    parser.add_argument(
        "--option", type=named_value, action="append", default=[], metavar="NAME=VALUE",
        help="of the network that is named, such as channels=32; may be repeated",
    )  # fmt: skip


def open_network(options: argparse.Namespace) -> "tuple[restorekit.models.Restorer, int]":
    """The network that ``--task``, ``--weights``, ``--model`` and ``--scale`` choose, and the factor to run it at.

    Raises:
        ValueError: Nothing fits, or the weights are damaged.
    """
    model: str | None = options.model
    _check_known("--model", model, restorekit.models.list_models())
    _check_known("--task", options.task, restorekit.models.list_tasks())
    if options.option and (model is None or options.weights is None):
        raise ValueError("--option is for a network that --model names and --weights fills; give both")
    if options.weights is None:
        return _shipped(options)
    if options.task is not None:
        raise ValueError("--task picks among the weights that come with the library; leave it or --weights out")
    file = existing(find_file(options.weights))
    try:
        net = _recognised(file) if model is None else _named(model, options.scale, file, dict(options.option))
    except ValueError as error:
        if "models.load_" not in str(error):  # the call that would help, which the command line has words for
            raise
        words = "--model NAME, with --scale where it enlarges" if model is None else "leave --model out"
        raise ValueError(f"{error} (on the command line: {words})") from error
    _check_numbers(net, file)
    return net.eval(), pick_scale(net, options.scale)


def _check_known(flag: str, name: str | None, known: list[str]) -> None:
    if name is not None and name not in known:
        raise ValueError(f"{flag} must be one of {', '.join(known)}, got {name}")


def pick_scale(net: "restorekit.models.Restorer", scale: int | None) -> int:
    """The factor to run at."""
    if scale is None and len(net.scales) > 1:
        raise ValueError(f"the network enlarges {_listed(net.scales)} times; say which with --scale")
    if scale is not None and scale not in net.scales:
        does = f"enlarges {_listed(net.scales)} times" if net.scales != (1,) else "keeps the size of a picture"
        raise ValueError(f"the network {does}; --scale {scale} is none of its factors")
    return net.pick_scale(scale)


def _listed(scales: tuple[int, ...]) -> str:
    return " or ".join(map(str, scales))


def _shipped(options: argparse.Namespace) -> "tuple[restorekit.models.Restorer, int]":
    """The first of the weights that come with the library that fit."""
    try:
        net = restorekit.models.load_default(options.task, model=options.model, scale=options.scale)
    except ValueError as error:
        raise ValueError(f"{error} (on the command line: --weights FILE, --task TASK)") from error
    return net, options.scale or (_FACTOR if _FACTOR in net.scales else net.scales[0])


def find_file(weights: Path) -> Path:
    """The file of a path, or of weights that come with the library."""
    named = {row.name for row in restorekit.weights.list_shipped()}
    return restorekit.weights.shipped(str(weights)) if str(weights) in named and not weights.exists() else weights


def _recognised(path: Path) -> "restorekit.models.Restorer":
    net = restorekit.models.load_checkpoint(path)
    if net.config.get("stage") == 1 and net.config.get("degradation", "") is None:
        raise ValueError(f"{path} must be told the degradation, such as --model idr --option degradation=noise")
    return net


def takes_scale(name: str) -> bool:
    """Whether a network is built for a factor, rather than keeping the size of every picture."""
    return "scale" in inspect.signature(getattr(restorekit.models, name)).parameters


def _named(name: str, scale: int | None, weights: Path, options: dict[str, Any]) -> "restorekit.models.Restorer":
    if scale not in {None, 1} and not takes_scale(name):
        raise ValueError(f"{name} keeps the size of a picture; leave --scale {scale} out")
    if scale is not None and takes_scale(name):
        options = {"scale": scale, **options}
    return restorekit.models.create_model(name, weights=weights, **options)


def _check_numbers(net: "restorekit.models.Restorer", path: Path) -> None:
    for name, tensor in net.state_dict().items():
        if not tensor.isfinite().all():
            raise ValueError(f"{path}: {name} holds values that are no finite numbers; the file is damaged")
