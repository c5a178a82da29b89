"""From a ContainerSpec to the InitPlan: every decision and look-up that can be made outside the container."""

from __future__ import annotations

import os
import stat
from functools import lru_cache
from typing import Final

from stackctl.errors import ContainerError
from stackctl.model.container import (
    BindMount,
    ContainerSpec,
    ContentMount,
    Device,
    HostNetwork,
    ShareNetwork,
    TmpfsMount,
    VolumeMount,
)
from stackctl.model.root import HostRoot, OverlayRoot
from stackctl.runtime.init.plan import (
    Bind,
    DeviceMount,
    DeviceNode,
    InitMount,
    InitPlan,
    OverlayMount,
    ProcessPlan,
    Tmpfs,
)
from stackctl.runtime.kernel import capabilities, devices, libc, rlimits, seccomp, seccomp_json
from stackctl.runtime.record import Container
from stackctl.runtime.volume_options import Bound, FileSystem, source_of
from stackctl.runtime.volumes import VolumeStore

DOCKER_SOCKETS: Final = ("/var/run/docker.sock", "/run/docker.sock")
MASKED: Final = (
    b"/proc/acpi",
    b"/proc/asound",
    b"/proc/interrupts",
    b"/proc/kcore",
    b"/proc/keys",
    b"/proc/latency_stats",
    b"/proc/sched_debug",
    b"/proc/scsi",
    b"/proc/timer_list",
    b"/proc/timer_stats",
    b"/sys/devices/virtual/powercap",
    b"/sys/firmware",
)
READ_ONLY: Final = (b"/proc/bus", b"/proc/fs", b"/proc/irq", b"/proc/sys", b"/proc/sysrq-trigger")
DEFAULT_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ETC_FILES: Final = ("hosts", "hostname", "resolv.conf")
_PROPAGATION: Final = {
    "": libc.MS_PRIVATE,
    "private": libc.MS_PRIVATE,
    "rprivate": libc.MS_PRIVATE,
    "slave": libc.MS_SLAVE,
    "rslave": libc.MS_SLAVE,
    "shared": libc.MS_SHARED,
    "rshared": libc.MS_SHARED,
}
_IPC_SYSCTLS: Final = ("kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue.")
_TMPFS_FLAGS: Final = {
    "ro": libc.MS_RDONLY,
    "rw": 0,
    "noexec": libc.MS_NOEXEC,
    "exec": 0,
    "nosuid": libc.MS_NOSUID,
    "suid": 0,
    "nodev": libc.MS_NODEV,
    "dev": 0,
}


def encode(text: str) -> bytes:
    """Return ``text`` as the kernel sees it."""
    return text.encode("utf-8", "surrogateescape")


def process_plan(
    spec: ContainerSpec,
    *,
    argv: tuple[str, ...],
    env: tuple[str, ...],
    user: str,
    working_dir: str,
    has_terminal: bool,
    is_privileged: bool,
    descriptors: tuple[int, int, int],
    error_fd: int,
    channel_fd: int,
    cgroup_join_fds: tuple[int, ...],
    init_fd: int = -1,
) -> ProcessPlan:
    """Return the plan of a process in ``spec``'s container. Raises ContainerError for a name it cannot resolve."""
    held = _capabilities(spec, is_privileged)
    unconfined = is_privileged or spec.seccomp == "unconfined"
    stdin_fd, stdout_fd, stderr_fd = descriptors
    return ProcessPlan(
        argv=tuple(map(encode, argv)),
        env=tuple(map(encode, env)),
        user=user,
        groups=spec.group_add,
        working_dir=encode(working_dir) or b"/",
        bounding=capabilities.mask(held),
        no_new_privileges=spec.no_new_privileges,
        seccomp=None if unconfined else _filter(spec, held),
        rlimits=_rlimits(spec),
        oom_score_adj=spec.oom_score_adj,
        has_terminal=has_terminal,
        stdin_fd=stdin_fd,
        stdout_fd=stdout_fd,
        stderr_fd=stderr_fd,
        error_fd=error_fd,
        channel_fd=channel_fd,
        cgroup_join_fds=cgroup_join_fds,
        init_fd=init_fd,
    )


