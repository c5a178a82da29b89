"""How a command ends, however its line was read: errors on standard error, and the exit status."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from stackctl.cli.failure import error_text
from stackctl.cli.settings import Settings
from stackctl.errors import StackctlError

INTERRUPTED = 130


def end(command: Callable[[], int]) -> NoReturn:
    """Run the command, and exit with its status. No thread of it and no process may still be needed."""
    # SIGTERM ends a command as Ctrl-C does, terminal given back and all.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    status = command()
    leave(status)


def leave(status: int) -> NoReturn:
    """Exit, once all that was written is out. Nothing is taken apart before: the kernel is quicker at it, by 5 ms."""
    # Streams may hold text for a reader that is gone: to be told so at exit would be a traceback.
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        forget_output()
    os._exit(status)


def show(error: Exception, settings: Settings | None) -> int:
    """Tell what went wrong, on standard error; return the exit status it makes."""
    if os.environ.get("STACKCTL_DEBUG") == "1":
        import traceback  # only to debug

        traceback.print_exception(error)
    known = error if isinstance(error, StackctlError) else _unforeseen(error)
    has_colour = settings is not None and settings.has_colour(is_terminal=sys.stderr.isatty())
    text = error_text(known, lines=settings.lines if settings else None, has_colour=has_colour)
    if settings is not None and settings.progress == "json":
        import json  # only then

        text = json.dumps({"error": True, "message": known.message, "details": text})
    print(text, file=sys.stderr)
    return error.exit_status if isinstance(error, StackctlError) else 1


def _unforeseen(error: Exception) -> StackctlError:
    hint = "STACKCTL_DEBUG=1 shows where it happened"
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return StackctlError(error.strerror.lower() + where, code="system", hint=hint)
    return StackctlError(f"internal error: {type(error).__name__}: {error}", code="internal", hint=hint)


def forget_output() -> None:
    """Let what nobody reads any more go nowhere."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(null, stream.fileno())
    os.close(null)
