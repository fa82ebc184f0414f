"""Which network a command runs: from a file of weights, or one that comes with the library."""

import argparse
import inspect
import os
from pathlib import Path
from typing import Any, NamedTuple

import restorekit
from restorekit.cli._console import existing, named_value, whole_number


class Default(NamedTuple):
    """Trained weights that come with the library."""

    task: str
    model: str  # as in models.list_models
    scale: int
    weights: str | os.PathLike[str] = "default"  # as the factory of the network takes it


DEFAULTS: tuple[Default, ...] = ()
"""All there are, the first choice of each task first; a command that names nothing takes the very first."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a network."""
    group = parser.add_argument_group("the network")
    group.add_argument("--weights", type=Path, metavar="FILE", help="a checkpoint: of this library, or as published")
    group.add_argument("--model", metavar="NAME", help="where the file does not tell which; see restorekit info")
    group.add_argument("--scale", type=whole_number, metavar="N", help="how many times to enlarge")
    add_option(group)


def add_option(parser: argparse._ActionsContainer) -> None:
    """Add the options of a network that have no flag of their own."""
    parser.add_argument(
        "--option", type=named_value, action="append", default=[], metavar="NAME=VALUE",
        help="one more option of --model, such as channels=32; may be repeated",
    )  # fmt: skip


def open_network(options: argparse.Namespace) -> "restorekit.models.Restorer":
    """The network that ``--weights``, ``--model``, ``--scale`` and ``--task`` choose.

    Raises:
        ValueError: Nothing fits, or the weights are damaged.
    """
    model: str | None = options.model
    task: str | None = getattr(options, "task", None)
    _check_known("--model", model, restorekit.models.list_models())
    _check_known("--task", task, restorekit.models.list_tasks())
    if options.option and (model is None or options.weights is None):
        raise ValueError("--option is for a network that --model names and --weights fills; give both")
    if options.weights is None:
        chosen = _choose(task, model, options.scale)
        return _named(chosen.model, chosen.scale, chosen.weights, {})
    if task is not None:
        raise ValueError("--task picks among the weights that come with the library; leave it or --weights out")
    path = existing(options.weights)
    net = _recognised(path) if model is None else _named(model, options.scale, path, dict(options.option))
    _check_numbers(net, path)
    return net.eval()


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


def _choose(task: str | None, model: str | None, scale: int | None) -> Default:
    """The first of the weights that come with the library that fit."""
    asked = {name: value for name, value in (("task", task), ("model", model), ("scale", scale)) if value is not None}
    for default in DEFAULTS:
        if all(getattr(default, name) == value for name, value in asked.items()):
            return default
    flags = " ".join(f"--{name} {value}" for name, value in asked.items())
    known = "; ".join(f"{one.task} x{one.scale} ({one.model})" for one in DEFAULTS) or "none yet"
    raise ValueError(
        f"no weights for {flags or 'restoring'} come with restorekit {restorekit.__version__} (there are: "
        f"{known}); give a checkpoint with --weights FILE: published by the authors of a network, or trained with "
        "restorekit.train.fit and written by models.save_weights"
    )


def _recognised(path: Path) -> "restorekit.models.Restorer":
    try:
        net = restorekit.models.load_checkpoint(path)
    except ValueError as error:
        if "models.load_" not in str(error):  # which names the call that would help
            raise
        raise ValueError(f"{error} (on the command line: --model NAME, with --scale where it enlarges)") from error
    if net.config.get("stage") == 1 and net.config.get("degradation", "") is None:
        raise ValueError(f"{path} must be told the degradation, such as --model idr --option degradation=noise")
    return net


def takes_scale(name: str) -> bool:
    """Whether a network is built for a factor, rather than keeping the size of every picture."""
    return "scale" in inspect.signature(getattr(restorekit.models, name)).parameters


def _named(
    name: str, scale: int | None, weights: str | os.PathLike[str], options: dict[str, Any]
) -> "restorekit.models.Restorer":
    if scale not in {None, 1} and not takes_scale(name):
        raise ValueError(f"{name} keeps the size of a picture; leave --scale {scale} out")
    if scale is not None and takes_scale(name):
        options = {"scale": scale, **options}
    try:
        return restorekit.models.create_model(name, weights=weights, **options)
    except ValueError as error:
        if "models.load_" not in str(error):
            raise
        raise ValueError(f"{error} (on the command line: leave --model out)") from error


def _check_numbers(net: "restorekit.models.Restorer", path: Path) -> None:
    for name, tensor in net.state_dict().items():
        if not tensor.isfinite().all():
            raise ValueError(f"{path}: {name} holds values that are no finite numbers; the file is damaged")
