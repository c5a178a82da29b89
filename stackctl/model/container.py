"""ContainerSpec: everything a runtime needs to make one container, and nothing it must look up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

from stackctl.diagnostics import SourceRange
from stackctl.model.health import HealthCheck
from stackctl.model.hook import Hook
from stackctl.model.limits import Limits

Protocol = Literal["tcp", "udp"]
RestartKind = Literal["no", "always", "on-failure", "unless-stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BindMount:
    """A host path, absolute, seen at ``target``.

    ``recursive`` "disabled" leaves out what is mounted below it, and "writable" lets that be written though it is
    read-only itself. ``selinux`` asks for a label of containers: those of the built-in engine are not confined by any.
    """

    source: str
    target: str
    read_only: bool = False
    create_source: bool = True
    propagation: str = ""
    recursive: Literal["", "disabled", "writable"] = ""
    selinux: Literal["", "z", "Z"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeMount:
    """A volume, by its real name, seen at ``target``; ``""`` asks for an anonymous one.

    Unless ``nocopy``, an empty volume is first filled with what the image has at ``target``.
    """

    volume: str
    target: str
    read_only: bool = False
    nocopy: bool = False
    subpath: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TmpfsMount:
    """An empty file system in memory; 0 bytes means half of the machine's memory.

    ``mode`` None is that of the directory in the image, 1777 when there is none.
    """

    target: str
    size_bytes: int = 0
    mode: int | None = None
    read_only: bool = False
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentMount:
    """A config or secret as a read-only file.

    ``fingerprint`` is keyed by the engine and names the content there; the content itself never is
    part of a spec.
    """

    kind: Literal["config", "secret"]
    name: str
    target: str
    fingerprint: str
    uid: int = 0
    gid: int = 0
    mode: int = 0o444


Mount: TypeAlias = BindMount | VolumeMount | TmpfsMount | ContentMount


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedPort:
    """A container port reachable on the host.

    The host port is any free one of ``host_first``..``host_last``; both 0 means any at all.
    ``host_ip`` "" means every address. Containers with the same ``share`` (not empty) may hold the
    same host port together and take connections in turn.
    """

    container_port: int
    protocol: Protocol = "tcp"
    host_ip: str = ""
    host_first: int = 0
    host_last: int = 0
    share: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A place on one network, by the network's real name.

    The container answers to its own name and to ``aliases`` there. Addresses are text, "" for any.
    ``interface`` is what it is called in the container, "" for eth0, eth1, …; ``link_local`` addresses of it are
    known to its neighbours only.
    """

    network: str
    aliases: tuple[str, ...] = ()
    ipv4_address: str = ""
    ipv6_address: str = ""
    mac_address: str = ""
    priority: int = 0
    interface: str = ""
    link_local: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JoinNetworks:
    """An own network namespace, attached to these networks; the first carries the default route."""

    attachments: tuple[Attachment, ...]


@dataclass(frozen=True, slots=True)
class HostNetwork:
    """The host's network namespace."""


@dataclass(frozen=True, slots=True)
class NoNetwork:
    """An own network namespace with only a loopback interface."""


@dataclass(frozen=True, slots=True)
class ShareNetwork:
    """The network namespace of another container, by name."""

    container: str


