"""What the Engine API tells of services, networks, configs and secrets, as the planner knows them. Pure.

What is missing counts as the engine's default, so that what was sent and what is read back are equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, get_args

from stackctl import labels
from stackctl.engines.docker.observe import time_ns
from stackctl.engines.memory_services import service_key, used_contents
from stackctl.engines.observing import network_key
from stackctl.engines.swarm.labels import IMAGE, NAMESPACE, read, short_name
from stackctl.model.container import Attachment, BindMount, Dns, TmpfsMount, Ulimit, VolumeMount
from stackctl.model.deploy import (
    EndpointMode,
    LogDriver,
    Placement,
    Reservations,
    RestartCondition,
    RestartRule,
    ServiceMode,
    ServicePort,
    UpdatePolicy,
)
from stackctl.model.health import HealthCheckOverride
from stackctl.model.limits import Limits
from stackctl.model.network import NetworkSpec
from stackctl.model.observed import ObservedContent, ObservedNetwork, ObservedService
from stackctl.model.service import ContentKind, ServiceSpec, TaskContent, TaskMount
from stackctl.model.volume import VolumeSpec

Shape = Mapping[str, Any]
_SECRETS: Final = "/run/secrets/"
_MODES: Final[Mapping[str, ServiceMode]] = {
    "Replicated": "replicated",
    "Global": "global",
    "ReplicatedJob": "replicated-job",
    "GlobalJob": "global-job",
}
_UPDATE: Final = UpdatePolicy()
_RESTART: Final = RestartRule()


def observed_service(shape: Shape, networks: Mapping[str, str]) -> ObservedService:
    """Return a service as the API lists it; ``wanted`` is for who knows the machines. ``networks`` maps ids."""
    own, status = shape["Spec"], shape.get("ServiceStatus") or {}
    update, previous = shape.get("UpdateStatus") or {}, shape.get("PreviousSpec")
    marks = read(own.get("Labels"), **{labels.SERVICE: short_name(own["Name"], own.get("Labels"))})
    return ObservedService(
        id=shape["ID"],
        name=own["Name"],
        spec=service_spec(own, networks),
        key=service_key(dict(marks)),
        labels=marks,
        previous_contents=used_contents(service_spec(previous, networks)) if previous else (),
        update=update.get("State") or "",
        update_message=update.get("Message") or "",
        running=int(status.get("RunningTasks") or 0),
        completed=int(status.get("CompletedTasks") or 0),
        created_ns=time_ns(shape.get("CreatedAt") or ""),
    )


def service_spec(own: Shape, networks: Mapping[str, str]) -> ServiceSpec:
    """Return the specification of a service."""
    marks, task = own.get("Labels") or {}, own.get("TaskTemplate") or {}
    container, endpoint = task.get("ContainerSpec") or {}, own.get("EndpointSpec") or {}
    resources, placement = task.get("Resources") or {}, task.get("Placement") or {}
    image = container.get("Image") or ""
    mode = next((name for name in _MODES if name in (own.get("Mode") or {})), "Replicated")
    return ServiceSpec(
        name=own["Name"],
        image_ref=marks.get(IMAGE) or image.partition("@")[0],
        image=image,
        mode=_MODES[mode],
        replicas=_replicas(mode, own.get("Mode") or {}),
        labels=read(marks, **{labels.SERVICE: short_name(own["Name"], marks)}),
        networks=_networks(task.get("Networks") or own.get("Networks") or (), networks),
        endpoint_mode=_one_of(EndpointMode, endpoint.get("Mode"), "vip"),
        ports=_ports(endpoint.get("Ports") or ()),
        limits=_limits(resources.get("Limits") or {}),
        reservations=_reservations(resources.get("Reservations") or {}),
        restart=_restart(task.get("RestartPolicy") or {}),
        placement=Placement(
            constraints=tuple(placement.get("Constraints") or ()),
            spread=tuple(
                (entry.get("Spread") or {}).get("SpreadDescriptor") or ""
                for entry in placement.get("Preferences") or ()
            ),
            max_per_node=placement.get("MaxReplicas") or 0,
        ),
        update=_update(own.get("UpdateConfig") or {}),
        rollback=_update(own.get("RollbackConfig") or {}),
        log=_log(task.get("LogDriver") or {}),
        generation=task.get("ForceUpdate") or 0,
        **_container(container),
    )


def task_template(spec: ServiceSpec) -> ServiceSpec:
    """Return of a specification what tasks are made from: where this changes, they are replaced."""
    neutral = ServiceSpec(name="", image_ref="", image="")
    return replace(
        spec,
        name="",
        image_ref="",
        mode=neutral.mode,
        replicas=neutral.replicas,
        labels=(),
        endpoint_mode=neutral.endpoint_mode,
        ports=(),
        placement=neutral.placement,
        update=neutral.update,
        rollback=neutral.rollback,
    )


def template_of_task(shape: Shape, networks: Mapping[str, str]) -> ServiceSpec:
    """Return what a task was made from, to be compared with the ``task_template`` of its service."""
    return task_template(service_spec({"Name": "", "TaskTemplate": shape.get("Spec") or {}}, networks))


def observed_network(shape: Shape, users: tuple[str, ...]) -> ObservedNetwork:
    """Return a network; ``users`` are the services on it."""
    pools: Sequence[Shape] = (shape.get("IPAM") or {}).get("Config") or ({},)
    marks = read(shape.get("Labels"), **{labels.NETWORK: short_name(shape["Name"], shape.get("Labels"))})
    pool = pools[0]
    spec = NetworkSpec(
        name=shape["Name"],
        is_internal=bool(shape.get("Internal")),
        is_attachable=bool(shape.get("Attachable")),
        driver=shape.get("Driver") or "overlay",  # it is told only once addresses were given out
        subnet=pool.get("Subnet") or "",
        ip_range=pool.get("IPRange") or "",
        gateway=pool.get("Gateway") or "",
        enable_ipv6=bool(shape.get("EnableIPv6")),
        labels=marks,
    )
    return ObservedNetwork(
        id=shape["Id"],
        name=spec.name,
        key=network_key(dict(marks)),
        spec=spec,
        subnet=spec.subnet,
        gateway=spec.gateway,
        labels=marks,
        containers=users,
        created_ns=time_ns(shape.get("Created") or ""),
    )


def observed_content(kind: ContentKind, shape: Shape) -> ObservedContent:
    """Return a config or secret."""
    own = shape["Spec"]
    marks = read(own.get("Labels"), **{labels.CONTENT: short_name(own["Name"], own.get("Labels"))})
    return ObservedContent(kind=kind, name=own["Name"], id=shape["ID"], labels=marks)


def _container(shape: Shape) -> dict[str, Any]:
    dns = shape.get("DNSConfig") or {}
    grace = shape.get("StopGracePeriod")
    return {
        "entrypoint": tuple(shape.get("Command") or ()),
        "command": tuple(shape.get("Args") or ()),
        "env": tuple(sorted(shape.get("Env") or ())),
        "working_dir": shape.get("Dir") or "",
        "user": shape.get("User") or "",
        "group_add": tuple(shape.get("Groups") or ()),
        "hostname": shape.get("Hostname") or "",
        "container_labels": _pairs({k: v for k, v in (shape.get("Labels") or {}).items() if k != NAMESPACE}),
        "mounts": tuple(sorted((_mount(one) for one in shape.get("Mounts") or ()), key=lambda mount: mount.target)),
        "volumes": _volumes(shape.get("Mounts") or ()),
        "contents": _contents(shape),
        "dns": Dns(
            servers=tuple(dns.get("Nameservers") or ()),
            search=tuple(dns.get("Search") or ()),
            options=tuple(dns.get("Options") or ()),
        ),
        "extra_hosts": tuple(sorted(_host(text) for text in shape.get("Hosts") or ())),
        "ulimits": tuple(
            sorted(
                (Ulimit(name=one["Name"], soft=one["Soft"], hard=one["Hard"]) for one in shape.get("Ulimits") or ()),
                key=lambda ulimit: ulimit.name,
            )
        ),
        "sysctls": _pairs(shape.get("Sysctls")),
        "stop_signal": shape.get("StopSignal") or "",
        "stop_grace_s": 10.0 if grace is None else grace / 1e9,
        "health": _health(shape.get("Healthcheck")),
        "cap_add": _capabilities(shape.get("CapabilityAdd")),
        "cap_drop": _capabilities(shape.get("CapabilityDrop")),
        "read_only": bool(shape.get("ReadOnly")),
        "init": bool(shape.get("Init")),
        "tty": bool(shape.get("TTY")),
        "stdin_open": bool(shape.get("OpenStdin")),
    }


def _one_of(choices: Any, value: object, default: Any) -> Any:
    return value if value in get_args(choices) else default


def _pairs(shape: Shape | None) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((shape or {}).items()))


def _capabilities(names: Any) -> tuple[str, ...]:
    return tuple(sorted(name.removeprefix("CAP_") for name in names or ()))


def _host(text: str) -> tuple[str, str]:
    address, _, name = text.partition(" ")
    return name, address


def _replicas(mode: str, shape: Shape) -> int:
    own = shape.get(mode) or {}
    if mode == "Replicated":
        count = own.get("Replicas")
    elif mode == "ReplicatedJob":
        count = own.get("TotalCompletions")
    else:
        return 0
    return 1 if count is None else int(count)


def _networks(entries: Any, names: Mapping[str, str]) -> tuple[Attachment, ...]:
    found = (
        Attachment(network=names.get(one["Target"], one["Target"]), aliases=tuple(one.get("Aliases") or ()))
        for one in entries
    )
    return tuple(sorted(found, key=lambda at: at.network))


def _ports(entries: Any) -> tuple[ServicePort, ...]:
    found = (
        ServicePort(
            target=one.get("TargetPort") or 0,
            published=one.get("PublishedPort") or 0,
            protocol=one.get("Protocol") or "tcp",
            mode=one.get("PublishMode") or "ingress",
        )
        for one in entries
    )
    return tuple(sorted(found, key=lambda port: (port.published, port.target, port.protocol)))


def _limits(shape: Shape) -> Limits:
    return Limits(
        nano_cpus=shape.get("NanoCPUs") or 0, memory_bytes=shape.get("MemoryBytes") or 0, pids=shape.get("Pids") or 0
    )


def _reservations(shape: Shape) -> Reservations:
    resources = (one.get("DiscreteResourceSpec") for one in shape.get("GenericResources") or ())
    generic = [one for one in resources if one is not None]
    return Reservations(
        nano_cpus=shape.get("NanoCPUs") or 0,
        memory_bytes=shape.get("MemoryBytes") or 0,
        generic=tuple(sorted((one["Kind"], int(one["Value"])) for one in generic)),
    )


def _restart(shape: Shape) -> RestartRule:
    delay = shape.get("Delay")
    return RestartRule(
        condition=_one_of(RestartCondition, shape.get("Condition"), _RESTART.condition),
        delay_s=_RESTART.delay_s if delay is None else delay / 1e9,
        max_attempts=shape.get("MaxAttempts") or 0,
        window_s=(shape.get("Window") or 0) / 1e9,
    )


def _update(shape: Shape) -> UpdatePolicy:
    count, monitor = shape.get("Parallelism"), shape.get("Monitor")
    if not shape:
        return _UPDATE
    return UpdatePolicy(
        parallelism=_UPDATE.parallelism if count is None else count,
        delay_s=(shape.get("Delay") or 0) / 1e9,
        failure_action=shape.get("FailureAction") or _UPDATE.failure_action,
        monitor_s=monitor / 1e9 if monitor else _UPDATE.monitor_s,
        max_failure_ratio=float(shape.get("MaxFailureRatio") or 0),
        order=shape.get("Order") or _UPDATE.order,
    )


def _log(shape: Shape) -> LogDriver | None:
    name, options = shape.get("Name") or "", _pairs(shape.get("Options"))
    return LogDriver(name=name, options=options) if name or options else None


def _health(shape: Shape | None) -> HealthCheckOverride | None:
    if not shape:
        return None
    return HealthCheckOverride(
        test=tuple(shape.get("Test") or ()) or None,
        interval_s=_seconds(shape.get("Interval")),
        timeout_s=_seconds(shape.get("Timeout")),
        retries=shape.get("Retries") or None,
        start_period_s=_seconds(shape.get("StartPeriod")),
        start_interval_s=_seconds(shape.get("StartInterval")),
    )


def _seconds(count: int | None) -> float | None:
    return count / 1e9 if count else None


def _mount(shape: Shape) -> TaskMount:
    source, target, read_only = shape.get("Source") or "", shape["Target"], bool(shape.get("ReadOnly"))
    match shape.get("Type"):
        case "bind":
            propagation = (shape.get("BindOptions") or {}).get("Propagation") or ""
            return BindMount(source=source, target=target, read_only=read_only, propagation=propagation)
        case "tmpfs":
            options = shape.get("TmpfsOptions") or {}
            size, mode = options.get("SizeBytes") or 0, options.get("Mode") or None
            return TmpfsMount(target=target, size_bytes=size, mode=mode, read_only=read_only)
        case _:
            options = shape.get("VolumeOptions") or {}
            return VolumeMount(
                volume=source,
                target=target,
                read_only=read_only,
                nocopy=bool(options.get("NoCopy")),
                subpath=options.get("Subpath") or "",
            )


def _volumes(mounts: Any) -> tuple[VolumeSpec, ...]:
    found = {}
    for mount in mounts:
        options = mount.get("VolumeOptions") or {}
        driver = options.get("DriverConfig") or {}
        if mount.get("Source") and (driver or options.get("Labels")):
            found[mount["Source"]] = VolumeSpec(
                name=mount["Source"],
                driver=driver.get("Name") or "local",
                options=_pairs(driver.get("Options")),
                labels=read(options.get("Labels")),
            )
    return tuple(found[name] for name in sorted(found))


def _contents(shape: Shape) -> tuple[TaskContent, ...]:
    found = []
    kinds: tuple[tuple[ContentKind, str, str], ...] = (("secret", "Secrets", "Secret"), ("config", "Configs", "Config"))
    for kind, section, word in kinds:
        for one in shape.get(section) or ():
            file = one.get("File")
            if file is None:  # a config that only the engine itself reads
                continue
            base = _SECRETS if kind == "secret" else "/"
            target = file["Name"] if file["Name"].startswith("/") else base + file["Name"]
            found.append(
                TaskContent(
                    kind=kind,
                    name=one[f"{word}Name"],
                    target=target,
                    uid=int(file.get("UID") or 0),
                    gid=int(file.get("GID") or 0),
                    mode=file.get("Mode") or 0,
                )
            )
    return tuple(sorted(found, key=lambda use: (use.kind, use.target)))
