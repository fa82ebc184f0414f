"""``python -m restorekit``: the same as the command ``restorekit``."""

import sys

from restorekit.cli import main

if __name__ == "__main__":
    sys.exit(main())
