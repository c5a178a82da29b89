"""What a service's ``deploy:`` says to an engine of several machines."""

from __future__ import annotations

from typing import Literal, TypeVar

from stackctl.model.deploy import (
    Deploy,
    EndpointMode,
    FailureAction,
    LogDriver,
    Placement,
    Reservations,
    RestartCondition,
    RestartRule,
    ServiceMode,
    ServicePort,
    UpdateOrder,
    UpdatePolicy,
)
from stackctl.stackfile.canonical_ports import parse_range
from stackctl.stackfile.node import Json
from stackctl.stackfile.tree import as_dict, as_int, as_list, as_text, pairs, texts
from stackctl.stackfile.units import parse_bytes, parse_duration_ns

MODES: tuple[ServiceMode, ...] = ("replicated", "global", "replicated-job", "global-job")
FAILURE_ACTIONS: tuple[FailureAction, ...] = ("pause", "continue", "rollback")
ORDERS: tuple[UpdateOrder, ...] = ("stop-first", "start-first")
_PORT_MODES: tuple[Literal["ingress", "host"], ...] = ("ingress", "host")
_PROTOCOLS: tuple[Literal["tcp", "udp", "sctp"], ...] = ("tcp", "udp", "sctp")
ENDPOINT_MODES: tuple[EndpointMode, ...] = ("vip", "dnsrr")
_RESTARTS: dict[str, RestartCondition] = {
    "": "any",
    "any": "any",
    "always": "any",
    "unless-stopped": "any",
    "none": "none",
    "no": "none",
    "on-failure": "on-failure",
}
_Choice = TypeVar("_Choice", bound=str)


def deploy(entry: dict[str, Json]) -> Deploy:
    """Return what the service's ``entry`` says. A value that means nothing counts as not written: ``support`` tells."""
    found = as_dict(entry.get("deploy"))
    return Deploy(
        mode=_choice(found.get("mode"), MODES, "replicated"),
        endpoint_mode=_choice(found.get("endpoint_mode"), ENDPOINT_MODES, "vip"),
        labels=pairs(found.get("labels")),
        update=_update(as_dict(found.get("update_config"))),
        rollback=_update(as_dict(found.get("rollback_config"))),
        restart=_restart(as_text(entry.get("restart")), as_dict(found.get("restart_policy"))),
        placement=_placement(as_dict(found.get("placement"))),
        reservations=_reservations(as_dict(as_dict(found.get("resources")).get("reservations"))),
        ports=tuple(_port(as_dict(item)) for item in as_list(entry.get("ports"))),
        log=_log(as_dict(entry.get("logging"))),
    )


def _update(written: dict[str, Json]) -> UpdatePolicy | None:
    if not written:
        return None
    ratio = written.get("max_failure_ratio")
    default = UpdatePolicy()
    return UpdatePolicy(
        parallelism=max(0, as_int(written.get("parallelism"), 1)),
        delay_s=_seconds(written.get("delay"), 0.0),
        failure_action=_choice(written.get("failure_action"), FAILURE_ACTIONS, "pause"),
        monitor_s=_seconds(written.get("monitor"), 0.0) or default.monitor_s,
        max_failure_ratio=float(ratio) if isinstance(ratio, int | float) else 0.0,
        order=_choice(written.get("order"), ORDERS, "stop-first"),
    )


def _choice(value: Json, choices: tuple[_Choice, ...], default: _Choice) -> _Choice:
    return next((choice for choice in choices if choice == value), default)


def _restart(written: str, policy: dict[str, Json]) -> RestartRule | None:
    if policy:
        default = RestartRule()
        return RestartRule(
            condition=_RESTARTS.get(as_text(policy.get("condition")), "any"),
            delay_s=_seconds(policy.get("delay"), default.delay_s),
            max_attempts=max(0, as_int(policy.get("max_attempts"))),
            window_s=_seconds(policy.get("window"), 0.0),
        )
    name, _, count = written.partition(":")
    if not name:
        return None
    attempts = int(count) if count.isascii() and count.isdecimal() and len(count) < 10 else 0
    return RestartRule(condition=_RESTARTS.get(name, "any"), max_attempts=attempts)


def _port(port: dict[str, Json]) -> ServicePort:
    """Of a range the first port is taken."""
    host = parse_range(as_text(port.get("published")))
    return ServicePort(
        target=as_int(port.get("target")),
        published=host.first if host is not None else 0,
        protocol=_choice(as_text(port.get("protocol")).lower(), _PROTOCOLS, "tcp"),
        mode=_choice(port.get("mode"), _PORT_MODES, "ingress"),
    )


def _placement(entry: dict[str, Json]) -> Placement:
    spread = (as_text(as_dict(item).get("spread")) for item in as_list(entry.get("preferences")))
    return Placement(
        constraints=texts(entry.get("constraints")),
        spread=tuple(text for text in spread if text),
        max_per_node=max(0, as_int(entry.get("max_replicas_per_node"))),
    )


def _reservations(entry: dict[str, Json]) -> Reservations:
    cpus = entry.get("cpus")
    generic = []
    for item in as_list(entry.get("generic_resources")):
        discrete = as_dict(as_dict(item).get("discrete_resource_spec"))
        if discrete:
            generic.append((as_text(discrete.get("kind")), as_int(discrete.get("value"))))
    return Reservations(
        nano_cpus=max(0, round(cpus * 1e9)) if isinstance(cpus, int | float) else 0,
        memory_bytes=max(0, parse_bytes(as_text(entry.get("memory"))) or 0),
        generic=tuple(sorted(generic)),
    )


def _log(entry: dict[str, Json]) -> LogDriver | None:
    driver, options = as_text(entry.get("driver")), pairs(entry.get("options"))
    return LogDriver(name=driver, options=tuple(sorted(options))) if driver or options else None


def _seconds(value: Json, default: float) -> float:
    nanoseconds = parse_duration_ns(value) if isinstance(value, str) else None
    return default if nanoseconds is None or nanoseconds < 0 else nanoseconds / 1e9
