"""Published ports as Docker's tools write them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


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
    """Return a URL for each published TCP port; an address that means "all" becomes the loopback's."""
    found = []
    for port in ports:
        if port.public and port.protocol == "tcp":
            ip = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(port.ip, port.ip)
            found.append(f"http://{host_text(ip)}:{port.public}")
    return tuple(dict.fromkeys(found))
