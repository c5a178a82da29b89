"""What Compose lets pass when it reads a stack, and what cannot run all the same."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from stackctl.model.path import Path
from stackctl.stackfile.canonical_ports import parse_range
from stackctl.stackfile.node import Json
from stackctl.stackfile.problems import Problems, dotted
from stackctl.stackfile.schema import Places
from stackctl.stackfile.tree import as_dict, as_int, as_list, as_text, said, texts


def check_running(tree: dict[str, Json], places: Places, problems: Problems) -> None:
    """Report what would only fail once containers are made; total over any tree."""
    services = as_dict(tree.get("services"))
    for name, entry in services.items():
        service = as_dict(entry)
        path: Path = ("services", name)
        _healthy(services, service, path, places, problems)
        _values(service, path, places, problems)
        _addresses(service, path, places, problems)
        for where in _nuls(service, path):
            _complain(where, "holds a NUL character, which no program can be given", places, problems)
    for kind in ("networks", "volumes"):
        for key, resource in as_dict(tree.get(kind)).items():
            if not as_text(as_dict(resource).get("name")):
                _complain((kind, key, "name"), "must not be empty", places, problems)


def _values(service: dict[str, Json], path: Path, places: Places, problems: Problems) -> None:
    for at, text in enumerate(said(service.get("expose"))):
        if not _is_exposable(text):
            why = f"must be a port or range, such as `80` or `80-90/udp`, not `{text}`"
            _complain((*path, "expose", at), why, places, problems)
    if "" in as_dict(service.get("environment")):
        _complain((*path, "environment"), "has a variable without a name", places, problems)
    _ports(service, path, places, problems)
    for at, item in enumerate(as_list(service.get("volumes"))):
        if not as_text(as_dict(item).get("target")):
            why = "needs the key `target`: the path inside the container"
            _complain((*path, "volumes", at), why, places, problems)


def _ports(service: dict[str, Json], path: Path, places: Places, problems: Problems) -> None:
    for at, item in enumerate(as_list(service.get("ports"))):
        port = as_dict(item)
        published, protocol = as_text(port.get("published")), as_text(port.get("protocol")).lower()
        if published and parse_range(published) is None:
            why = f"must be a port or a range of ports, not `{published}`"
            _complain((*path, "ports", at, "published"), why, places, problems)
        if not 1 <= as_int(port.get("target")) <= 65535:
            why = f"must be a port between 1 and 65535, not `{port.get('target', 0)}`"
            _complain((*path, "ports", at, "target"), why, places, problems)
        if protocol not in ("", "tcp", "udp", "sctp"):
            why = f"must be tcp, udp or sctp, not `{protocol}`"
            _complain((*path, "ports", at, "protocol"), why, places, problems)


def _nuls(value: Json, path: Path) -> Iterator[Path]:
    if isinstance(value, str):
        if "\0" in value:
            yield path
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _nuls(item, (*path, at))
    elif isinstance(value, dict):
        for key, entry in value.items():
            if not key.startswith("x-"):
                yield from _nuls(entry, (*path, key))


def _addresses(service: dict[str, Json], path: Path, places: Places, problems: Problems) -> None:
    for network, attachment in as_dict(service.get("networks")).items():
        for key in ("ipv4_address", "ipv6_address"):
            text = as_text(as_dict(attachment).get(key))
            if text and not _is_address(text):
                why = f"must be an IP address, not `{text}`"
                _complain((*path, "networks", network, key), why, places, problems)


def _healthy(
    services: dict[str, Json], service: dict[str, Json], path: Path, places: Places, problems: Problems
) -> None:
    for dependency, entry in as_dict(service.get("depends_on")).items():
        healthcheck = as_dict(as_dict(services.get(dependency)).get("healthcheck"))
        is_off = healthcheck.get("disable") is True or texts(healthcheck.get("test"))[:1] == ("NONE",)
        if is_off and as_dict(entry).get("condition") == "service_healthy":
            problems.error(
                "no-healthcheck",
                "Dependency can never be healthy",
                places.of_value((*path, "depends_on", dependency, "condition")),
                places.of_key(("services", dependency, "healthcheck")),
                detail=f"`{path[1]}` waits until `{dependency}` is healthy, but its health check is switched off.",
                hint="wait for `service_started`, or give it a health check",
            )


def _complain(path: Path, why: str, places: Places, problems: Problems) -> None:
    problems.error("bad-value", "Value not allowed", places.of_value(path), detail=f"`{dotted(path)}` {why}.")


def _is_exposable(text: str) -> bool:
    port, slash, protocol = text.partition("/")
    first, _, last = port.partition("-")
    is_port = first.isdecimal() and (last.isdecimal() or "-" not in port)
    return is_port and (not slash or protocol.lower() in ("tcp", "udp", "sctp"))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