def _filter(spec: ContainerSpec, held: frozenset[str]) -> seccomp.PreparedFilter:
    if not spec.seccomp_profile:
        return seccomp.prepare_default(held)
    try:
        return seccomp_json.prepare(spec.seccomp_profile, held)
    except ValueError as error:
        message = f"container {spec.name}: the seccomp profile {error}"
        raise ContainerError(message, code="seccomp-profile", field="seccomp_profile") from error


def _capabilities(spec: ContainerSpec, is_privileged: bool) -> frozenset[str]:
    try:
        return capabilities.resolve(spec.cap_add, spec.cap_drop, is_privileged)
    except ValueError as error:
        message, field = f"container {spec.name}: {error}", _impossible_capability(spec)
        raise ContainerError(message, code="unknown-capability", field=field) from error


def _impossible_capability(spec: ContainerSpec) -> str:
    for field in ("cap_add", "cap_drop"):
        for name in getattr(spec, field):
            try:
                capabilities.resolve((name,), (), False)
            except ValueError:
                return f"{field}.{name}"
    return ""


def _rlimits(spec: ContainerSpec) -> tuple[tuple[bytes, int, int, int], ...]:
    found = []
    for ulimit in spec.ulimits:
        try:
            found.append((encode(ulimit.name), *rlimits.prepare(ulimit)))
        except ValueError as error:
            message, field = f"container {spec.name}: {error}", f"ulimits.{ulimit.name}"
            raise ContainerError(message, code="unknown-ulimit", field=field) from error
    return tuple(found)


def container_env(spec: ContainerSpec, hostname: str) -> tuple[str, ...]:
    """Return the environment with what Docker adds: PATH, HOSTNAME, and TERM with a terminal."""
    extra = [DEFAULT_PATH, f"HOSTNAME={hostname}"]
    if spec.tty:
        extra.append("TERM=xterm")
    return (*extra, *spec.env)


def hostname_of(container: Container) -> str:
    """Return the host name: as asked, else the first 12 digits of the id; the machine's for who shares it."""
    if container.spec.uts_mode == "host":
        return os.uname().nodename
    return container.spec.hostname or container.id[:12]


def init_plan(
    container: Container,
    process: ProcessPlan,
    *,
    folder: str,
    volumes: VolumeStore,
    api_socket: str,
    cgroup_binds: tuple[tuple[bytes, bytes], ...],
    cgroup_is_v2: bool,
    network_pidfd: int,
    ipc_pidfd: int = -1,
) -> InitPlan:
    """Return the whole plan for the first process. Raises ContainerError for what cannot be mounted."""
    spec = container.spec
    targets = {os.path.normpath(mount.target) for mount in spec.mounts}
    etc = tuple(
        Bind(encode(f"{folder}/etc/{name}"), encode(f"/etc/{name}"), False)
        for name in _ETC_FILES
        if f"/etc/{name}" not in targets
    )
    hide = not (spec.privileged or spec.unmasked)
    return InitPlan(
        process=process,
        mountpoint=encode(f"{folder}/rootfs"),
        root=overlay_of(container.root, folder),
        host_binds=_host_binds(container.root),
        is_root_read_only=spec.read_only,
        etc_binds=etc,
        mounts=_mounts(container, folder, volumes, api_socket),
        devices=_devices(spec),
        masked=(*MASKED, *_thermal_throttles()) if hide else (),
        read_only=READ_ONLY if hide else (),
        is_privileged=spec.privileged,
        shares_host_ipc=spec.ipc_mode == "host",
        shm_bytes=spec.shm_size_bytes,
        cgroup_binds=cgroup_binds,
        cgroup_is_v2=cgroup_is_v2,
        hostname=b"" if spec.uts_mode == "host" else encode(hostname_of(container)),
        domainname=encode(spec.domainname),
        sysctls=_sysctls(spec),
        network_pidfd=network_pidfd,
        ipc_pidfd=ipc_pidfd,
        has_cgroup_namespace=spec.cgroup_mode != "host",
    )


