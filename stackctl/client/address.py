"""Where an engine that is not ours is, as ``--engine`` says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from stackctl.client.connection import Dialer
from stackctl.errors import UsageError

Kind = Literal["docker", "swarm"]
DOCKER_SOCKET: Final = "unix:///var/run/docker.sock"
_KINDS: Final[tuple[Kind, ...]] = ("docker", "swarm")
_PLAIN_PORT: Final = 2375
_TLS_PORT: Final = 2376
_HINT: Final = "use unix:///PATH, tcp://HOST:PORT or ssh://[USER@]HOST, or docker for Docker on this machine"


class EngineAddress(NamedTuple):
    """How to reach an engine, and as what to use it. ``is_exposed``: anybody on the way can read and change all."""

    kind: Kind
    dialer: Dialer
    is_exposed: bool = False


def parse_engine(text: str, environment: Mapping[str, str]) -> EngineAddress:
    """Return what ``--engine TEXT`` means.

    ``docker`` alone is what DOCKER_HOST says, else this machine's. ``swarm`` or ``swarm+URL`` asks for services of a
    Swarm, whose manager is there; without it a manager is used as the single machine it is. Raises UsageError.
    """
    kind, url = _split_kind(text)
    url = url or environment.get("DOCKER_HOST") or DOCKER_SOCKET
    scheme, separator, rest = url.partition("://")
    if not separator or not rest:
        raise UsageError(f"this is no address of an engine: {text}", code="engine-address", hint=_HINT)
    if scheme == "unix":
        return EngineAddress(kind, _unix(rest))
    if scheme == "tcp":
        return _tcp(kind, rest, environment)
    if scheme == "ssh":
        return EngineAddress(kind, _ssh(rest, text))
    raise UsageError(f"engines cannot be reached by {scheme}: {text}", code="engine-address", hint=_HINT)


def _split_kind(text: str) -> tuple[Kind, str]:
    for kind in _KINDS:
        if text == kind:
            return kind, ""
        if text.startswith(f"{kind}+"):
            return kind, text.removeprefix(f"{kind}+")
    return "docker", text


def _unix(path: str) -> Dialer:
    from stackctl.client.dialers import UnixDialer  # only for engines that are not ours

    return UnixDialer(path)


def _tcp(kind: Kind, rest: str, environment: Mapping[str, str]) -> EngineAddress:
    from stackctl.client.dialers import TcpDialer, TlsDialer, TlsFiles  # as above

    has_tls = bool(environment.get("DOCKER_TLS_VERIFY") or environment.get("DOCKER_CERT_PATH"))
    host, port = _host_port(rest, default=_TLS_PORT if has_tls else _PLAIN_PORT)
    if has_tls:
        folder = environment.get("DOCKER_CERT_PATH") or f"{environment.get('HOME', '')}/.docker"
        files = TlsFiles(f"{folder}/ca.pem", f"{folder}/cert.pem", f"{folder}/key.pem")
        return EngineAddress(kind, TlsDialer(host, port, files))
    return EngineAddress(kind, TcpDialer(host, port), is_exposed=not _is_this_machine(host))


def _ssh(rest: str, text: str) -> Dialer:
    from stackctl.client.dialers import SshDialer  # as above

    user, at, place = rest.rpartition("@")
    host, port = _host_port(place.rstrip("/"), default=0)
    # ssh would take it for an option.
    if host.startswith("-") or user.startswith("-") or (at and not user) or "/" in host:
        raise UsageError(f"this is no address of an engine: {text}", code="engine-address", hint=_HINT)
    return SshDialer(user, host, port)


def _host_port(text: str, *, default: int) -> tuple[str, int]:
    text = text.rstrip("/")
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, ""
    if not host or (port and not (port.isdecimal() and 0 < int(port) < 65536)):
        raise UsageError(f"this is no host and port: {text}", code="engine-address", hint=_HINT)
    return host.removeprefix("[").removesuffix("]"), int(port) if port else default


def _is_this_machine(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
