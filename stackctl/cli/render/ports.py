"""Published ports as Docker's tools write them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

_HTTPS: Final = frozenset({443, 8443})
# Ports of containers that are no web servers': mail, names, files, databases, queues, caches and shells.
_NO_HTTP: Final = frozenset(
    {21, 22, 25, 53, 110, 139, 143, 389, 445, 465, 587, 636, 853, 993, 995, 1433, 1521, 1883, 2049, 2181, 3306, 4222}
    | {5222, 5432, 5671, 5672, 6379, 6432, 8883, 9042, 9092, 11211, 25565, 26257, 27017, 33060}
)


class Port(NamedTuple):
    """One port of a container; ``public`` 0 when it is only exposed."""

    ip: str
    private: int
    public: int
    protocol: str


def ports_of(container: Mapping[str, Any]) -> tuple[Port, ...]:
    """Return the ports of an entry of /containers/json, in order."""
    found = {
        Port(
            str(entry.get("IP") or ""),
            int(entry.get("PrivatePort") or 0),
            int(entry.get("PublicPort") or 0),
            str(entry.get("Type") or "tcp"),
        )
        for entry in container.get("Ports") or ()
    }
    return tuple(sorted(found, key=lambda port: (port.private, port.protocol, ":" in port.ip, port)))


def ports_text(ports: Sequence[Port]) -> str:
    """Return ``0.0.0.0:8080->8000/tcp, 9000/tcp``; neighbours become a range."""
    runs: list[list[Port]] = []
    for port in sorted(ports, key=lambda port: (port.protocol, ":" in port.ip, port.ip, port.public, port.private)):
        if runs and _continues(runs[-1][-1], port):
            runs[-1].append(port)
        else:
            runs.append([port])
    runs.sort(key=lambda run: (run[0].private, run[0].protocol, ":" in run[0].ip))
    return ", ".join(_run_text(run) for run in runs)


def _continues(before: Port, after: Port) -> bool:
    return (
        (before.ip, before.protocol) == (after.ip, after.protocol)
        and after.private == before.private + 1
        and after.public == (before.public + 1 if before.public else 0)
    )


def _run_text(run: Sequence[Port]) -> str:
    first, last = run[0], run[-1]
    inside = _range(first.private, last.private)
    if not first.public:
        return f"{inside}/{first.protocol}"
    return f"{host_text(first.ip)}:{_range(first.public, last.public)}->{inside}/{first.protocol}"


def host_text(ip: str) -> str:
    """Return an address as it stands before a port."""
    return f"[{ip}]" if ":" in ip else ip or "0.0.0.0"


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def urls(ports: Sequence[Port]) -> tuple[str, ...]:
    """Return where each published TCP port is reached; an address that means "all" becomes the loopback's.

    A URL, unless the container's port is known for another protocol than HTTP.
    """
    found = []
    for port in ports:
        if port.public and port.protocol == "tcp":
            ip = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(port.ip, port.ip)
            scheme = "https://" if port.private in _HTTPS else "" if port.private in _NO_HTTP else "http://"
            found.append(f"{scheme}{host_text(ip)}:{port.public}")
    return tuple(dict.fromkeys(found))
