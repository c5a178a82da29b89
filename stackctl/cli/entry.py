"""Where the process begins: the quick ways first, and the whole command line only if none of them knows."""

from __future__ import annotations

import os
import sys

from stackctl.cli import receipt


def main() -> None:
    """Be the command, and exit."""
    if receipt.answer(sys.argv[1:], os.environ):
        return
    if "ps" in sys.argv:
        from stackctl.cli import quick_ps

        if quick_ps.answer(sys.argv[1:], os.environ):
            return
    from stackctl.cli.main import main as whole  # click and all: 40 ms

    whole()
