"""``RUN``, ``CMD``, ``ENTRYPOINT``, ``SHELL`` and ``HEALTHCHECK``."""

from __future__ import annotations

import re
from typing import Final

from stackctl.images.dockerfile.instruction import (
    Cmd,
    Entrypoint,
    ExecForm,
    Healthcheck,
    Run,
    Shell,
    ShellForm,
)
from stackctl.images.dockerfile.mounts import BadMount, read_mount
from stackctl.images.dockerfile.statement import FlagKind, Flags, Statement, as_heredoc, json_texts

_RUN_FLAGS: Final[dict[str, FlagKind]] = {
    "mount": "many",
    "network": "text",
    "security": "text",
    "device": "later",
}
_HEALTH_FLAGS: Final[dict[str, FlagKind]] = {
    "interval": "text",
    "timeout": "text",
    "start-period": "text",
    "start-interval": "text",
    "retries": "text",
}
_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_DURATION: Final = re.compile(r"\+?(?:[0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})(?:ns|us|µs|ms|s|m|h)")
_MINIMUM_NS: Final = 1_000_000


def read_run(statement: Statement) -> Run:
    flags = Flags(statement, _RUN_FLAGS)
    command = statement.command()
    if not statement.rest or command == ExecForm(()):
        raise statement.wrong("RUN needs a command.")
    mounts = flags.texts("mount")
    for mount in mounts:
        if "$" not in mount:
            try:
                read_mount(mount)
            except BadMount as error:
                raise flags.wrong("mount", str(error), hint=error.hint) from error
    network = flags.text("network")
    if network and "$" not in network and network not in ("default", "none", "host"):
        raise flags.wrong("network", f"`{network}` is no network mode.", hint="it is default, none or host")
    security = flags.text("security")
    if security and "$" not in security and security not in ("sandbox", "insecure"):
        raise flags.wrong("security", f"`{security}` is no security mode.", hint="it is sandbox or insecure")
    heredocs = statement.heredocs if isinstance(command, ShellForm) else ()
    is_script = len(heredocs) == 1 and as_heredoc(statement.rest) is not None
    return Run(statement.place, statement.original, command, heredocs, mounts, network, security, is_script)


def read_cmd(statement: Statement) -> Cmd:
    Flags(statement, {})
    return Cmd(statement.place, statement.original, statement.command())


def read_entrypoint(statement: Statement) -> Entrypoint:
    Flags(statement, {})
    if not statement.rest:
        raise statement.wrong("ENTRYPOINT needs a command.", hint="`ENTRYPOINT []` takes the base's away")
    return Entrypoint(statement.place, statement.original, statement.command())


def read_shell(statement: Statement) -> Shell:
    Flags(statement, {})
    argv = statement.json_array()
    if not argv:
        raise statement.wrong("SHELL is a JSON array of words.", hint='write it like `SHELL ["/bin/sh", "-c"]`')
    return Shell(statement.place, statement.original, argv)


def read_healthcheck(statement: Statement) -> Healthcheck:
    flags = Flags(statement, _HEALTH_FLAGS)
    kind, rest = _head(statement.rest)
    if kind == "NONE":
        if rest:
            raise statement.wrong("HEALTHCHECK NONE takes nothing more.")
        return Healthcheck(statement.place, statement.original, None)
    if kind != "CMD":
        raise statement.wrong("HEALTHCHECK is followed by `CMD` and a command, or by `NONE`.")
    argv = json_texts(statement, rest)
    if not rest or argv == ():
        raise statement.wrong("HEALTHCHECK CMD needs a command.")
    return Healthcheck(
        statement.place,
        statement.original,
        ShellForm(rest) if argv is None else ExecForm(argv),
        interval_ns=_duration(flags, "interval"),
        timeout_ns=_duration(flags, "timeout"),
        start_period_ns=_duration(flags, "start-period"),
        start_interval_ns=_duration(flags, "start-interval"),
        retries=_retries(flags),
    )


def _head(text: str) -> tuple[str, str]:
    parts = text.split(maxsplit=1)
    return (parts[0].upper() if parts else "", parts[1] if len(parts) > 1 else "")


def _retries(flags: Flags) -> int:
    text = flags.text("retries")
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise flags.wrong("retries", f"`{text}` is no number of tries.")
    return int(text)


def _duration(flags: Flags, name: str) -> int:
    text = flags.text(name)
    if not text or text == "0":
        return 0
    pieces = _DURATION.findall(text)
    if "".join(pieces) != text:
        raise flags.wrong(name, f"`{text}` is no duration.", hint="write it like 30s or 1m30s")
    total = sum(_nanoseconds(piece) for piece in pieces)
    if 0 < total < _MINIMUM_NS:
        raise flags.wrong(name, f"`--{name}` is shorter than one millisecond.")
    return total


def _nanoseconds(piece: str) -> int:
    digits = piece.rstrip("nsuµmh")
    whole, _, fraction = digits.lstrip("+").partition(".")
    unit = _UNITS[piece[len(digits) :]]
    return int(whole or "0") * unit + int(fraction.ljust(9, "0") or "0") * unit // 1_000_000_000
