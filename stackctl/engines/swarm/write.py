"""A service, network, config or secret as the Engine API takes it. Pure.

Every value is written out, also where it is the engine's default: an update that leaves something out resets it.
Source: Engine API 1.41 to 1.51, and for what is sent as what docker/cli, cli/compose/convert.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

from stackctl import labels
from stackctl.engines.swarm.labels import FINGERPRINT, IMAGE, NAMESPACE, written
from stackctl.model.container import BindMount, TmpfsMount, VolumeMount
from stackctl.model.deploy import Reservations, UpdatePolicy
from stackctl.model.health import HealthCheckOverride
from stackctl.model.network import NetworkSpec
from stackctl.model.service import ContentSpec, ServiceSpec, TaskContent, TaskMount
from stackctl.model.volume import VolumeSpec

Body = dict[str, Any]
_SECRETS: Final = "/run/secrets/"


def ns(seconds: float) -> int:
    """Return seconds as the API counts time."""
    return round(seconds * 1e9)


def service_body(spec: ServiceSpec, content_ids: Mapping[tuple[str, str], str]) -> Body:
    """Return a whole service; ``content_ids`` maps (kind, real name) to the ids of configs and secrets."""
    body: Body = {
        "Name": spec.name,
        "Labels": written(spec.labels, **{IMAGE: spec.image_ref}),
        "TaskTemplate": {
            "ContainerSpec": _container(spec, content_ids),
            "Resources": {"Limits": _limits(spec), "Reservations": _reservations(spec.reservations)},
            "RestartPolicy": {
                "Condition": spec.restart.condition,
                "Delay": ns(spec.restart.delay_s),
                "MaxAttempts": spec.restart.max_attempts,
                "Window": ns(spec.restart.window_s),
            },
            "Placement": {
                "Constraints": list(spec.placement.constraints),
                "Preferences": [{"Spread": {"SpreadDescriptor": text}} for text in spec.placement.spread],
                "MaxReplicas": spec.placement.max_per_node,
            },
            "Networks": [{"Target": at.network, "Aliases": list(at.aliases)} for at in spec.networks],
            "ForceUpdate": spec.generation,
        },
        "Mode": _mode(spec),
        "EndpointSpec": {
            "Mode": spec.endpoint_mode,
            "Ports": [
                {
                    "Protocol": port.protocol,
                    "TargetPort": port.target,
                    "PublishedPort": port.published,
                    "PublishMode": port.mode,
                }
                for port in spec.ports
            ],
        },
    }
    if not spec.is_job:
        body |= {"UpdateConfig": _update(spec.update), "RollbackConfig": _update(spec.rollback)}
    if spec.log is not None:
        body["TaskTemplate"]["LogDriver"] = {"Name": spec.log.name, "Options": dict(spec.log.options)}
    return body


def network_body(spec: NetworkSpec) -> Body:
    """Return a network."""
    pool = {"Subnet": spec.subnet, "IPRange": spec.ip_range, "Gateway": spec.gateway}
    pool = {key: value for key, value in pool.items() if value}
    return {
        "Name": spec.name,
        "CheckDuplicate": True,
        "Driver": spec.driver,
        "Scope": "swarm",
        "Internal": spec.is_internal,
        "Attachable": spec.is_attachable,
        "EnableIPv6": spec.enable_ipv6,
        "IPAM": {"Driver": "default", "Config": [pool] if pool else []},
        "Options": dict(spec.options),
        "Labels": written(spec.labels),
    }


def content_body(spec: ContentSpec, content: bytes) -> Body:
    """Return a config or secret."""
    marks = written(spec.labels, **{FINGERPRINT: spec.fingerprint})
    return {"Name": spec.name, "Labels": marks, "Data": base64.b64encode(content).decode()}


def _container(spec: ServiceSpec, content_ids: Mapping[tuple[str, str], str]) -> Body:
    stack = dict(spec.labels).get(labels.PROJECT, "")
    found: Body = {
        "Image": spec.image,
        "Labels": {**dict(spec.container_labels), **({NAMESPACE: stack} if stack else {})},
        "Command": list(spec.entrypoint),
        "Args": list(spec.command),
        "Hostname": spec.hostname,
        "Env": list(spec.env),
        "Dir": spec.working_dir,
        "User": spec.user,
        "Groups": list(spec.group_add),
        "TTY": spec.tty,
        "OpenStdin": spec.stdin_open,
        "ReadOnly": spec.read_only,
        "StopSignal": spec.stop_signal,
        "StopGracePeriod": ns(spec.stop_grace_s),
        "Hosts": [f"{address} {name}" for name, address in spec.extra_hosts],
        "DNSConfig": {
            "Nameservers": list(spec.dns.servers),
            "Search": list(spec.dns.search),
            "Options": list(spec.dns.options),
        },
        "Mounts": [_mount(mount, {volume.name: volume for volume in spec.volumes}) for mount in spec.mounts],
        "Secrets": [_content(use, content_ids) for use in spec.contents if use.kind == "secret"],
        "Configs": [_content(use, content_ids) for use in spec.contents if use.kind == "config"],
        "Sysctls": dict(spec.sysctls),
        "CapabilityAdd": [_capability(name) for name in spec.cap_add],
        "CapabilityDrop": [_capability(name) for name in spec.cap_drop],
        "Ulimits": [{"Name": one.name, "Soft": one.soft, "Hard": one.hard} for one in spec.ulimits],
    }
    if spec.init:
        found["Init"] = True
    if spec.health is not None:
        found["Healthcheck"] = _health(spec.health)
    return found


def _capability(name: str) -> str:
    return name if name == "ALL" else f"CAP_{name}"


def _health(check: HealthCheckOverride) -> Body:
    found: Body = {
        "Test": list(check.test or ()),
        "Interval": ns(check.interval_s or 0),
        "Timeout": ns(check.timeout_s or 0),
        "Retries": check.retries or 0,
        "StartPeriod": ns(check.start_period_s or 0),
    }
    if check.start_interval_s:
        found["StartInterval"] = ns(check.start_interval_s)
    return found


def _mount(mount: TaskMount, volumes: Mapping[str, VolumeSpec]) -> Body:
    match mount:
        case BindMount():
            found: Body = {"Type": "bind", "Source": mount.source}
            if mount.propagation:
                found["BindOptions"] = {"Propagation": mount.propagation}
        case VolumeMount():
            found = {"Type": "volume", "Source": mount.volume, "VolumeOptions": _volume(mount, volumes)}
        case TmpfsMount():
            found = {"Type": "tmpfs", "TmpfsOptions": {"SizeBytes": mount.size_bytes, "Mode": mount.mode or 0}}
    return {**found, "Target": mount.target, "ReadOnly": mount.read_only}


def _volume(mount: VolumeMount, volumes: Mapping[str, VolumeSpec]) -> Body:
    found: Body = {"NoCopy": mount.nocopy}
    if mount.subpath:
        found["Subpath"] = mount.subpath
    volume = volumes.get(mount.volume)
    if volume is not None:
        found["Labels"] = written(volume.labels)
        found["DriverConfig"] = {"Name": volume.driver, "Options": dict(volume.options)}
    return found


def _content(use: TaskContent, ids: Mapping[tuple[str, str], str]) -> Body:
    kind = use.kind.capitalize()
    target = use.target.removeprefix(_SECRETS) if use.kind == "secret" else use.target
    return {
        "File": {"Name": target, "UID": str(use.uid), "GID": str(use.gid), "Mode": use.mode},
        f"{kind}ID": ids[use.kind, use.name],
        f"{kind}Name": use.name,
    }


def _limits(spec: ServiceSpec) -> Body:
    limits = spec.limits
    return {"NanoCPUs": limits.nano_cpus, "MemoryBytes": limits.memory_bytes, "Pids": limits.pids}


def _reservations(reservations: Reservations) -> Body:
    return {
        "NanoCPUs": reservations.nano_cpus,
        "MemoryBytes": reservations.memory_bytes,
        "GenericResources": [
            {"DiscreteResourceSpec": {"Kind": kind, "Value": amount}} for kind, amount in reservations.generic
        ],
    }


def _mode(spec: ServiceSpec) -> Body:
    match spec.mode:
        case "global":
            return {"Global": {}}
        case "global-job":
            return {"GlobalJob": {}}
        case "replicated-job":
            return {"ReplicatedJob": {"MaxConcurrent": spec.replicas, "TotalCompletions": spec.replicas}}
        case "replicated":
            return {"Replicated": {"Replicas": spec.replicas}}


def _update(policy: UpdatePolicy) -> Body:
    return {
        "Parallelism": policy.parallelism,
        "Delay": ns(policy.delay_s),
        "FailureAction": policy.failure_action,
        "Monitor": ns(policy.monitor_s),
        "MaxFailureRatio": policy.max_failure_ratio,
        "Order": policy.order,
    }
