"""Defaults that need the whole project: implied dependencies, the default network, real names."""

from __future__ import annotations

from stackctl.stackfile.node import (
    Mapping,
    Mark,
    Node,
    Scalar,
    Sequence,
    child_mapping,
    is_null,
    mapping,
    text_of,
    with_entries,
    with_entry,
    without,
)
from stackctl.stackfile.omit import RESOURCES, omit

_TRISTATE = ("init", "attach")
"""Switches whose being off is different from their not being there."""
_EMPTY_SAYS_NOTHING = {
    "additional_contexts",
    "annotations",
    "args",
    "driver_opts",
    "environment",
    "extra_hosts",
    "ipam",
    "labels",
    "models",
    "options",
    "placement",
    "resources",
    "storage_opt",
    "sysctls",
    "ulimits",
}
"""Mappings of which an empty one is as good as none."""
_EMPTY_TEXT_SAYS_NOTHING = {"driver", "endpoint_mode", "gateway", "ip_range", "mode", "name", "subnet"}
_OFF_SAYS_NOTHING = {"attachable", "disable", "internal", "no_cache", "privileged", "pull"}
_ZERO_SAYS_NOTHING = {
    *("cpu_count", "cpu_percent", "cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime", "cpu_shares", "cpus"),
    *("mem_limit", "mem_reservation", "mem_swappiness", "memswap_limit", "oom_score_adj", "pids_limit", "shm_size"),
}
_RESOURCES = ("networks", "volumes", "secrets", "configs")


def normalise(root: Mapping, *, name: str, base_dir: str) -> Mapping:
    """Return the tree with everything that goes without saying, said."""
    services = child_mapping(root, "services") or mapping({}, root.mark)
    found = {key: _service(node, base_dir) for key, node in services.entries.items()}
    root = with_entry(root, "services", with_entries(services, found))
    root = named(root, name)
    jobs = child_mapping(root, "jobs")
    if jobs is not None:
        root = with_entry(
            root, "jobs", with_entries(jobs, {key: _job(key, node, base_dir) for key, node in jobs.entries.items()})
        )
    networks = child_mapping(root, "networks") or mapping({}, root.mark)
    if "default" not in networks.entries and "default" in used_resources(root)["networks"]:
        root = with_entry(root, "networks", with_entry(networks, "default", mapping({}, Mark("", 0))))
    for kind in _RESOURCES:
        root = _name_resources(root, kind, name)
    return root


def named(root: Mapping, name: str) -> Mapping:
    """Return the tree with the project's name."""
    return with_entry(root, "name", _name_node(root, name))


def completed(root: Mapping, *, name: str, base_dir: str) -> Mapping:
    """Return the tree with only those defaults that go without saying even in a tree that is not normalised."""
    services = child_mapping(root, "services") or mapping({}, root.mark)
    found = {key: _completed(node, base_dir) for key, node in services.entries.items()}
    root = named(with_entry(root, "services", with_entries(services, found)), name)
    for kind in _RESOURCES:
        resources = child_mapping(root, kind)
        if resources is not None:
            entries: dict[str, Node] = {
                key: mapping({}, node.mark) if is_null(node) else node for key, node in resources.entries.items()
            }
            root = with_entry(root, kind, with_entries(resources, entries))
    return root


def _completed(service: Node, base_dir: str) -> Node:
    if not isinstance(service, Mapping):
        return service
    service = _without_defaults(_with_sorted_hosts(_without_empty(service)))
    service = _with_requirements(_with_ports(service))
    build = child_mapping(service, "build")
    if build is not None and "context" not in build.entries:
        service = with_entry(service, "build", with_entry(build, "context", Scalar(base_dir, build.mark)))
    return omit(with_secret_targets(service))


def _with_requirements(service: Mapping) -> Mapping:
    written = child_mapping(service, "depends_on")
    if written is None:
        return service
    entries: dict[str, Node] = {
        name: with_entry(node, "required", Scalar(True, node.mark))
        if isinstance(node, Mapping) and "required" not in node.entries
        else node
        for name, node in written.entries.items()
    }
    return with_entry(service, "depends_on", with_entries(written, entries))


def drop_unused(root: Mapping) -> Mapping:
    """Return the tree with only those resources that a service uses."""
    for kind, used in used_resources(root).items():
        resources = child_mapping(root, kind)
        if resources is None:
            continue
        kept = {key: node for key, node in resources.entries.items() if key in used}
        root = with_entry(root, kind, with_entries(resources, kept)) if kept else without(root, [kind])
    return root


def without_empty_resources(root: Mapping) -> Mapping:
    """Return the tree without what says nothing of a resource; only a check wants to see it."""
    found = omit(root, RESOURCES)
    assert isinstance(found, Mapping)
    return found


