"""Ports: ``127.0.0.1:8080-8081:80-81/udp`` and its long form."""

from __future__ import annotations

import re
from typing import NamedTuple

from stackctl.model.path import Path
from stackctl.stackfile.node import Mapping, Mark, Node, Scalar, Sequence, mapping, text_of, with_entries
from stackctl.stackfile.problems import dotted
from stackctl.stackfile.transform import Context

_RANGE = re.compile(r"\+?(\d{1,5})(?:-\+?(\d{1,5}))?", re.ASCII)
_PROTOCOLS = ("tcp", "udp", "sctp")
_HINT = 'write "HOST:CONTAINER", such as "8080:80" or "127.0.0.1:8080:80/udp"'


class _Wrong(Exception):
    pass


class PortRange(NamedTuple):
    """Ports ``first`` to ``last``, both included."""

    first: int
    last: int

    @property
    def size(self) -> int:
        """How many ports these are."""
        return self.last - self.first + 1


def parse_range(text: str) -> PortRange | None:
    """Return the ports ``80`` or ``80-90`` stands for, or None."""
    match = _RANGE.fullmatch(text)
    if match is None:
        return None
    first, last = int(match[1]), int(match[2] or match[1])
    return PortRange(first, last) if first <= last <= 65535 else None


def ports(node: Node, context: Context, path: Path) -> Node:
    """Expand every item to its long form, several for a pair of ranges; doubles go."""
    if not isinstance(node, Sequence):
        return node
    found: list[Node] = []
    for at, item in enumerate(node.items):
        found += _entry(item, context, (*path, at))
    return Sequence(tuple(found), node.mark, node.tag)


def _entry(item: Node, context: Context, path: Path) -> list[Node]:
    if isinstance(item, Mapping):
        return [_long(item, context, path)]
    if not isinstance(item, Scalar) or isinstance(item.value, bool) or item.value is None:
        return [item]
    try:
        return _short(str(item.value), item.mark)
    except _Wrong as wrong:
        context.problems.error(
            "bad-port",
            "Invalid port",
            item.mark,
            detail=f"`{dotted(path)}`: {wrong}",
            hint=_HINT,
        )
        return []


def _long(item: Mapping, context: Context, path: Path) -> Node:
    entries = dict(item.entries)
    published = entries.get("published")
    if isinstance(published, Scalar) and isinstance(published.value, int):
        entries["published"] = Scalar(str(published.value), published.mark)
    elif isinstance(published, Scalar) and isinstance(published.value, float):
        _complain(context, (*path, "published"), published, "a whole number or text")
    published_text = text_of(entries.get("published"))
    if published_text == "":
        del entries["published"]
    target = entries.get("target")
    if isinstance(target, Scalar) and isinstance(target.value, int | float) and target.value < 0:
        _complain(context, (*path, "target"), target, "a port between 1 and 65535")
    host_ip = text_of(entries.get("host_ip"))
    if host_ip is not None and not _is_address(host_ip):
        _complain(context, (*path, "host_ip"), entries["host_ip"], "an IP address")
    if target is None:
        context.problems.error(
            "missing-key",
            "Required key is missing",
            item.mark,
            detail=f"`{dotted(path)}` needs the key `target`: the port inside the container.",
        )
    return with_entries(item, entries)


def _complain(context: Context, path: Path, node: Node, must_be: str) -> None:
    shown = node.value if isinstance(node, Scalar) else ""
    context.problems.error(
        "bad-port",
        "Invalid port",
        node.mark,
        detail=f"`{dotted(path)}` must be {must_be}, not `{shown}`.",
    )


def _short(text: str, mark: Mark) -> list[Node]:
    address, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    if protocol not in _PROTOCOLS:
        raise _Wrong(f"`{protocol}` is no protocol; it can be tcp, udp or sctp.")
    host_ip, host, container = _split(address)
    target = parse_range(container)
    if target is None or target.first == 0:
        raise _Wrong(f"`{container}` is no port or range between 1 and 65535.")
    if host_ip and not _is_address(host_ip):
        raise _Wrong(f"`{host_ip}` is no IP address.")
    if not host:
        return [_port(host_ip, "", number, protocol, mark) for number in _as_text(target)]
    published = parse_range(host)
    if published is None:
        raise _Wrong(f"`{host}` is no port or range.")
    if target.size == 1 and published.size > 1:
        return [_port(host_ip, host, target.first, protocol, mark)]
    if published.size != target.size:
        raise _Wrong(f"the ranges `{host}` and `{container}` differ in length.")
    offset = published.first - target.first
    return [_port(host_ip, str(number + offset), number, protocol, mark) for number in _as_text(target)]


def _as_text(ports: PortRange) -> list[int]:
    """Return the ports in the order of their digits, which is that of Compose."""
    return sorted(range(ports.first, ports.last + 1), key=str)


def _split(address: str) -> tuple[str, str, str]:
    """Split ``[ip:][host:]container``; an IPv6 address may stand in brackets or bare."""
    if not address:
        raise _Wrong("there is no container port.")
    rest, colon, container = address.rpartition(":")
    if not colon:
        return "", "", container
    if not container:
        raise _Wrong("there is no container port after the last `:`.")
    host_ip, colon, host = rest.rpartition(":")
    if not colon:
        return "", host, container
    return host_ip.removeprefix("[").removesuffix("]"), host, container


def _is_address(text: str) -> bool:
    import ipaddress  # 2 ms: only where a port is published on an address of its own

    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _port(host_ip: str, published: str, target: int, protocol: str, mark: Mark) -> Node:
    entries: dict[str, Node] = {"mode": Scalar("ingress", mark)}
    if host_ip:
        entries["host_ip"] = Scalar(host_ip, mark)
    entries["target"] = Scalar(target, mark)
    if published:
        entries["published"] = Scalar(published, mark)
    entries["protocol"] = Scalar(protocol, mark)
    return mapping(entries, mark)
