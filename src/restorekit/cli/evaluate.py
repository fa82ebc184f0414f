"""``restorekit evaluate``: the scores of a network on a folder of pictures."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import restorekit
from restorekit.cli._console import add_running, existing, fillable, free, path, running, say
from restorekit.cli.networks import add_options as add_network_options
from restorekit.cli.networks import open_network

if TYPE_CHECKING:
    from restorekit.data import PairedFolder
    from restorekit.evaluation import Evaluation


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``restorekit evaluate``."""
    parser.add_argument("folder", type=path, metavar="FOLDER", help="true pictures, or HR/ and LRbicxN/ with pictures")
    add_network_options(parser)
    add_running(parser)
    parser.add_argument("--lq", type=path, metavar="FOLDER", help="degraded pictures, by the names of the true ones")
    parser.add_argument("--protocol", default="sr-y", help="how pictures are compared (default: sr-y)")
    parser.add_argument("--bicubic", action="store_true", help="add the mean of bicubic interpolation")
    parser.add_argument("--json", type=path, metavar="OUT", help="write everything to a JSON file, too")
    parser.add_argument("--keep-pictures", type=path, metavar="DIR", help="write the restored pictures to a folder")
    parser.add_argument("--overwrite", action="store_true", help="replace the JSON file and the pictures")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(options: argparse.Namespace) -> int:
    """Measure PSNR and SSIM of a network on a folder of pictures.

    Without degraded pictures they are made from the true ones by bicubic down-scaling.
    """
    existing(options.folder)
    _check_outputs(options)
    net, scale = open_network(options)
    pairs = _pairs(options, scale)
    found = restorekit.evaluation.evaluate(
        net,
        pairs,
        scale=scale,
        protocol=options.protocol,
        keep_pictures=options.keep_pictures,
        **running(options),
    )
    if options.json is not None:
        found.to_json(options.json)
    say(str(found))
    if options.bicubic:
        say(_baseline(pairs, scale, options))
    return 0


def _check_outputs(options: argparse.Namespace) -> None:
    if options.json is not None:
        free(options.json, options.overwrite)
    keep: Path | None = options.keep_pictures
    if keep is None:
        return
    fillable(keep)
    if keep.is_dir() and any(keep.iterdir()) and not options.overwrite:
        raise ValueError(f"{keep} holds files; --overwrite replaces those of the same names")


def _pairs(options: argparse.Namespace, scale: int) -> "Path | PairedFolder":
    folder: Path = options.folder
    if options.lq is not None:
        return restorekit.data.PairedFolder(existing(options.lq), folder, scale=scale)
    if scale == 1:
        raise ValueError("the network keeps the size of a picture; give the degraded pictures with --lq FOLDER")
    return folder


def _baseline(pairs: "Path | PairedFolder", scale: int, options: argparse.Namespace) -> str:
    """The row of what costs nothing, in the columns of the table."""
    found: Evaluation = restorekit.evaluation.evaluate(
        lambda x: restorekit.image.resize(x, scale), pairs, scale=scale, protocol=options.protocol
    )
    name = "bicubic" if scale > 1 else "input"
    return f"{name:<7}{str(found).splitlines()[-1][7:]}"  # every first column is at least as wide
