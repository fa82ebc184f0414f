"""The command ``restorekit``: restore, evaluate, degrade and info, over the functions of the other parts."""

from restorekit.cli.command import main

__all__ = ["main"]
