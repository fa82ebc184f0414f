"""The command as a whole: its subcommands, and what the shell is told when it ends."""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn, final

from restorekit import __version__
from restorekit.cli import degrade, evaluate, info, restore
from restorekit.cli._console import complain, hush, told

_EPILOG = """"restorekit COMMAND --help" tells more.

Exit codes: 0 done; 1 some pictures failed, the others are done; 2 wrong use or input; 130 stopped by Ctrl-C. Files
appear complete or not at all, and none is replaced without --overwrite."""

# What wrong input and a failing machine raise; anything else is a bug, whose traceback is worth showing.
_EXPECTED = (ValueError, TypeError, OSError, ArithmeticError, MemoryError, RuntimeError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command ``restorekit``.

    Args:
        argv: The words after its name; those of the process if None.

    Returns:
        The exit code: 0 done, 1 some pictures failed, 2 wrong use or input, 130 stopped by Ctrl-C. An error is one line
        on stderr.

    Example:
        >>> main(["--version"])
        restorekit ...
        0
    """
    try:
        code = _run(argv)
        sys.stdout.flush()  # here, where an error can still be told
    except KeyboardInterrupt:
        complain("stopped; no file was left half-written")
        return 130
    except BrokenPipeError:  # as of "| head": who reads has seen enough
        hush()
        return 0
    except _EXPECTED as error:
        complain(f"error: {told(error)}")
        hush()
        return 2
    return code


def _run(argv: Sequence[str] | None) -> int:
    try:
        options = _parser().parse_args(argv)
    except SystemExit as done:  # after --help and --version
        return int(done.code or 0)
    code: int = options.run(options)
    return code


@final
class _Parser(argparse.ArgumentParser):
    """Tells what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="restorekit",
        description="Restore pictures, measure networks, make degraded pictures.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"restorekit {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for part in (restore, evaluate, degrade, info):
        name = part.__name__.rpartition(".")[2]
        about, _, more = (part.run.__doc__ or "").partition("\n\n")
        one = commands.add_parser(name, help=about[:1].lower() + about[1:].rstrip("."), allow_abbrev=False)
        one.description = f"{about} {' '.join(more.split())}".strip()
        part.add_options(one)
        one.set_defaults(run=part.run)
    return parser
