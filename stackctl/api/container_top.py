"""The processes of a container, in columns of ps(1). Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from stackctl.api.connection import BadRequest
from stackctl.runtime.processes import Process


class Column(NamedTuple):
    """What stands above it, and what it tells of a process at a time."""

    title: str
    value: Callable[[Process, float], str]


def _started(process: Process, now_s: float) -> str:
    is_of_today = now_s - process.started_s < 24 * 3600
    return time.strftime("%H:%M" if is_of_today else "%b%d", time.localtime(process.started_s))


def _used(process: Process, _: float) -> str:
    minutes, seconds = divmod(int(process.cpu_s), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"


def _share(process: Process, now_s: float) -> float:
    return 100 * process.cpu_s / max(now_s - process.started_s, 1.0)


def _elapsed(process: Process, now_s: float) -> str:
    minutes, seconds = divmod(max(0, int(now_s - process.started_s)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    clock = f"{hours:02}:{minutes:02}:{seconds:02}" if days or hours else f"{minutes:02}:{seconds:02}"
    return f"{days}-{clock}" if days else clock


def _user(process: Process, _: float) -> str:
    return "root" if process.uid == 0 else str(process.uid)


_COLUMNS: Final[Mapping[str, Column]] = {
    "uid": Column("UID", lambda process, _: str(process.uid)),
    "user": Column("USER", _user),
    "pid": Column("PID", lambda process, _: str(process.pid)),
    "ppid": Column("PPID", lambda process, _: str(process.parent_pid)),
    "c": Column("C", lambda process, now_s: str(min(99, int(_share(process, now_s))))),
    "pcpu": Column("%CPU", lambda process, now_s: f"{_share(process, now_s):.1f}"),
    "stime": Column("STIME", _started),
    "tty": Column("TTY", lambda process, _: process.tty),
    "tt": Column("TT", lambda process, _: process.tty),
    "time": Column("TIME", _used),
    "etime": Column("ELAPSED", _elapsed),
    "comm": Column("COMMAND", lambda process, _: process.command.partition(" ")[0].rpartition("/")[2]),
    "cmd": Column("CMD", lambda process, _: process.command),
    "args": Column("COMMAND", lambda process, _: process.command),
}
_FULL: Final = (Column("UID", _user), *(_COLUMNS[name] for name in ("pid", "ppid", "c", "stime", "tty", "time", "cmd")))
_SAME: Final = {"command": "args", "%cpu": "pcpu", "start": "stime", "tname": "tty", "cputime": "time", "euser": "user"}


def columns_of(ps_args: str) -> tuple[Column, ...]:
    """Return the columns that arguments of ps ask for: ``-ef``, ``-o NAME,…``. Raises BadRequest for others."""
    words = ps_args.replace(",", " ").split()
    if not words or words in (["-ef"], ["ef"], ["-eF"]):
        return _FULL
    names: list[str] = []
    for word in words:
        if word.startswith("-o") or word in ("o", "-eo", "-Ao"):
            names += [word.removeprefix("-o")] if len(word) > 2 and word.startswith("-o") else []
        elif word not in ("-e", "-A"):
            names.append(word)
    chosen = [_SAME.get(name.lower(), name.lower()) for name in names]
    if not chosen or any(name not in _COLUMNS for name in chosen) or not any("o" in word[:3] for word in words):
        raise BadRequest(f"not supported by this engine: the ps arguments {ps_args!r}: -ef, or -o {','.join(_COLUMNS)}")
    return tuple(_COLUMNS[name] for name in chosen)


def top_json(processes: Sequence[Process], now_s: float, columns: Sequence[Column]) -> dict[str, Any]:
    """Return ``GET /containers/{id}/top``."""
    return {
        "Titles": [column.title for column in columns],
        "Processes": [[column.value(process, now_s) for column in columns] for process in processes],
    }