Networking: TypeAlias = JoinNetworks | HostNetwork | NoNetwork | ShareNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class Ulimit:
    """One resource limit of setrlimit(2), by its lower-case name (``nofile``); -1 is unlimited."""

    name: str
    soft: int
    hard: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """What happens when the container ends by itself; ``max_attempts`` 0 means no bound.

    ``delay_s`` 0 begins with a short pause that gets longer. A run of ``window_s`` is one that succeeded: attempts are
    counted anew; 0 counts all there ever were.
    """

    kind: RestartKind = "no"
    max_attempts: int = 0
    delay_s: float = 0.0
    window_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dns:
    """Resolver settings; empty means as the host has them."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A host device node made available at ``target`` with ``permissions`` out of ``rwm``."""

    source: str
    target: str
    permissions: str = "rwm"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPolicy:
    """Logs are kept in at most ``max_files`` files of ``max_bytes`` each; the newest is never lost."""

    max_bytes: int = 100 * 1024 * 1024
    max_files: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """One container, completely decided.

    ``name`` is unique in the engine. ``image_id`` is the configuration digest, ``image_ref`` what the
    user wrote. ``argv`` is entrypoint plus command. ``env`` holds ``KEY=value``. ``user`` is
    ``name|uid[:name|gid]``, looked up in the image. ``cap_add`` and ``cap_drop`` are written without
    ``CAP_``; ``ALL`` is allowed. ``device_rules`` are in the words of the device cgroup (``c 1:3 rwm``).
    ``extra_hosts`` holds (name, address or ``host-gateway``). ``pid_mode`` and ``ipc_mode`` are "" for an own
    namespace, ``host``, or ``container:NAME``. ``unmasked`` leaves nothing of /proc and /sys hidden or read-only.
    ``seccomp_profile`` is the JSON of one that takes the place of the default.
    ``entrypoint_length`` says how many words of ``argv`` are the entrypoint; ``exposed_ports`` holds ``80/tcp``:
    both are only told. With ``stdin_once`` the end of the first client's input is the end of the container's;
    with ``auto_remove`` the engine removes the container once it has ended. ``post_start`` runs after each start
    that was asked for, ``pre_stop`` before each stop.
    ``origin`` maps field names to the YAML that decided them; it is no part of equality.
    """

    name: str
    image_ref: str
    image_id: str
    argv: tuple[str, ...]
    env: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    group_add: tuple[str, ...] = ()
    hostname: str = ""
    domainname: str = ""
    mounts: tuple[Mount, ...] = ()
    ports: tuple[PublishedPort, ...] = ()
    networking: Networking = field(default_factory=NoNetwork)
    dns: Dns = field(default_factory=Dns)
    extra_hosts: tuple[tuple[str, str], ...] = ()
    limits: Limits = field(default_factory=Limits)
    ulimits: tuple[Ulimit, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    shm_size_bytes: int = 64 * 1024 * 1024
    restart: RestartPolicy = field(default_factory=RestartPolicy)
    stop_signal: str = "SIGTERM"
    stop_grace_s: float = 10.0
    health: HealthCheck | None = None
    labels: tuple[tuple[str, str], ...] = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    privileged: bool = False
    no_new_privileges: bool = False
    seccomp: Literal["default", "unconfined"] = "default"
    seccomp_profile: str = ""
    read_only: bool = False
    init: bool = False
    tty: bool = False
    stdin_open: bool = False
    stdin_once: bool = False
    auto_remove: bool = False
    entrypoint_length: int = 0
    exposed_ports: tuple[str, ...] = ()
    devices: tuple[Device, ...] = ()
    device_rules: tuple[str, ...] = ()
    pid_mode: str = ""
    ipc_mode: str = ""
    uts_mode: Literal["", "host"] = ""
    cgroup_mode: Literal["", "host"] = ""
    unmasked: bool = False
    oom_score_adj: int = 0
    log: LogPolicy = field(default_factory=LogPolicy)
    post_start: tuple[Hook, ...] = ()
    pre_stop: tuple[Hook, ...] = ()
    origin: Mapping[str, SourceRange] = field(default_factory=lambda: MappingProxyType({}), compare=False, hash=False)


def namespace_owners(spec: ContainerSpec) -> tuple[str, ...]:
    """Return the names of the other containers in whose namespaces one runs: of network, processes or IPC."""
    found = [spec.networking.container] if isinstance(spec.networking, ShareNetwork) else []
    found += [
        mode.removeprefix("container:") for mode in (spec.pid_mode, spec.ipc_mode) if mode.startswith("container:")
    ]
    return tuple(dict.fromkeys(found))