def used_resources(root: Mapping) -> dict[str, set[str]]:
    """Return, for each kind of resource, the keys that services use."""
    used: dict[str, set[str]] = {kind: set() for kind in (*_RESOURCES, "models")}
    services = child_mapping(root, "services")
    for service in services.entries.values() if services is not None else ():
        if not isinstance(service, Mapping):
            continue
        for kind in ("networks", "models"):
            used[kind] |= set(_entries(service, kind))
        for kind in ("secrets", "configs"):
            used[kind] |= _sources(service.entries.get(kind))
        used["secrets"] |= _sources((child_mapping(service, "build") or service).entries.get("secrets"))
        used["volumes"] |= _sources(service.entries.get("volumes"), only_type="volume")
    return used


def implied_dependencies(service: Mapping) -> dict[str, tuple[Mark, bool]]:
    """Return the services that ``service`` needs without saying so, and whether it restarts with them."""
    found: dict[str, tuple[Mark, bool]] = {}
    for key in ("network_mode", "ipc", "pid", "uts", "cgroup"):
        node = service.entries.get(key)
        text = text_of(node) or ""
        if node is not None and text.startswith("service:"):
            found.setdefault(text.removeprefix("service:"), (node.mark, True))
    for key in ("links", "volumes_from"):
        listed = service.entries.get(key)
        for item in listed.items if isinstance(listed, Sequence) else ():
            text = text_of(item) or ""
            if text and not (key == "volumes_from" and text.startswith("container:")):
                found.setdefault(text.partition(":")[0], (item.mark, key == "links"))
    return found


def _service(service: Node, base_dir: str) -> Node:
    if not isinstance(service, Mapping):
        return service
    service = with_default_network(_with_sorted_hosts(_without_empty(service)))
    service = _with_ports(_with_dependencies(_without_defaults(_with_hooks(service))))
    return omit(_with_build(with_secret_targets(_with_replicas(service)), base_dir))


def _with_sorted_hosts(service: Mapping) -> Mapping:
    hosts = service.entries.get("extra_hosts")
    if not isinstance(hosts, Sequence):
        return service
    items = sorted(hosts.items, key=lambda item: text_of(item) or "")
    return with_entry(service, "extra_hosts", Sequence(tuple(items), hosts.mark))


def _with_replicas(service: Mapping) -> Mapping:
    """``scale`` is said in ``deploy`` too, where there is one."""
    deploy, scale = child_mapping(service, "deploy"), service.entries.get("scale")
    if deploy is None or scale is None or "replicas" in deploy.entries:
        return service
    return with_entry(service, "deploy", with_entry(deploy, "replicas", scale))


def _job(key: str, node: Node, base_dir: str) -> Node:
    found = _service(node, base_dir)
    return with_entry(found, "name", Scalar(key, node.mark)) if isinstance(found, Mapping) else found


def _with_hooks(service: Mapping) -> Mapping:
    hooks = service.entries.get("pre_start")
    if not isinstance(hooks, Sequence):
        return service
    items = (_hook(hook) if isinstance(hook, Mapping) else hook for hook in hooks.items)
    return with_entry(service, "pre_start", Sequence(tuple(items), hooks.mark))


def _hook(hook: Mapping) -> Node:
    hook = _without_defaults(_without_empty(hook))
    empty = [key for key in ("networks", "pid") if key in hook.entries and _is_nothing(hook.entries[key])]
    return omit(without(hook, empty))


def _is_nothing(node: Node) -> bool:
    return is_null(node) or (isinstance(node, Mapping) and not node.entries)


def _without_empty(node: Mapping) -> Mapping:
    """Leave out empty lists, mappings whose being empty says nothing, and switches that are off, at any depth."""
    entries: dict[str, Node] = {}
    for key, entry in node.entries.items():
        is_list = isinstance(entry, Sequence) and not entry.items and key not in ("command", "entrypoint")
        is_mapping = isinstance(entry, Mapping) and not entry.entries and key in _EMPTY_SAYS_NOTHING
        is_off = isinstance(entry, Scalar) and (
            (entry.value is False and key in _OFF_SAYS_NOTHING)
            or (entry.value == "" and key in _EMPTY_TEXT_SAYS_NOTHING)
            or (entry.value == 0 and key in ("cpus", "pids"))
        )
        if key.startswith("x-"):
            entries[key] = entry
        elif not is_list and not is_mapping and not is_off:
            entries[key] = _without_empty(entry) if isinstance(entry, Mapping) else entry
    return with_entries(node, entries)


