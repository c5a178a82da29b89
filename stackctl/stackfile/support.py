"""Saying which keys and values in use an engine does not honour. Never silence."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

from stackctl.diagnostics import Diagnostic
from stackctl.model.network import BRIDGE_OPTIONS
from stackctl.model.path import Path
from stackctl.stackfile.decode_deploy import FAILURE_ACTIONS, ORDERS
from stackctl.stackfile.document import Document, DocumentPlaces
from stackctl.stackfile.node import Json
from stackctl.stackfile.problems import Problems, dotted
from stackctl.stackfile.schema import Places
from stackctl.stackfile.support_swarm import SWARM_RULES
from stackctl.stackfile.support_table import Table, Verdict, minor, no
from stackctl.stackfile.support_tables import FREE_VALUES, TABLES, EngineKind
from stackctl.stackfile.transform import is_remote
from stackctl.stackfile.tree import as_dict, as_list, as_text, texts

_LOG_DRIVERS = ("", "json-file", "local")
_LOG_OPTIONS = ("max-size", "max-file")
_SECURITY = re.compile(
    r"no-new-privileges(?:[:=](?:true|false))?|(?:apparmor|systempaths)[:=]unconfined|seccomp[:=].+"
    r"|label[:=]disable"
)
_SECURITY_OPTIONS = "no-new-privileges, seccomp, systempaths, apparmor and label"
_LABELLING = re.compile(r"(?:label|apparmor)[:=]")
_OF_OTHERS = ("service:NAME", "container:NAME")
_RUNTIMES = ("runc", "io.containerd.runc.v2")


class _Finding(NamedTuple):
    path: Path
    verdict: Verdict
    is_value: bool = False


_Rule: TypeAlias = Callable[[Json, Path], Iterator[_Finding]]


def check(document: Document, engine: EngineKind = "built-in") -> tuple[Diagnostic, ...]:
    """Return a diagnostic for everything in use that an engine of the kind does not honour; total over any tree.

    An error where ignoring it would change what runs, a warning where it would not.
    """
    problems = Problems()
    places: Places = DocumentPlaces(document.positions)
    for finding in _walk(document.tree, TABLES[engine], ()):
        _report(finding, places, problems)
    for path, value in _values(document.tree):
        for finding in _findings(path, value, engine):
            _report(finding, places, problems)
    return problems.all()


def _findings(path: Path, value: Json, engine: EngineKind) -> Iterator[_Finding]:
    key = (str(path[0]), str(path[2]))
    if engine == "swarm" and key in SWARM_RULES:
        own = SWARM_RULES[key]
        for where, verdict in own(value, path) if own is not None else ():
            yield _Finding(where, verdict, is_value=True)
        return
    rule = None if key in FREE_VALUES.get(engine, ()) else _RULES.get((key[0], "*", key[1]))
    yield from rule(value, path) if rule is not None else ()


def _walk(value: Json, table: Table, path: Path) -> Iterator[_Finding]:
    if isinstance(value, list):
        below = table.get("*")
        for at, item in enumerate(value):
            if isinstance(below, dict):
                yield from _walk(item, below, (*path, at))
        return
    for key, entry in as_dict(value).items():
        verdict = table.get(key, table.get("*"))
        if isinstance(verdict, dict):
            yield from _walk(entry, verdict, (*path, key))
        elif isinstance(verdict, Verdict) and verdict.severity is not None and not _is_off(entry):
            yield _Finding((*path, key), verdict)


def _is_off(value: Json) -> bool:
    """A switch that is off and an empty collection ask for nothing."""
    return value is None or value is False or value == [] or value == {}


def _report(finding: _Finding, places: Places, problems: Problems) -> None:
    path, verdict = finding.path, finding.verdict
    mark = places.of_value(path) if finding.is_value else places.of_key(path)
    add = problems.error if verdict.severity == "error" else problems.warning
    what = "has no effect" if verdict.severity == "warning" else "is not supported"
    if finding.is_value:
        what = "has a value without effect" if verdict.severity == "warning" else "has an unsupported value"
    add(
        "unsupported-key",
        "Not supported",
        mark,
        detail=f"`{dotted(path)}` {what}: {verdict.reason}.",
        hint=verdict.hint,
    )


def _values(tree: dict[str, Json]) -> Iterator[tuple[Path, Json]]:
    """Yield what the value rules look at."""
    for section in ("services", "networks", "volumes"):
        for name, entry in as_dict(tree.get(section)).items():
            for key, value in as_dict(entry).items():
                yield (section, name, key), value


def _namespace(text: str, allowed: tuple[str, ...], path: Path) -> Iterator[_Finding]:
    kinds = tuple(name.removesuffix("NAME") for name in allowed if name.endswith(":NAME"))
    if text and text not in allowed and not (kinds and text.startswith(kinds)):
        shown = ", ".join(f"`{name}`" for name in allowed)
        yield _Finding(path, no(f"only {shown} can be chosen, not `{text}`"), is_value=True)


def _ipc(value: Json, path: Path) -> Iterator[_Finding]:
    yield from _namespace(as_text(value), ("private", "shareable", "host", *_OF_OTHERS), path)


def _pid(value: Json, path: Path) -> Iterator[_Finding]:
    yield from _namespace(as_text(value), ("host", *_OF_OTHERS), path)


def _uts(value: Json, path: Path) -> Iterator[_Finding]:
    yield from _namespace(as_text(value), ("host",), path)


def _runtime(value: Json, path: Path) -> Iterator[_Finding]:
    name = as_text(value)
    if name in _RUNTIMES:
        yield _Finding(path, minor("containers are run by the built-in runtime, which does the same"), is_value=True)
    elif name not in ("", "stackctl"):
        yield _Finding(path, no(f"containers are run by the built-in runtime, not by `{name}`"), is_value=True)


def _isolation(value: Json, path: Path) -> Iterator[_Finding]:
    if as_text(value) not in ("", "default"):
        yield _Finding(path, minor("it only means something on Windows"), is_value=True)


def _network_mode(value: Json, path: Path) -> Iterator[_Finding]:
    yield from _namespace(as_text(value), ("host", "none", "bridge", *_OF_OTHERS), path)


def _userns_mode(value: Json, path: Path) -> Iterator[_Finding]:
    yield from _namespace(as_text(value), ("host",), path)


def _dns(value: Json, path: Path) -> Iterator[_Finding]:
    for at, text in enumerate(texts(value)):
        if not _is_address(text):
            verdict = no("a name server has an IP address", "write the server's address")
            yield _Finding((*path, at), verdict, is_value=True)


def _extra_hosts(value: Json, path: Path) -> Iterator[_Finding]:
    for at, text in enumerate(texts(value)):
        address = text.partition("=")[2]
        if address != "host-gateway" and not _is_address(address):
            verdict = no("a host has an IP address, or `host-gateway`", "write `NAME=ADDRESS`")
            yield _Finding((*path, at), verdict, is_value=True)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _logging(value: Json, path: Path) -> Iterator[_Finding]:
    logging = as_dict(value)
    driver = as_text(logging.get("driver"))
    if driver not in _LOG_DRIVERS:
        reason = f"logs are kept by the engine itself, not by `{driver}`"
        yield _Finding((*path, "driver"), minor(reason, "use `stackctl logs`"), is_value=True)
        return
    for key in as_dict(logging.get("options")):
        if key not in _LOG_OPTIONS:
            yield _Finding((*path, "options", key), minor("only max-size and max-file are read"))


def _security_opt(value: Json, path: Path) -> Iterator[_Finding]:
    for at, text in enumerate(texts(value)):
        if _SECURITY.fullmatch(text):
            continue
        if _LABELLING.match(text):
            verdict = minor("labels of SELinux and profiles of AppArmor are not set")
        else:
            verdict = no("there is no such security option", f"there are {_SECURITY_OPTIONS}")
        yield _Finding((*path, at), verdict, is_value=True)


def _ports(value: Json, path: Path) -> Iterator[_Finding]:
    for at, item in enumerate(as_list(value)):
        port = as_dict(item)
        if as_text(port.get("protocol")).lower() not in ("", "tcp", "udp"):
            yield _Finding((*path, at, "protocol"), no("only tcp and udp are published"), is_value=True)
        if as_text(port.get("mode")) == "host":
            verdict = minor("on one machine it is the same as `ingress`")
            yield _Finding((*path, at, "mode"), verdict, is_value=True)


def _volumes(value: Json, path: Path) -> Iterator[_Finding]:
    for at, item in enumerate(as_list(value)):
        kind = as_text(as_dict(item).get("type"))
        if kind not in ("bind", "volume", "tmpfs", ""):
            yield _Finding((*path, at, "type"), no(f"`{kind}` mounts are not made"), is_value=True)


def _volumes_from(value: Json, path: Path) -> Iterator[_Finding]:
    for at, text in enumerate(texts(value)):
        if text.startswith("container:"):
            verdict = no("only services of this stack are asked for their volumes", "list the volumes themselves")
            yield _Finding((*path, at), verdict, is_value=True)


def _deploy(value: Json, path: Path) -> Iterator[_Finding]:
    mode = as_text(as_dict(value).get("mode"))
    if mode not in ("", "replicated"):
        reason = f"on one machine `{mode}` means nothing; `replicas` counts"
        yield _Finding((*path, "mode"), minor(reason), is_value=True)
    update = as_dict(as_dict(value).get("update_config"))
    for key, choices in (("failure_action", FAILURE_ACTIONS), ("order", ORDERS)):
        written = as_text(update.get(key))
        if written and written not in choices:
            reason = f"it must be {' or '.join(f'`{choice}`' for choice in choices)}"
            yield _Finding((*path, "update_config", key), no(reason, "correct it, or leave it out"), is_value=True)


def _build(value: Json, path: Path) -> Iterator[_Finding]:
    build = as_dict(value)
    context = as_text(build.get("context"))
    if is_remote(context):
        yield _Finding(
            (*path, "context"), no("only folders of this machine are built", "fetch it first"), is_value=True
        )
    network = as_text(build.get("network"))
    if network not in ("", "default", "none", "host"):
        verdict = no("commands of a build run with `default`, `none` or `host`")
        yield _Finding((*path, "network"), verdict, is_value=True)
    if len(texts(build.get("platforms"))) > 1:
        yield _Finding((*path, "platforms"), no("images are built for one platform, this machine's"), is_value=True)


def _driver(allowed: tuple[str, ...], reason: str) -> _Rule:
    def rule(value: Json, path: Path) -> Iterator[_Finding]:
        if as_text(value) not in ("", *allowed):
            yield _Finding(path, no(f"{reason}, not `{as_text(value)}`"), is_value=True)

    return rule


def _network_options(value: Json, path: Path) -> Iterator[_Finding]:
    for key in as_dict(value):
        if key not in BRIDGE_OPTIONS:
            yield _Finding((*path, key), minor("the bridge has no such option"))


def _ipv6(value: Json, path: Path) -> Iterator[_Finding]:
    if value is True:
        yield _Finding(path, minor("networks are IPv4 only so far"), is_value=True)


def _ipv4(value: Json, path: Path) -> Iterator[_Finding]:
    if value is False:
        yield _Finding(path, no("a network always has IPv4 addresses"), is_value=True)


def _ipam(value: Json, path: Path) -> Iterator[_Finding]:
    driver = as_text(as_dict(value).get("driver"))
    if driver not in ("", "default"):
        verdict = no(f"addresses are given out by the engine, not by `{driver}`")
        yield _Finding((*path, "driver"), verdict, is_value=True)
    pools = as_list(as_dict(value).get("config"))
    for at in range(1, len(pools)):
        reason = "a network has one subnet; the first one is used"
        yield _Finding((*path, "config", at), minor(reason), is_value=True)
    for at, pool in enumerate(pools[:1]):
        if ":" in as_text(as_dict(pool).get("subnet")):
            verdict = no("networks are IPv4 only so far")
            yield _Finding((*path, "config", at, "subnet"), verdict, is_value=True)


_RULES: dict[Path, _Rule] = {
    ("services", "*", "build"): _build,
    ("services", "*", "deploy"): _deploy,
    ("services", "*", "dns"): _dns,
    ("services", "*", "extra_hosts"): _extra_hosts,
    ("services", "*", "ipc"): _ipc,
    ("services", "*", "isolation"): _isolation,
    ("services", "*", "logging"): _logging,
    ("services", "*", "network_mode"): _network_mode,
    ("services", "*", "pid"): _pid,
    ("services", "*", "ports"): _ports,
    ("services", "*", "runtime"): _runtime,
    ("services", "*", "security_opt"): _security_opt,
    ("services", "*", "userns_mode"): _userns_mode,
    ("services", "*", "uts"): _uts,
    ("services", "*", "volumes"): _volumes,
    ("services", "*", "volumes_from"): _volumes_from,
    ("networks", "*", "driver"): _driver(("bridge", "default"), "networks are always bridges"),
    ("networks", "*", "driver_opts"): _network_options,
    ("networks", "*", "enable_ipv4"): _ipv4,
    ("networks", "*", "enable_ipv6"): _ipv6,
    ("networks", "*", "ipam"): _ipam,
    ("volumes", "*", "driver"): _driver(("local",), "volumes are always kept by the engine itself"),
}
