"""``restorekit restore``: a picture, or all pictures of a folder."""

import argparse
import warnings
from functools import partial
from pathlib import Path

import restorekit
from restorekit.cli._console import add_running, complain, existing, free, path, running, say
from restorekit.cli.networks import add_options as add_network_options
from restorekit.cli.networks import open_network

_PART = 512  # side of the parts that a picture is cut into where no tiles would give what the whole gives, px


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``restorekit restore``."""
    parser.add_argument("source", type=path, metavar="IN", help="a picture, or a folder of pictures")
    parser.add_argument(
        "-o", "--output", type=path, metavar="OUT", help="picture or folder to write (default: beside IN, as IN_x4.png)"
    )
    add_network_options(parser)
    add_running(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace results that are there already")
    parser.add_argument("--strict", action="store_true", help="of a folder: stop at the first picture that fails")
    parser.add_argument("--quiet", action="store_true", help="no progress bar and no report, errors alone")


def run(options: argparse.Namespace) -> int:
    """Restore a picture, or all pictures of a folder.

    The results of a folder are PNG files of the same names, those of the folders in it too. Pictures whose result is
    there already are passed over, so that the same command goes on where it was stopped.
    """
    source = existing(options.source)
    net, scale = open_network(options)
    target = options.output or beside(source, scale, options.task)
    restore = _folder if source.is_dir() else _file
    return restore(net, source, target, scale, options)


def beside(source: Path, scale: int, task: str | None = None) -> Path:
    """Where the result goes if nothing else is said: photo_x4.png or photo_denoising.png, or the folder photos_x4."""
    place = source if source.name not in {"", ".."} else source.resolve()
    if not place.name:
        raise ValueError(f"no folder can be made beside {source}; name one with -o")
    mark = f"x{scale}" if scale > 1 else task or "restored"
    return place.with_name(f"{place.name}_{mark}" if source.is_dir() else f"{place.stem}_{mark}.png")


def _file(
    net: "restorekit.models.Restorer", source: Path, target: Path, scale: int, options: argparse.Namespace
) -> int:
    free(target, options.overwrite)
    run = partial(restorekit.inference.restore_file, net, source, target, scale=scale, overwrite=options.overwrite)
    settings = running(options)
    try:
        run(**settings | {"tile": options.tile or "auto"})
    except ValueError as error:
        if options.tile is not None or "sees the whole picture" not in str(error):
            raise
        complain(f"too large for a network that sees the whole picture: restored in parts of {_PART} px (--tile)")
        run(**settings | {"tile": _PART})
    if not options.quiet:
        height, width = restorekit.image.picture_size(target)
        say(f"{target}: {width} x {height} pixels")
    return 0


def _folder(
    net: "restorekit.models.Restorer", source: Path, target: Path, scale: int, options: argparse.Namespace
) -> int:
    with warnings.catch_warnings():
        told_below = r"\d+ of \d+ pictures could not be restored"
        warnings.filterwarnings("ignore", message=told_below)
        result = restorekit.inference.restore_folder(
            net,
            source,
            target,
            existing="overwrite" if options.overwrite else "skip",
            strict=options.strict,
            scale=scale,
            **running(options),
        )
    for failed, reason in result.failed.items():
        complain(f"failed: {failed}: {reason}")
    if not options.quiet:
        done, there, not_done = map(len, (result.restored, result.skipped, result.failed))
        say(f"{target}: {done} restored, {there} there already, {not_done} failed")
    return 1 if result.failed else 0
