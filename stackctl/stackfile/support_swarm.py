"""What a Swarm honours of the stack file, told by what differs from the built-in engine's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from stackctl.model.path import Path
from stackctl.stackfile.canonical_ports import parse_range
from stackctl.stackfile.decode_deploy import ENDPOINT_MODES, FAILURE_ACTIONS, MODES, ORDERS
from stackctl.stackfile.node import Json
from stackctl.stackfile.problems import listing
from stackctl.stackfile.support_table import YES, Verdict, minor, no
from stackctl.stackfile.tree import as_dict, as_list, as_text

_S: Final = ("services", "*")
_DEPLOY: Final = (*_S, "deploy")
_UPDATE: Final = ("parallelism", "delay", "failure_action", "monitor", "max_failure_ratio", "order")
_ONE_MACHINE: Final = "leave it out, or run the stack on one machine"
_NOT_SENT: Final = no("a Swarm's services have no such setting", _ONE_MACHINE)
_NOT_SENT_MINOR: Final = minor("a Swarm's services have no such setting")
_BY_MACHINES: Final = minor("each machine of the Swarm decides")

SWARM: Final[Mapping[tuple[str, ...], Verdict]] = {
    (*_DEPLOY, "endpoint_mode"): YES,
    (*_DEPLOY, "labels"): YES,
    **{(*_DEPLOY, which, key): YES for which in ("update_config", "rollback_config") for key in _UPDATE},
    (*_DEPLOY, "resources", "reservations", "cpus"): YES,
    (*_DEPLOY, "resources", "reservations", "generic_resources"): YES,
    (*_DEPLOY, "restart_policy", "delay"): YES,
    (*_DEPLOY, "restart_policy", "window"): YES,
    **{(*_DEPLOY, "placement", key): YES for key in ("constraints", "preferences", "max_replicas_per_node")},
    (*_S, "attach"): minor("the output of tasks is shown by `stackctl logs`"),
    (*_S, "build"): minor(
        "a Swarm's machines pull images and build none", "build and push it first: stackctl build, then stackctl push"
    ),
    (*_S, "container_name"): minor("tasks are named by the engine"),
    (*_S, "depends_on", "*", "restart"): minor("a service is not restarted with another one"),
    (*_S, "expose"): minor("tasks on a common network reach each other on every port"),
    (*_S, "healthcheck", "start_interval"): minor("older engines of a Swarm do not know it, so it is not sent"),
    (*_S, "mem_reservation"): minor(
        "what a machine must have free is a reservation there", "write `deploy.resources.reservations.memory`"
    ),
    (*_S, "platform"): minor(
        "tasks run on the machines that the image is made for", "to choose, constrain: node.platform.arch==…"
    ),
    **{
        (*_S, key): _NOT_SENT
        for key in (
            "blkio_config", "cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime", "cpuset",
            "device_cgroup_rules", "devices", "ipc", "isolation", "mac_address", "memswap_limit", "pid", "post_start",
            "pre_stop", "privileged", "runtime", "security_opt", "userns_mode", "uts",
        )
    },
    **{
        (*_S, key): _NOT_SENT_MINOR
        for key in ("cgroup", "cpu_shares", "domainname", "mem_swappiness", "oom_kill_disable", "oom_score_adj")
    },
    (*_S, "networks", "*", "ipv4_address"): no("a Swarm gives out the addresses of tasks", "use the service's name"),
    (*_S, "networks", "*", "ipv6_address"): no("a Swarm gives out the addresses of tasks", "use the service's name"),
    (*_S, "networks", "*", "mac_address"): _NOT_SENT,
    (*_S, "networks", "*", "interface_name"): minor("interfaces are named by the engine"),
    (*_S, "networks", "*", "driver_opts"): _NOT_SENT_MINOR,
    (*_S, "networks", "*", "priority"): _NOT_SENT_MINOR,
    (*_S, "networks", "*", "gw_priority"): _NOT_SENT_MINOR,
    (*_S, "ports", "*", "host_ip"): no(
        "a Swarm publishes a port on every address of its machines", "leave the address out"
    ),
    (*_S, "volumes", "*", "bind", "create_host_path"): minor("the path must be there on each machine that runs a task"),
    (*_S, "volumes_from"): no("mounts cannot be shared by service", "list the volumes in both services"),
    ("networks", "*", "attachable"): YES,
    ("networks", "*", "driver_opts"): YES,
    ("configs", "*", "external"): YES,
    ("configs", "*", "labels"): YES,
    ("secrets", "*", "external"): YES,
    ("secrets", "*", "labels"): YES,
}  # fmt: skip

Finding = tuple[Path, Verdict]
Rule = Callable[[Json, Path], Iterator[Finding]]


def _network_mode(value: Json, path: Path) -> Iterator[Finding]:
    text = as_text(value)
    if text and text not in ("host", "none"):
        yield path, no(f"tasks cannot be on the network `{text}`", "name networks in `networks`")


def _ports(value: Json, path: Path) -> Iterator[Finding]:
    for at, item in enumerate(as_list(value)):
        found = parse_range(as_text(as_dict(item).get("published")))
        if found is not None and found.first != found.last:
            yield (*path, at, "published"), no("a Swarm publishes a port, not one of a range", "choose one port")


def _volumes(value: Json, path: Path) -> Iterator[Finding]:
    for at, item in enumerate(as_list(value)):
        kind = as_text(as_dict(item).get("type"))
        if kind not in ("bind", "volume", "tmpfs", ""):
            yield (*path, at, "type"), no(f"`{kind}` mounts are not made")


def _deploy(value: Json, path: Path) -> Iterator[Finding]:
    deploy = as_dict(value)
    checks: list[tuple[tuple[str, ...], tuple[str, ...]]] = [(("mode",), MODES), (("endpoint_mode",), ENDPOINT_MODES)]
    for key in ("update_config", "rollback_config"):
        checks += [((key, "failure_action"), FAILURE_ACTIONS), ((key, "order"), ORDERS)]
    for keys, choices in checks:
        found: Json = deploy
        for key in keys:
            found = as_dict(found).get(key)
        text = as_text(found)
        if text and text not in choices:
            yield (*path, *keys), no(f"it must be {listing(choices)}, not `{text}`", "choose one of these")


def _driver(value: Json, path: Path) -> Iterator[Finding]:
    if as_text(value) in ("bridge", "host", "null", "none"):
        yield path, no(f"a network of the kind `{as_text(value)}` is one machine's", "leave the driver out")


SWARM_RULES: Final[Mapping[tuple[str, str], Rule | None]] = {
    ("services", "build"): None,
    ("services", "network_mode"): _network_mode,
    ("services", "ports"): _ports,
    ("services", "volumes"): _volumes,
    ("services", "deploy"): _deploy,
    ("services", "logging"): None,
    ("services", "ipc"): None,
    ("services", "isolation"): None,
    ("services", "pid"): None,
    ("services", "runtime"): None,
    ("services", "security_opt"): None,
    ("services", "userns_mode"): None,
    ("services", "uts"): None,
    ("networks", "driver"): _driver,
    ("networks", "driver_opts"): None,
    ("networks", "enable_ipv6"): None,
    ("volumes", "driver"): None,
}
"""Rules for values that take the place of the built-in engine's, as section and name; None has any value count."""
