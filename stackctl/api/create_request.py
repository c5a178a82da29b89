"""From Docker's request to create a container to our specification. Pure. Source: Docker Engine API 1.51."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from stackctl.api import create_host
from stackctl.api.connection import BadRequest
from stackctl.api.create_mounts import mounts_of
from stackctl.api.create_network import networking_of, ports_of
from stackctl.api.fields import Fields
from stackctl.model.container import BindMount, ContainerSpec, Mount, VolumeMount
from stackctl.model.health import HealthCheck
from stackctl.model.image import ImageConfig, ResolvedImage
from stackctl.model.volume import VolumeSpec

_NS: Final = 1_000_000_000
_LEAST_NS: Final = 1_000_000
_STOP_GRACE_S: Final = 10.0
_MOST_HOSTNAME: Final = 64


@dataclass(frozen=True, slots=True)
class World:
    """What a request may refer to: networks and containers by name, id or the beginning of one, and new names."""

    network_name: Callable[[str], str]
    new_volume: Callable[[], str]
    mounts_of: Callable[[str], tuple[Mount, ...]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A container, the volumes that must be there first, and what its asker should know."""

    spec: ContainerSpec
    volumes: tuple[VolumeSpec, ...] = ()
    warnings: tuple[str, ...] = ()


def wanted_of(body: Fields, name: str, image: ResolvedImage, world: World) -> Wanted:
    """Return what the request asks for. Raises BadRequest, also for what is not supported here."""
    host = body.within("HostConfig")
    create_host.refuse_unsupported(host)
    config = image.config
    entrypoint, command = _words(body, config)
    if not entrypoint and not command:
        raise BadRequest("no command specified")
    inherited = _inherited(host.texts("VolumesFrom"), world)
    mounts, volumes = mounts_of(body, host, config, world.new_volume, inherited=inherited)
    hostname = body.text("Hostname")
    if len(hostname) > _MOST_HOSTNAME:
        raise BadRequest(f"invalid hostname: {hostname}")
    exposed = tuple(sorted({*config.ports, *body.mapping("ExposedPorts")}))
    spec = ContainerSpec(
        name=name,
        image_ref=body.text("Image"),
        image_id=image.id,
        argv=(*entrypoint, *command),
        entrypoint_length=len(entrypoint),
        env=_env(config.env, body.texts("Env")),
        working_dir=body.text("WorkingDir") or config.working_dir,
        user=body.text("User") or config.user,
        hostname=hostname,
        domainname=body.text("Domainname"),
        mounts=mounts,
        ports=ports_of(host, exposed),
        exposed_ports=exposed,
        networking=networking_of(body, host, world.network_name),
        stop_signal=body.text("StopSignal") or config.stop_signal or "SIGTERM",
        stop_grace_s=_grace(body),
        health=_health(body.within("Healthcheck"), config.health),
        labels=tuple(sorted({**dict(config.labels), **body.pairs("Labels")}.items())),
        tty=body.flag("Tty"),
        stdin_open=body.flag("OpenStdin"),
        stdin_once=body.flag("StdinOnce"),
    )
    return Wanted(replace(spec, **create_host.host_fields(host)), volumes)


def _inherited(names: tuple[str, ...], world: World) -> tuple[Mount, ...]:
    found: dict[str, Mount] = {}
    for text in names:
        name, _, mode = text.partition(":")
        for mount in world.mounts_of(name):
            if isinstance(mount, BindMount | VolumeMount):
                found.setdefault(mount.target, replace(mount, read_only=mount.read_only or mode == "ro"))
    return tuple(found.values())


def _words(body: Fields, config: ImageConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return entrypoint and command: an entrypoint of the request's own drops the image's command as well."""
    entrypoint, command = body.optional_texts("Entrypoint"), body.texts("Cmd")
    if not entrypoint:
        command = command or config.cmd
        entrypoint = config.entrypoint if entrypoint is None else ()
    return (() if entrypoint == ("",) else entrypoint), command


def _env(base: tuple[str, ...], given: tuple[str, ...]) -> tuple[str, ...]:
    merged = {entry.partition("=")[0]: entry for entry in base}
    for entry in given:
        key, equals, _ = entry.partition("=")
        if not key:
            raise BadRequest(f"invalid environment variable: {entry}")
        merged.pop(key, None)
        if equals:
            merged[key] = entry
    return tuple(merged.values())


def _grace(body: Fields) -> float:
    seconds = body.optional_number("StopTimeout")
    if seconds is None:
        return _STOP_GRACE_S
    return float(seconds) if seconds >= 0 else 10.0**9


def _health(given: Fields, image: HealthCheck | None) -> HealthCheck | None:
    test = given.texts("Test")
    base = image or HealthCheck(test=())
    if test:
        if test[0] not in ("NONE", "CMD", "CMD-SHELL"):
            raise BadRequest(f"unknown healthcheck type {test[0]!r}: NONE, CMD or CMD-SHELL")
        base = replace(base, test=test)
    retries = given.number("Retries")
    if retries < 0:
        raise BadRequest("the retries of a healthcheck cannot be negative")
    check = replace(
        base,
        interval_s=_seconds(given, "Interval") or base.interval_s,
        timeout_s=_seconds(given, "Timeout") or base.timeout_s,
        retries=retries or base.retries,
        start_period_s=_seconds(given, "StartPeriod") or base.start_period_s,
        start_interval_s=_seconds(given, "StartInterval") or base.start_interval_s,
    )
    return check if check.test and check.test[0] != "NONE" else None


def _seconds(given: Fields, name: str) -> float:
    found = given.number(name)
    if found and found < _LEAST_NS:
        raise BadRequest(f"{name} of a healthcheck cannot be less than 1ms")
    return found / _NS
