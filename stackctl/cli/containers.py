"""Containers as the engine lists them: reading an entry of /containers/json. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from stackctl import labels

Entry: TypeAlias = Mapping[str, Any]

_HEALTH: Final = re.compile(r"\((?:health: )?(starting|healthy|unhealthy)\)")
_EXIT_CODE: Final = re.compile(r"\w+ \((\d+)\)")
RUNNING: Final = frozenset({"running", "restarting", "paused"})


class Listed(NamedTuple):  # a dataclass would cost `ps` 10 ms for inspect
    """One container of a stack. ``number`` is 0 for a one-off; ``health`` "" without a check."""

    id: str
    name: str
    service: str
    number: int
    state: str
    status: str
    is_oneoff: bool
    health: str
    exit_code: int
    entry: Entry

    @property
    def is_running(self) -> bool:
        """Whether it has processes."""
        return self.state in RUNNING

    @property
    def log_name(self) -> str:
        """What its log lines begin with."""
        return f"{self.service}-{self.number}" if self.number else self.name


def listed(entry: Entry) -> Listed:
    """Read one entry. Docker tells health and exit code only in the words of ``Status``."""
    marks: Mapping[str, str] = entry.get("Labels") or {}
    names = entry.get("Names") or [""]
    number = marks.get(labels.CONTAINER_NUMBER, "")
    is_oneoff = marks.get(labels.ONEOFF, "").lower() == "true"
    status = str(entry.get("Status") or "")
    return Listed(
        id=str(entry.get("Id") or ""),
        name=str(names[0]).lstrip("/"),
        service=marks.get(labels.SERVICE, ""),
        number=int(number) if number.isdecimal() and not is_oneoff else 0,
        state=str(entry.get("State") or ""),
        status=status,
        is_oneoff=is_oneoff,
        health=_health(entry, status),
        exit_code=_exit_code(entry, status),
        entry=entry,
    )


def _health(entry: Entry, status: str) -> str:
    told = (entry.get("Health") or {}).get("Status")
    if told is not None:
        return "" if told == "none" else str(told)
    found = _HEALTH.search(status)
    return found[1] if found else ""


def _exit_code(entry: Entry, status: str) -> int:
    told = entry.get("ExitCode")
    if isinstance(told, int):
        return told
    found = _EXIT_CODE.match(status)
    return int(found[1]) if found else 0


def in_order(entries: Iterable[Entry]) -> list[Listed]:
    """Read entries, sorted by service and number, one-offs last."""
    return sorted(map(listed, entries), key=lambda c: (c.service, c.is_oneoff, c.number, c.name))


def state_of(inspection: Entry) -> tuple[str, int]:
    """Return state and exit code of what /containers/{id}/json answers."""
    state: Mapping[str, Any] = inspection.get("State") or {}
    return str(state.get("Status") or ""), int(state.get("ExitCode") or 0)
