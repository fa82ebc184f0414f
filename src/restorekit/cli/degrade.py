"""``restorekit degrade``: degraded versions of a picture, or of all pictures of a folder."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import restorekit
from restorekit.cli._console import existing, free, say, shows_progress, whole_number
from restorekit.cli.recipes import listing, parse_recipe

if TYPE_CHECKING:
    from torch import Tensor


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``restorekit degrade``."""
    parser.add_argument("source", type=Path, nargs="?", metavar="IN", help="a picture, or a folder of pictures")
    parser.add_argument("-o", "--output", type=Path, metavar="OUT", help="picture to write, or folder to fill")
    parser.add_argument("--recipe", help="what to do, such as jpeg:10 or shdd:moderate; --list shows all")
    parser.add_argument("--list", action="store_true", help="show what recipes are made of, and stop")
    parser.add_argument("--seed", type=_seed, default=0, metavar="N", help="of all draws (default: 0)")
    parser.add_argument("--variants", type=whole_number, default=1, metavar="N", help="of a folder: versions a picture")
    parser.add_argument("--overwrite", action="store_true", help="replace the picture OUT")
    parser.add_argument("--quiet", action="store_true", help="no progress bar and no report, errors alone")


def run(options: argparse.Namespace) -> int:
    """Degrade a picture, or all pictures of a folder.

    The same seed gives the same pictures. A folder is filled with lq/NAME_0.png and so on, and manifest.jsonl, which
    tells what was done to each; the same command goes on where it was stopped.
    """
    if options.list:
        say(listing())
        return 0
    missing = [name for name in ("source", "output", "recipe") if getattr(options, name) is None]
    if missing:
        raise ValueError("degrade needs IN, -o OUT and --recipe; --list shows what recipes are made of")
    existing(options.source)
    composition, scale = parse_recipe(options.recipe)
    make = _folder if options.source.is_dir() else _file
    report = make(options, composition, scale)
    if not options.quiet:
        say(report)
    return 0


def _seed(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0, got {text!r}")
    return int(text)


def _file(options: argparse.Namespace, composition: "restorekit.degrade.Composition", scale: int) -> str:
    source, target = options.source, options.output
    if options.variants != 1:
        raise ValueError("--variants is for folders; for another version of one picture take another --seed")
    free(target, options.overwrite)
    if target.exists() and target.samefile(source):
        raise ValueError(f"{target} is the picture that is read; name another file")
    hq = _colour(restorekit.image.to_tensor(source), source)
    try:
        lq = restorekit.data.DegradedFolder([hq], composition, seed=options.seed, scale=scale)[0][0]
    except ValueError as error:
        raise ValueError(f"{source}: {str(error).removeprefix('picture 0: ')}") from error
    restorekit.image.write_image(target, lq)
    return f"{target}: {lq.shape[-1]} x {lq.shape[-2]} pixels"


def _colour(x: "Tensor", source: Path) -> "Tensor":
    if x.shape[1] in {2, 4}:
        raise ValueError(f"{source}: the picture has transparency, which no recipe treats; save it without")
    return x.expand(-1, 3, -1, -1)[0]


def _folder(options: argparse.Namespace, composition: "restorekit.degrade.Composition", scale: int) -> str:
    written = restorekit.data.write_degraded(
        restorekit.data.ImageFolder(options.source, recursive=True),
        composition,
        options.output,
        variants=options.variants,
        seed=options.seed,
        scale=scale,
        progress=shows_progress(options.quiet),
    )
    return f"{options.output}: {len(written)} pictures in lq, what was done to each in manifest.jsonl"
