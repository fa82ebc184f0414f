"""What the subcommands share at their two ends: options that several have, and what they write on the terminal."""

import argparse
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

_NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[-+]?[0-9]+)?"
DTYPES = ("float32", "bfloat16")


def say(text: str) -> None:
    """Write a result, as a line on stdout; names that its encoding does not hold are escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def complain(text: str) -> None:
    """Write one line on stderr."""
    line = " ".join(filter(None, map(str.strip, text.splitlines())))
    sys.stderr.write(f"restorekit: {line}\n")


def told(error: BaseException) -> str:
    """What an error says, without the number that the system has for it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{os.fsdecode(error.filename)}: {error.strerror}"
    return str(error) or type(error).__name__


def hush() -> None:
    """Let nothing more be written where nobody reads, or nothing can be written; else Python complains at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def shows_progress(quiet: bool) -> bool:
    """Whether a bar is of use: somebody looks, and asked for no quiet."""
    return not quiet and sys.stderr.isatty()


def existing(path: Path) -> Path:
    """Require something at a path that is read."""
    if not path.exists():
        raise ValueError(f"{path} does not exist")
    return path


def free(path: Path, overwrite: bool) -> None:
    """Require a place where a file can be written: before the work, not after it."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise ValueError(f"the folder {path.parent} does not exist; make it first")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists; --overwrite replaces it")


def value(text: str) -> Any:
    """A number, a fraction such as 25/255, true, false, none, or the text itself."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    if re.fullmatch(r"[-+]?[0-9]+", text):
        return int(text)
    if re.fullmatch(_NUMBER, text):
        return float(text)
    fraction = re.fullmatch(rf"({_NUMBER})/({_NUMBER})", text)
    if fraction and float(fraction[2]):
        return float(fraction[1]) / float(fraction[2])
    return text


def named_value(text: str) -> tuple[str, Any]:
    """An option of a function, as NAME=VALUE; several values with commas between them."""
    name, equals, given = text.partition("=")
    if not equals or not name.isidentifier() or not given:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    return name, tuple(map(value, given.split(","))) if "," in given else value(given)


def whole_number(text: str) -> int:
    """A whole number from 1."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def number_or_auto(text: str) -> int | Literal["auto"]:
    """A whole number from 1, or "auto"."""
    return "auto" if text == "auto" else whole_number(text)


def add_running(parser: argparse.ArgumentParser) -> None:
    """The options of how a network runs."""
    parser.add_argument(
        "--self-ensemble", action="store_true", help="mean over the 8 flips and turns; 8 times the work"
    )
    parser.add_argument("--tile", type=number_or_auto, metavar="N|auto", help="side of tiles in px, to bound memory")
    parser.add_argument("--device", help="where to compute, such as cpu or cuda (default: cpu)")
    parser.add_argument("--dtype", choices=DTYPES, help="type to compute in (default: that of the network)")


def device(name: str | None) -> str | None:
    """Require a device that this machine has."""
    import torch  # noqa: PLC0415

    if name is not None:
        try:
            torch.empty(1, device=name).add_(1).item()
        except Exception as error:  # of whatever class each kind of device has for it
            reason = next(iter(told(error).splitlines()), "")
            raise ValueError(f"--device {name}: not to be had here ({reason}); see restorekit info") from error
    return name


def dtype(name: str | None) -> "torch.dtype | None":
    """The type of that name."""
    import torch  # noqa: PLC0415

    return None if name is None else {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
