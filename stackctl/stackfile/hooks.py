"""``pre_start``: containers that run before a service's own, and have whatever it has unless they say otherwise."""

from __future__ import annotations

from stackctl.stackfile.interpolate import Environment
from stackctl.stackfile.merge import merge_service
from stackctl.stackfile.node import (
    Mapping,
    Node,
    Scalar,
    Sequence,
    child_mapping,
    is_null,
    with_entries,
    with_entry,
)
from stackctl.stackfile.normalise import with_default_network, with_secret_targets

_INHERITED = frozenset(
    (
        *("annotations", "blkio_config", "cap_add", "cap_drop", "cgroup", "cgroup_parent", "command", "configs"),
        *("cpu_count", "cpu_percent", "cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime", "cpu_shares"),
        *("cpus", "cpuset", "credential_spec", "device_cgroup_rules", "devices", "dns", "dns_opt", "dns_search"),
        *("domainname", "entrypoint", "env_file", "environment", "extra_hosts", "gpus", "group_add", "hostname"),
        *("image", "init", "ipc", "isolation", "label_file", "labels", "logging", "mac_address", "mem_limit"),
        *("mem_reservation", "mem_swappiness", "memswap_limit", "models", "network_mode", "networks"),
        *("oom_kill_disable", "oom_score_adj", "pid", "pids_limit", "platform", "privileged", "pull_policy"),
        *("pull_refresh_after", "read_only", "runtime", "secrets", "security_opt", "shm_size", "stop_grace_period"),
        *("stop_signal", "storage_opt", "sysctls", "tmpfs", "ulimits", "use_api_socket", "user", "userns_mode"),
        *("uts", "volumes_from", "working_dir"),
    )
)
"""What is true of the service's containers; its volumes are not among them, they are shared another way."""


def with_inherited(root: Mapping, environment: Environment) -> Mapping:
    """Return the tree in which every init container says what it has of its service.

    Names without a value in the service's ``environment`` are looked up, its files are still to be read.
    """
    services = child_mapping(root, "services")
    if services is None:
        return root
    found = {name: _with_hooks(node, environment) for name, node in services.entries.items()}
    return with_entry(root, "services", with_entries(services, found))


def _with_hooks(service: Node, environment: Environment) -> Node:
    hooks = service.entries.get("pre_start") if isinstance(service, Mapping) else None
    if not isinstance(hooks, Sequence) or not isinstance(service, Mapping):
        return service
    whole = with_secret_targets(with_default_network(service))
    own = child_mapping(whole, "environment")
    if own is not None:
        values = {key: _looked_up(key, entry, environment) for key, entry in own.entries.items()}
        whole = with_entry(whole, "environment", with_entries(own, values))
    base = with_entries(whole, {key: entry for key, entry in whole.entries.items() if key in _INHERITED})
    items = tuple(_merged(base, hook) for hook in hooks.items)
    return with_entry(service, "pre_start", Sequence(items, hooks.mark))


def _merged(base: Mapping, hook: Node) -> Node:
    if not isinstance(hook, Mapping):
        return hook
    # What only the hook has stays as it is written, doubles and all.
    own = {key: node for key, node in hook.entries.items() if key not in base.entries}
    found = merge_service(base, with_entries(hook, {k: v for k, v in hook.entries.items() if k not in own}), [])
    assert isinstance(found, Mapping)
    return Mapping({**found.entries, **own}, {**found.keys, **hook.keys}, hook.mark)


def _looked_up(name: str, node: Node, environment: Environment) -> Node:
    return Scalar(environment(name), node.mark) if is_null(node) else node
