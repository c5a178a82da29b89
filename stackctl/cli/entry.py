"""Where the process begins: the receipt gate, and the whole command line only if that does not know."""

from __future__ import annotations

import os
import sys

from stackctl.cli.receipt import answer


def main() -> None:
    """Be the command, and exit."""
    if answer(sys.argv[1:], os.environ):
        return
    from stackctl.cli.main import main as whole  # click and all: 40 ms

    whole()