@lru_cache(maxsize=1)
def _thermal_throttles() -> tuple[bytes, ...]:
    """Return the folders that count when each processor was too hot: a side channel to other containers."""
    found = (entry.path + b"/thermal_throttle" for entry in os.scandir(b"/sys/devices/system/cpu"))
    return tuple(path for path in found if os.path.isdir(path))


def overlay_of(root: OverlayRoot | HostRoot, folder: str) -> OverlayMount:
    """Return the overlay of a container whose own folder is ``folder``."""
    upper, work = encode(f"{folder}/upper"), encode(f"{folder}/work")
    return _overlay(layers_of(root), upper, work)


def frozen_overlay(root: OverlayRoot | HostRoot, folder: str) -> OverlayMount:
    """Return the same as it is now, to be looked at: also while the container runs."""
    return _overlay((*layers_of(root), f"{folder}/upper"), b"", b"")


def layers_of(root: OverlayRoot | HostRoot) -> tuple[str, ...]:
    """Return the folders a root is stacked of, the lowest first."""
    return (root.skeleton, *root.layers) if isinstance(root, HostRoot) else root.layers


def _overlay(layers: tuple[str, ...], upper: bytes, work: bytes) -> OverlayMount:
    parent = os.path.commonpath([os.path.dirname(layer) for layer in layers])
    names = tuple(encode(os.path.relpath(layer, parent)) for layer in layers)
    return OverlayMount(encode(parent), names, upper, work)


def _host_binds(root: OverlayRoot | HostRoot) -> tuple[Bind, ...]:
    if isinstance(root, OverlayRoot):
        return ()
    return tuple(Bind(encode(bind.source), encode(bind.target), True) for bind in root.binds)


def _mounts(container: Container, folder: str, volumes: VolumeStore, api_socket: str) -> tuple[InitMount, ...]:
    found: list[InitMount] = []
    ordered = sorted(enumerate(container.spec.mounts), key=lambda item: item[1].target.rstrip("/").count("/"))
    for index, mount in ordered:
        match mount:
            case BindMount():
                found.append(_bind(container, mount, api_socket))
            case VolumeMount():
                found.append(_volume(container, mount, volumes))
            case TmpfsMount():
                found.append(_tmpfs(container, mount))
            case ContentMount():
                found.append(Bind(encode(f"{folder}/files/{index}"), encode(mount.target), True))
    return tuple(found)


def _bind(container: Container, mount: BindMount, api_socket: str) -> Bind:
    # Who wants Docker's socket means the engine that runs it: us.
    source = api_socket if mount.source in DOCKER_SOCKETS else mount.source
    if not os.path.lexists(source):
        if not mount.create_source:
            raise ContainerError(
                f"container {container.name}: bind source path does not exist: {source}",
                code="bind-source-missing",
                field=f"mounts.{mount.target}",
            )
        _make_source(container, mount, source)
    propagation = _PROPAGATION.get(mount.propagation, libc.MS_PRIVATE)
    return Bind(
        encode(source),
        encode(mount.target),
        mount.read_only,
        propagation=propagation,
        is_alone=mount.recursive == "disabled",
        is_writable_below=mount.recursive == "writable",
    )


def _make_source(container: Container, mount: BindMount, source: str) -> None:
    try:
        os.makedirs(source, 0o755, exist_ok=True)
    except OSError as error:
        raise ContainerError(
            f"container {container.name}: bind source path cannot be made: {error.filename}: {error.strerror}",
            code="bind-source-missing",
            field=f"mounts.{mount.target}",
        ) from error