def _without_defaults(service: Mapping) -> Mapping:
    """Leave out what says nothing: empty text, zeroes, switches that are off, ``deploy:`` without a value."""
    empty = {
        key
        for key, node in service.entries.items()
        if isinstance(node, Scalar)
        and (
            node.value == ""
            or (node.value is False and key not in _TRISTATE)
            or (node.value in (0, "0") and key in _ZERO_SAYS_NOTHING)
            or (node.value is None and key in ("command", "deploy", "develop", "entrypoint", "pid"))
        )
    }
    return without(service, empty)


def with_default_network(service: Mapping) -> Mapping:
    """Return ``service`` on the default network, if it says nothing of networks."""
    networks = child_mapping(service, "networks")
    if networks is not None and not networks.entries:
        service, networks = without(service, ["networks"]), None
    if networks is not None or service.entries.keys() & {"network_mode", "provider"}:
        return service
    default = mapping({"default": Scalar(None, Mark("", 0))}, Mark("", 0))
    return with_entry(service, "networks", default)


def _with_dependencies(service: Mapping) -> Mapping:
    written = child_mapping(_with_requirements(service), "depends_on")
    entries: dict[str, Node] = dict(written.entries) if written is not None else {}
    for name, (mark, restarts) in implied_dependencies(service).items():
        if name not in entries:
            entries[name] = mapping(
                {
                    "condition": Scalar("service_started", mark),
                    **({"restart": Scalar(True, mark)} if restarts else {}),
                    "required": Scalar(True, mark),
                },
                mark,
            )
    if not entries:
        return without(service, ["depends_on"])
    base = written or Mapping({}, {}, service.mark)
    return with_entry(service, "depends_on", with_entries(base, entries))


def _with_ports(service: Mapping) -> Mapping:
    ports = service.entries.get("ports")
    if not isinstance(ports, Sequence):
        return service
    items = []
    for port in ports.items:
        if isinstance(port, Mapping):
            entries = dict(port.entries)
            entries.setdefault("mode", Scalar("ingress", port.mark))
            entries.setdefault("protocol", Scalar("tcp", port.mark))
            port = with_entries(port, entries)
        items.append(port)
    return with_entry(service, "ports", Sequence(tuple(items), ports.mark))


def _with_build(service: Mapping, base_dir: str) -> Mapping:
    build = child_mapping(service, "build")
    if build is None:
        return service
    entries = dict(build.entries)
    entries.setdefault("context", Scalar(base_dir, build.mark))
    if "dockerfile_inline" not in entries:
        entries.setdefault("dockerfile", Scalar("Dockerfile", build.mark))
    return with_entry(service, "build", with_entries(build, entries))


def with_secret_targets(service: Mapping) -> Mapping:
    """Return ``service`` with the place of each of its secrets."""
    secrets = service.entries.get("secrets")
    if not isinstance(secrets, Sequence):
        return service
    items = []
    for use in secrets.items:
        source = text_of(use.entries.get("source")) if isinstance(use, Mapping) else None
        if isinstance(use, Mapping) and source is not None and "target" not in use.entries:
            use = with_entry(use, "target", Scalar(f"/run/secrets/{source}", use.mark))
        items.append(use)
    return with_entry(service, "secrets", Sequence(tuple(items), secrets.mark))


def _name_node(root: Mapping, name: str) -> Scalar:
    written = root.entries.get("name")
    return Scalar(name, written.mark if written is not None else Mark("", 0))


def _name_resources(root: Mapping, kind: str, name: str) -> Mapping:
    resources = child_mapping(root, kind)
    if resources is None:
        return root
    entries: dict[str, Node] = {}
    for key, node in resources.entries.items():
        resource = node if isinstance(node, Mapping) else mapping({}, node.mark)
        is_named = "name" in resource.entries
        resource = _without_empty(resource)
        if not is_named:
            real = key if _is_external(resource) else f"{name}_{key}"
            resource = with_entry(resource, "name", Scalar(real, resources.keys[key]))
        entries[key] = resource
    return with_entry(root, kind, with_entries(resources, entries))


def _is_external(resource: Mapping) -> bool:
    external = resource.entries.get("external")
    return isinstance(external, Scalar) and external.value is True


def _entries(service: Mapping, key: str) -> dict[str, Node]:
    found = child_mapping(service, key)
    return found.entries if found is not None else {}


def _sources(node: Node | None, *, only_type: str = "") -> set[str]:
    found: set[str] = set()
    for item in node.items if isinstance(node, Sequence) else ():
        if isinstance(item, Mapping) and (not only_type or text_of(item.entries.get("type")) == only_type):
            source = text_of(item.entries.get("source"))
            if source:
                found.add(source)
    return found
