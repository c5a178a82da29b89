"""InitPlan: everything the child needs, decided and looked up by the parent before it is born.

Plain tuples and bytes: after clone3 nothing may be imported, decoded by name or asked of NSS.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from stackctl.runtime.kernel.seccomp import PreparedFilter

# Stages, in order; the number travels through the error pipe.
STAGES: Final = (
    "start",
    "cgroup",
    "network",
    "root file system",
    "proc, sys and dev",
    "mount",
    "device",
    "volume content",
    "masks",
    "pivot",
    "terminal",
    "host name",
    "sysctl",
    "resource limit",
    "user",
    "working directory",
    "seccomp",
    "capabilities",
    "exec",
)
STAGE: Final = {name: number for number, name in enumerate(STAGES)}


class OverlayMount(NamedTuple):
    """Layers, lowest first, under ``upper``; ``layer_parent`` is the folder that layer names are relative to.

    Without ``upper`` nothing can be written.
    """

    layer_parent: bytes
    layers: tuple[bytes, ...]
    upper: bytes
    work: bytes


class DeviceMount(NamedTuple):
    """A file system that is mounted on a bind's source first, for this container alone: arguments of mount(2)."""

    kind: bytes
    device: bytes
    flags: int
    data: bytes


class Bind(NamedTuple):
    """A host path seen at ``target`` in the container.

    ``below`` is a path inside ``source`` that whoever writes there chose: it is never followed out of it.
    ``is_alone`` leaves out what is mounted below it, ``is_writable_below`` does not make that read-only.
    ``source_fd`` >= 0 is a mount tree that was copied already. ``attributes`` are MOUNT_ATTR_* besides read-only.
    """

    source: bytes
    target: bytes
    is_read_only: bool
    below: bytes = b""
    source_fd: int = -1
    propagation: int = 0
    attributes: int = 0
    seed_from_image: bool = False
    file_system: DeviceMount | None = None
    is_alone: bool = False
    is_writable_below: bool = False


class Tmpfs(NamedTuple):
    """A tmpfs at ``target``; ``data`` is the mount option text.

    Unless it ``has_mode``, its mode is that of the directory it covers, 1777 when there is none.
    """

    target: bytes
    flags: int
    data: bytes
    has_mode: bool = True


InitMount: TypeAlias = Bind | Tmpfs


class DeviceNode(NamedTuple):
    """A device node made under /dev."""

    path: bytes
    mode: int
    major: int
    minor: int
    uid: int = 0
    gid: int = 0


class ProcessPlan(NamedTuple):
    """How a process inside the container looks: the same for its first and for one that enters later.

    ``user`` is ``name|uid[:name|gid]`` and ``groups`` are extra ones, looked up in the image by us.
    ``bounding`` is a capability mask; a user other than root has none of it in effect. ``seccomp`` is what
    ``kernel.seccomp`` prepared, None for no filter. ``rlimits`` holds (name, number, soft, hard). The three
    standard descriptors are -1 where a terminal takes their place; stdin is -1 for the container's own
    /dev/null too. ``error_fd`` takes one report or closes on success; ``channel_fd`` is a socket to the parent.
    """

    argv: tuple[bytes, ...]
    env: tuple[bytes, ...]
    user: str
    groups: tuple[str, ...]
    working_dir: bytes
    bounding: int
    no_new_privileges: bool
    seccomp: PreparedFilter | None
    rlimits: tuple[tuple[bytes, int, int, int], ...]
    oom_score_adj: int
    has_terminal: bool
    stdin_fd: int
    stdout_fd: int
    stderr_fd: int
    error_fd: int
    channel_fd: int
    cgroup_join_fds: tuple[int, ...] = ()
    init_fd: int = -1


class InitPlan(NamedTuple):
    """All the first process does. Paths are absolute; descriptors are open in the parent and survive clone.

    ``network_pidfd`` and ``ipc_pidfd`` are processes whose namespace is joined, -1 for none. Without a ``hostname``
    it is the host's. ``cgroup_binds`` (source,
    name) are shown under /sys/fs/cgroup where there is no cgroup2. ``sysctls`` holds (name, path, value).
    """

    process: ProcessPlan
    mountpoint: bytes
    root: OverlayMount
    host_binds: tuple[Bind, ...]
    is_root_read_only: bool
    etc_binds: tuple[Bind, ...]
    mounts: tuple[InitMount, ...]
    devices: tuple[DeviceNode, ...]
    masked: tuple[bytes, ...]
    read_only: tuple[bytes, ...]
    is_privileged: bool
    shares_host_ipc: bool
    shm_bytes: int
    cgroup_binds: tuple[tuple[bytes, bytes], ...]
    cgroup_is_v2: bool
    hostname: bytes
    domainname: bytes
    sysctls: tuple[tuple[bytes, bytes, bytes], ...]
    network_pidfd: int = -1
    ipc_pidfd: int = -1
    has_cgroup_namespace: bool = True


class EnterPlan(NamedTuple):
    """A further process in a running container, whose first process is ``pidfd``."""

    process: ProcessPlan
    pidfd: int
    namespaces: int