def _volume(container: Container, mount: VolumeMount, volumes: VolumeStore) -> Bind:
    volume = volumes.find(mount.volume)
    if volume is None:
        raise ContainerError(
            f"container {container.name}: no such volume: {mount.volume}",
            code="volume-missing",
            field=f"mounts.{mount.target}",
        )
    source = source_of(volume.spec)
    is_remote = isinstance(source, FileSystem) and source.is_remote
    return Bind(
        encode(volume.mountpoint),
        encode(mount.target),
        mount.read_only or (isinstance(source, Bound) and source.is_read_only),
        below=encode(mount.subpath),
        seed_from_image=not mount.nocopy and not mount.subpath,
        file_system=_file_system(source) if isinstance(source, FileSystem) and is_remote else None,
    )


def _file_system(source: FileSystem) -> DeviceMount:
    return DeviceMount(encode(source.kind), encode(source.device), source.flags, encode(source.data))


def _tmpfs(container: Container, mount: TmpfsMount) -> Tmpfs:
    flags = libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC
    data = [] if mount.mode is None else [f"mode={mount.mode:o}"]
    if mount.size_bytes:
        data.append(f"size={mount.size_bytes}")
    for option in mount.options:
        if option in _TMPFS_FLAGS:
            flags |= _TMPFS_FLAGS[option]
            if option in ("exec", "suid", "dev"):
                flags &= ~_TMPFS_FLAGS["no" + option]
        elif option.partition("=")[0] in ("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks"):
            data.append(option)
        else:
            raise ContainerError(
                f"container {container.name}: unknown tmpfs option {option!r}", field=f"mounts.{mount.target}"
            )
    if mount.read_only:
        flags |= libc.MS_RDONLY
    has_mode = any(option.startswith("mode=") for option in data)
    return Tmpfs(encode(mount.target), flags, encode(",".join(data)), has_mode)


def _devices(spec: ContainerSpec) -> tuple[DeviceNode, ...]:
    nodes = [DeviceNode(*node) for node in devices.DEFAULT_NODES]
    if spec.privileged:
        nodes += _host_devices({node.path for node in nodes})
    for device in spec.devices:
        nodes.append(_device(spec, device))
    return tuple(nodes)


def _device(spec: ContainerSpec, device: Device) -> DeviceNode:
    path = device.target.removeprefix("/dev/")
    code, field = "device-missing", f"devices.{path}"
    try:
        status = os.stat(device.source)
    except OSError as error:
        message = f"container {spec.name}: cannot use device {device.source}: {error.strerror}"
        raise ContainerError(message, code=code, field=field) from error
    if not (stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)):
        raise ContainerError(f"container {spec.name}: {device.source} is not a device", code=code, field=field)
    return _node(encode(path), status)


def _node(path: bytes, status: os.stat_result) -> DeviceNode:
    major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    return DeviceNode(path, status.st_mode, major, minor, status.st_uid, status.st_gid)


def _host_devices(known: set[bytes]) -> list[DeviceNode]:
    found = []
    for entry in os.scandir(b"/dev"):
        if entry.name in known or entry.name in (b"ptmx", b"console"):
            continue
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            found.append(_node(entry.name, status))
    return found


def _sysctls(spec: ContainerSpec) -> tuple[tuple[bytes, bytes, bytes], ...]:
    """Return (name, path, value) of what the child sets; ``net.*`` is set by who wires the network."""
    shares_network = isinstance(spec.networking, HostNetwork | ShareNetwork)
    found = []
    for name, value in spec.sysctls:
        is_own_network = name.startswith("net.") and not shares_network
        is_own_ipc = name.startswith(_IPC_SYSCTLS) and not spec.ipc_mode
        if not (is_own_network or is_own_ipc):
            raise ContainerError(
                f"container {spec.name}: sysctl {name} is not of a container's own namespaces",
                code="sysctl-not-namespaced",
                field=f"sysctls.{name}",
                hint="only net.* of an own network, and kernel.msg*, kernel.sem, kernel.shm* and fs.mqueue.* of"
                " an own ipc namespace can be set",
            )
        if is_own_ipc:
            found.append((encode(name), encode("/proc/sys/" + name.replace(".", "/")), encode(value)))
    return tuple(found)
