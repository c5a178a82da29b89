"""Why a process did not start, in the words by which Docker's clients choose an exit code (125, 126, 127)."""

from __future__ import annotations

from typing import Final

from stackctl.api.connection import Request
from stackctl.errors import ContainerError
from stackctl.wire.protocol import HEADER

_PHRASES: Final = {
    "command-not-found": "executable file not found in $PATH",
    "command-not-executable": "permission denied",
    "command-wrong-format": "exec format error",
}


def is_ours(request: Request) -> bool:
    """Say whether a client of our own asks: only those name our protocol."""
    return HEADER.lower() in request.headers


def told_to_docker(error: ContainerError, argv0: str) -> str:
    """Return the message for another client."""
    phrase = _PHRASES.get(error.code)
    return f'{error.message}: exec: "{argv0}": {phrase}' if phrase else error.message
