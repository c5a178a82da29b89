"""Which keys of the Compose specification the built-in engine honours.

One entry for every key of the schema. ``YES`` is honoured, ``NO`` would change what runs if it were ignored
and so is an error, ``MINOR`` can be ignored and is a warning. A nested table goes into a mapping, ``*``
stands for any name and for each item of a list. Values that are supported only in part have a rule in
``support``.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from stackctl.diagnostics import Severity


class Verdict(NamedTuple):
    """What is said about a key in use; no severity means that it is honoured."""

    severity: Severity | None
    reason: str = ""
    hint: str = ""


Table: TypeAlias = "dict[str, Table | Verdict]"
YES = Verdict(None)


def no(reason: str, hint: str = "remove it, or run the stack on another engine") -> Verdict:
    """The key cannot be ignored."""
    return Verdict("error", reason, hint)


def minor(reason: str, hint: str = "remove it") -> Verdict:
    """The key can be ignored."""
    return Verdict("warning", reason, hint)


_SWARM = minor("it only means something to a cluster of machines")
_WINDOWS = minor("it only means something on Windows")
_NO_INIT = no(
    "init containers are not run yet", "use a service that others depend on with service_completed_successfully"
)
_HOOK: Table = dict.fromkeys(("command", "user", "privileged", "working_dir", "environment"), YES)
_NO_GPU = no("GPUs are not handed out yet")
_ROLLBACK = minor("a rollback leads traffic back to the old containers, all at once")
_BY_MOUNT = minor("owner and mode are those that `RUN --mount=type=secret` asks for")
_KEPT_ONLY = minor("annotations are kept, and nobody reads them")

_CONTENT: Table = {"source": YES, "target": YES, "uid": YES, "gid": YES, "mode": YES}
_UPDATE = ("parallelism", "delay", "failure_action", "monitor", "max_failure_ratio", "order")
_HEALTHCHECK: Table = dict.fromkeys(
    ("disable", "test", "interval", "timeout", "retries", "start_period", "start_interval"), YES
)
_LOGGING: Table = {"driver": YES, "options": YES}
_DEPLOY: Table = {
    "mode": YES,
    "endpoint_mode": _SWARM,
    "replicas": YES,
    "labels": _SWARM,
    "update_config": dict.fromkeys(_UPDATE, YES),
    "rollback_config": dict.fromkeys(_UPDATE, _ROLLBACK),
    "resources": {
        "limits": {"cpus": YES, "memory": YES, "pids": YES, "generic_resources": _SWARM},
        "reservations": {
            "cpus": minor("a share of CPU is not set aside"),
            "memory": YES,
            "generic_resources": _SWARM,
            "devices": _NO_GPU,
        },
    },
    "restart_policy": {
        "condition": YES,
        "delay": YES,
        "max_attempts": YES,
        "window": YES,
    },
    "placement": {"constraints": _SWARM, "preferences": _SWARM, "max_replicas_per_node": _SWARM},
}
_BUILD: Table = {
    "context": YES,
    "dockerfile": YES,
    "dockerfile_inline": YES,
    "args": YES,
    "ssh": no("agents of ssh are not passed into builds yet"),
    "labels": YES,
    "cache_from": minor("the cache of builds is the engine's own"),
    "cache_to": minor("the cache of builds is the engine's own"),
    "no_cache": YES,
    "no_cache_filter": no("the cache is left out for all stages or none", "write `no_cache: true`"),
    "additional_contexts": no("a build has one context so far"),
    "network": YES,
    "provenance": minor("nothing is attested of a build"),
    "sbom": minor("nothing is attested of a build"),
    "pull": YES,
    "target": YES,
    "shm_size": YES,
    "extra_hosts": YES,
    "isolation": _WINDOWS,
    "privileged": no("commands of a build never run privileged"),
    "entitlements": no("a build is granted no further rights"),
    "secrets": {"*": {"source": YES, "target": YES, "uid": _BY_MOUNT, "gid": _BY_MOUNT, "mode": _BY_MOUNT}},
    "tags": YES,
    "ulimits": minor("commands of a build run under the engine's own limits"),
    "platforms": YES,
}
_PORT: Table = {
    "name": YES,
    "mode": YES,
    "host_ip": YES,
    "target": YES,
    "published": YES,
    "protocol": YES,
    "app_protocol": YES,
}
_MOUNT: Table = {
    "type": YES,
    "source": YES,
    "target": YES,
    "read_only": YES,
    "consistency": minor("it means nothing on Linux"),
    "bind": {
        "propagation": YES,
        "create_host_path": YES,
        "recursive": YES,
        "selinux": YES,
    },
    "volume": {
        "labels": minor("an anonymous volume has no labels of its own"),
        "nocopy": YES,
        "subpath": YES,
    },
    "tmpfs": {"size": YES, "mode": YES},
    "image": {"subpath": no("images cannot be mounted yet")},
}
_ATTACHMENT: Table = {
    "aliases": YES,
    "interface_name": YES,
    "ipv4_address": YES,
    "ipv6_address": minor("networks are IPv4 only so far"),
    "link_local_ips": YES,
    "mac_address": YES,
    "driver_opts": minor("the bridge takes no options"),
    "priority": YES,
    "gw_priority": YES,
}
_BLOCK_MEASURES = ("read_bps", "write_bps", "read_iops", "write_iops")
SERVICE: Table = {
    "annotations": _KEPT_ONLY,
    "attach": YES,
    "build": _BUILD,
    "blkio_config": {
        "weight": YES,
        "weight_device": {"*": {"path": YES, "weight": YES}},
        **{f"device_{measure}": {"*": {"path": YES, "rate": YES}} for measure in _BLOCK_MEASURES},
    },
    "cap_add": YES,
    "cap_drop": YES,
    "cgroup": YES,
    "cgroup_parent": no("containers always have their cgroup under the engine's"),
    "command": YES,
    "configs": {"*": _CONTENT},
    "container_name": YES,
    "cpu_count": _WINDOWS,
    "cpu_percent": _WINDOWS,
    "cpu_shares": YES,
    "cpu_quota": YES,
    "cpu_period": YES,
    "cpu_rt_period": YES,
    "cpu_rt_runtime": YES,
    "cpus": YES,
    "cpuset": YES,
    "credential_spec": no("accounts of Active Directory are given to containers on Windows only"),
    "depends_on": {"*": {"condition": YES, "required": YES, "restart": YES}},
    "deploy": _DEPLOY,
    "develop": minor("files are not watched yet", "it is safe to keep it for other tools"),
    "device_cgroup_rules": YES,
    "devices": {"*": {"source": YES, "target": YES, "permissions": YES}},
    "dns": YES,
    "dns_opt": YES,
    "dns_search": YES,
    "domainname": YES,
    "entrypoint": YES,
    "env_file": YES,
    "label_file": YES,
    "environment": YES,
    "expose": YES,
    "extends": YES,
    "provider": no("services run by another program are not supported yet"),
    "external_links": no("containers outside of the stack cannot be linked to", "join a common network"),
    "extra_hosts": YES,
    "gpus": _NO_GPU,
    "group_add": YES,
    "healthcheck": _HEALTHCHECK,
    "hostname": YES,
    "image": YES,
    "init": YES,
    "ipc": YES,
    "isolation": YES,
    "labels": YES,
    "links": YES,
    "logging": _LOGGING,
    "mac_address": YES,
    "mem_limit": YES,
    "mem_reservation": YES,
    "mem_swappiness": YES,
    "memswap_limit": YES,
    "models": no("AI models are not run yet"),
    "network_mode": YES,
    "networks": {"*": _ATTACHMENT},
    "oom_kill_disable": YES,
    "oom_score_adj": YES,
    "pid": YES,
    "pids_limit": YES,
    "platform": YES,
    "ports": {"*": _PORT},
    "post_start": {"*": _HOOK},
    "pre_start": _NO_INIT,
    "pre_stop": {"*": _HOOK},
    "privileged": YES,
    "profiles": YES,
    "pull_policy": YES,
    "pull_refresh_after": YES,
    "read_only": YES,
    "restart": YES,
    "runtime": YES,
    "scale": YES,
    "secrets": {"*": _CONTENT},
    "security_opt": YES,
    "shm_size": YES,
    "stdin_open": YES,
    "stop_grace_period": YES,
    "stop_signal": YES,
    "storage_opt": no(
        "the kernel's overlay file system has no bound for what one container writes",
        "remove it; a volume of type tmpfs has a size",
    ),
    "sysctls": YES,
    "tmpfs": YES,
    "tty": YES,
    "ulimits": YES,
    "use_api_socket": YES,
    "user": YES,
    "userns_mode": YES,
    "uts": YES,
    "volumes": {"*": _MOUNT},
    "volumes_from": YES,
    "working_dir": YES,
}
_RESOURCE: Table = {"name": YES, "external": YES, "labels": YES}
_CONTENT_SOURCE: Table = {
    "name": YES,
    "labels": minor("a config or secret is kept with the stack, and has no labels of its own"),
    "external": no("configs and secrets are not kept outside of a stack", "use `file` or `environment`"),
    "file": YES,
    "content": YES,
    "environment": YES,
    "driver": no("there are no secret stores", "use `file` or `environment`"),
    "driver_opts": _SWARM,
    "template_driver": no("contents are not expanded as templates"),
}
TOP: Table = {
    "version": minor("it has no meaning any more"),
    "name": YES,
    "include": YES,
    "services": {"*": SERVICE},
    "models": no("AI models are not run yet"),
    "networks": {
        "*": {
            **_RESOURCE,
            "driver": YES,
            "driver_opts": YES,
            "ipam": {
                "driver": YES,
                "config": {
                    "*": {
                        "subnet": YES,
                        "ip_range": YES,
                        "gateway": YES,
                        "aux_addresses": YES,
                    }
                },
                "options": minor("addresses are given out by the engine"),
            },
            "internal": YES,
            "enable_ipv4": YES,
            "enable_ipv6": YES,
            "attachable": _SWARM,
        }
    },
    "volumes": {"*": {**_RESOURCE, "driver": YES, "driver_opts": YES}},
    "secrets": {"*": _CONTENT_SOURCE},
    "configs": {"*": _CONTENT_SOURCE},
    "jobs": no("jobs are not run yet"),
}
