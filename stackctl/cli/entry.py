"""Where the process begins: the quick ways first, and the whole command line only if none of them knows."""

from __future__ import annotations

import os
import sys

from stackctl.cli import receipt


def main() -> None:
    """Be the command, and exit."""
    if receipt.answer(sys.argv[1:], os.environ):
        _leave()
    if "config" in sys.argv:
        from stackctl.cli import known_answer

        if known_answer.answer(sys.argv[1:], os.environ):
            _leave()
    if "ps" in sys.argv:
        from stackctl.cli import quick_ps

        if quick_ps.answer(sys.argv[1:], os.environ):
            _leave()
    if sys.argv[1:2] == ["__complete"]:
        from stackctl.cli import complete

        complete.answer(sys.argv[2:], os.environ)
        _leave()
    from stackctl.cli import plain
    from stackctl.cli.ending import end

    end(lambda: _status(plain.run(sys.argv[1:], os.environ)))


def _status(plain: int | None) -> int:
    if plain is not None:
        return plain
    from stackctl.cli.main import run  # click and all: 40 ms

    return run(sys.argv[1:])


def _leave() -> None:
    """Exit as ``ending.leave`` does, importing nothing."""
    try:
        sys.stdout.flush()
    except OSError:  # nobody reads it any more
        os._exit(1)
    os._exit(0)
