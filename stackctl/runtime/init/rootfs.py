"""The container's file systems, up to the moment it becomes the root."""

from __future__ import annotations

import os
from typing import Final

from stackctl.runtime.init import paths, seed
from stackctl.runtime.init.plan import Bind, DeviceNode, InitMount, InitPlan, OverlayMount, Tmpfs
from stackctl.runtime.kernel import libc

_PAGE: Final = 4096
# What some kernels do unless told otherwise makes of a folder that was moved, or a file whose owner has changed, a
# reference to layers below: a copy of the upper folder, as a build or `docker diff` takes it, would not hold it.
_PLAIN: Final = b"redirect_dir=off,metacopy=off,index=off"
_OPTION_BYTES: Final = len(b"lowerdir=,\0")
_SAFE: Final = libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC
_DEV_LINKS: Final = (
    (b"/proc/self/fd", b"fd"),
    (b"/proc/self/fd/0", b"stdin"),
    (b"/proc/self/fd/1", b"stdout"),
    (b"/proc/self/fd/2", b"stderr"),
    (b"pts/ptmx", b"ptmx"),
)
_NO_CODE: Final = libc.MOUNT_ATTR_NOSUID | libc.MOUNT_ATTR_NODEV | libc.MOUNT_ATTR_NOEXEC


def stop_propagation() -> None:
    """Receive unmounts from the host, send it nothing."""
    # State: our own mount namespace, still a copy of the host's tree, shared as the host has it.
    # Threat: a mount made below would appear on the host. Private would pin mounts the host removes.
    # Order: before any mount. Source: mount_namespaces(7).
    libc.mount(b"", b"/", b"", libc.MS_REC | libc.MS_SLAVE)


def mount_overlay(overlay: OverlayMount, mountpoint: bytes) -> int:
    """Mount the layers at ``mountpoint`` and return a descriptor of the new root directory."""
    # Layer names are relative to their folder, as the kernel cuts the option text at one page.
    os.chdir(overlay.layer_parent)
    lower = b":".join(reversed(overlay.layers))
    above = b""
    if overlay.upper:
        above = b",upperdir=%s,workdir=%s,%s" % (_escape(overlay.upper), _escape(overlay.work), _PLAIN)
    opened: list[int] = []
    if len(lower) + len(above) + _OPTION_BYTES > _PAGE:
        # Their descriptors have still shorter names, in a folder of their own.
        opened = [os.open(layer, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for layer in overlay.layers]
        os.chdir(b"/proc/self/fd")
        lower = b":".join([b"%d" % fd for fd in reversed(opened)])
    libc.mount(b"overlay", mountpoint, b"overlay", 0, b"lowerdir=%s%s" % (lower, above))
    for fd in opened:
        os.close(fd)
    os.chdir(b"/")
    return os.open(mountpoint, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _escape(path: bytes) -> bytes:
    return path.replace(b"\\", b"\\\\").replace(b",", b"\\,")


def mount_proc(root: int) -> None:
    """Mount /proc of the new pid namespace."""
    _mount_at(root, b"/proc", b"proc", _SAFE)


def mount_dev(root: int) -> None:
    """Mount /dev with its links and /dev/pts."""
    _mount_at(root, b"/dev", b"tmpfs", libc.MS_NOSUID | libc.MS_STRICTATIME, b"mode=755,size=65536k")
    dev = paths.open_in_root(root, b"/dev", os.O_RDONLY | os.O_DIRECTORY)
    for destination, name in _DEV_LINKS:
        os.symlink(destination, name, dir_fd=dev)
    if _exists(root, b"/proc/kcore"):
        os.symlink(b"/proc/kcore", b"core", dir_fd=dev)
    os.close(dev)
    pts = b"newinstance,ptmxmode=0666,mode=0620,gid=5"
    _mount_at(root, b"/dev/pts", b"devpts", libc.MS_NOSUID | libc.MS_NOEXEC, pts)


def shared_memory_of(pidfd: int) -> int:
    """Return a copy of the mount /dev/shm of the container whose first process is ``pidfd``."""
    # State: our own mount namespace, with one thread. A tree can only be copied in the namespace it is mounted in.
    own = os.open(b"/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc.setns(pidfd, libc.CLONE_NEWNS)
        return libc.open_tree(-100, b"/dev/shm", libc.OPEN_TREE_CLONE)
    finally:
        libc.setns(own, libc.CLONE_NEWNS)
        os.close(own)


def mount_shared_memory(root: int, plan: InitPlan, shared: int = -1) -> None:
    """Mount /dev/shm and /dev/mqueue; ``shared`` is the /dev/shm of another container, -1 for an own one."""
    if plan.shares_host_ipc:
        bind(root, Bind(b"/dev/shm", b"/dev/shm", False))
        return
    if shared >= 0:
        bind(root, Bind(b"", b"/dev/shm", False, source_fd=shared))
    else:
        _mount_at(root, b"/dev/shm", b"tmpfs", _SAFE, b"mode=1777,size=%d" % plan.shm_bytes)
    _mount_at(root, b"/dev/mqueue", b"mqueue", _SAFE)


def _exists(root: int, path: bytes) -> bool:
    try:
        os.close(paths.open_in_root(root, path))
    except FileNotFoundError:
        return False
    return True


def make_device(root: int, node: DeviceNode) -> None:
    """Make a device node below /dev, with its folder where missing."""
    folder, _, name = node.path.rpartition(b"/")
    parent = paths.make_directory(root, b"/dev/" + folder)
    try:
        os.mknod(name, node.mode, os.makedev(node.major, node.minor), dir_fd=parent)
        os.chmod(name, node.mode & 0o7777, dir_fd=parent)
        if node.uid or node.gid:
            os.chown(name, node.uid, node.gid, dir_fd=parent, follow_symlinks=False)
    finally:
        os.close(parent)


def mount_sys(root: int, plan: InitPlan) -> None:
    """Mount /sys and the cgroup file systems, read-only but for a privileged container."""
    read_only = 0 if plan.is_privileged else libc.MS_RDONLY
    _mount_at(root, b"/sys", b"sysfs", _SAFE | read_only)
    if plan.cgroup_is_v2:
        _mount_at(root, b"/sys/fs/cgroup", b"cgroup2", _SAFE | libc.MS_RELATIME | read_only)
        return
    if not plan.cgroup_binds:
        return
    _mount_at(root, b"/sys/fs/cgroup", b"tmpfs", _SAFE, b"mode=755,size=64k")
    for source, name in plan.cgroup_binds:
        bind(root, Bind(source, b"/sys/fs/cgroup/" + name, not plan.is_privileged, attributes=_NO_CODE))
    if read_only:
        target = paths.open_in_root(root, b"/sys/fs/cgroup")
        libc.mount_setattr(target, set_attributes=libc.MOUNT_ATTR_RDONLY)
        os.close(target)


def _mount_at(root: int, path: bytes, kind: bytes, flags: int, data: bytes = b"") -> None:
    target = paths.make_directory(root, path)
    try:
        libc.mount(kind, paths.through_proc(target), kind, flags, data)
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(target)


def mount_tmpfs(root: int, item: Tmpfs, forbidden: frozenset[int]) -> None:
    """Mount an empty tmpfs for the user."""
    try:
        target = paths.open_in_root(root, item.target, os.O_PATH | os.O_DIRECTORY)
        mode = os.fstat(target).st_mode & 0o7777
    except FileNotFoundError:
        target, mode = paths.make_directory(root, item.target), 0o1777
    _refuse(target, item.target, forbidden)
    data = item.data if item.has_mode else b"mode=%o,%s" % (mode, item.data)
    libc.mount(b"tmpfs", paths.through_proc(target), b"tmpfs", item.flags, data.rstrip(b","))
    os.close(target)


def bind(root: int, item: Bind, forbidden: frozenset[int] = frozenset()) -> None:
    """Attach a copy of a host path's mount tree at the target, whose mountpoint is made if missing.

    ``forbidden`` are devices, as ``kernel_devices`` returns them, that nothing may be mounted over.
    """
    if item.file_system is not None:
        kind, device, flags, data = item.file_system
        libc.mount(device, item.source, kind, flags, data)
    source = item.source_fd if item.source_fd >= 0 else _copy_tree(item)
    is_directory = paths.is_directory(source)
    # Where the image has nothing, a volume keeps its own owner and mode.
    is_seeded = item.seed_from_image and is_directory and _exists(root, item.target)
    make = paths.make_directory if is_directory else paths.make_file
    target = make(root, item.target)
    _refuse(target, item.target, forbidden)
    if is_seeded:
        seed.fill_if_empty(source, root, item.target)
    attributes = item.attributes | (libc.MOUNT_ATTR_RDONLY if item.is_read_only else 0)
    if attributes:
        libc.mount_setattr(source, set_attributes=attributes, is_recursive=not item.is_writable_below)
    libc.mount_setattr(source, propagation=item.propagation or libc.MS_PRIVATE, is_recursive=True)
    libc.move_mount(source, target)
    os.close(source)
    os.close(target)


def _copy_tree(item: Bind) -> int:
    flags = libc.OPEN_TREE_CLONE | (0 if item.is_alone else libc.AT_RECURSIVE)
    if not item.below:
        return libc.open_tree(-100, item.source, flags)
    folder = os.open(item.source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    inside = paths.open_in_root(folder, item.below)
    try:
        return libc.open_tree(inside, b"", flags | libc.AT_EMPTY_PATH)
    finally:
        os.close(inside)
        os.close(folder)


def copy_if_shared(item: InitMount) -> InitMount:
    """Copy the tree of a shared bind now, while it still is a peer of the host's: call before stop_propagation."""
    if isinstance(item, Bind) and item.propagation == libc.MS_SHARED:
        return item._replace(source_fd=_copy_tree(item))
    return item


def kernel_devices(root: int) -> frozenset[int]:
    """Return the device numbers of /proc and /sys of the new root."""
    devices = set()
    for name in (b"/proc", b"/sys"):
        fd = paths.open_in_root(root, name)
        devices.add(os.fstat(fd).st_dev)
        os.close(fd)
    return frozenset(devices)


def _refuse(target: int, path: bytes, forbidden: frozenset[int]) -> None:
    # Threat: a volume over /proc fakes what we and the container trust (CVE-2019-16884), also when the image
    # makes the target a link into /proc. The device of what was really opened cannot be faked.
    if os.fstat(target).st_dev in forbidden:
        raise ValueError("nothing may be mounted over /proc or /sys: " + path.decode("utf-8", "replace"))


def hide(root: int, masked: tuple[bytes, ...], read_only: tuple[bytes, ...]) -> None:
    """Cover paths with nothing, and make others read-only."""
    null = os.open(b"/dev/null", os.O_PATH | os.O_CLOEXEC)
    # Threat: a container that made its own /dev/null a link had the mask bound elsewhere (CVE-2025-31133):
    # the host's is opened, and checked to be the device.
    status = os.fstat(null)
    if status.st_rdev != os.makedev(1, 3):
        raise OSError(22, "is not the null device", "/dev/null")
    for path in masked:
        _mask(root, path, null)
    for path in read_only:
        _make_read_only(root, path)
    os.close(null)


def _mask(root: int, path: bytes, null: int) -> None:
    try:
        target = paths.open_in_root(root, path)
    except (FileNotFoundError, NotADirectoryError):
        return
    if paths.is_directory(target):
        flags = libc.MS_RDONLY | _SAFE
        libc.mount(b"tmpfs", paths.through_proc(target), b"tmpfs", flags, b"size=0k,nr_inodes=1")
    else:
        cover = libc.open_tree(null, b"", libc.OPEN_TREE_CLONE | libc.AT_EMPTY_PATH)
        libc.move_mount(cover, target)
        os.close(cover)
    os.close(target)


def _make_read_only(root: int, path: bytes) -> None:
    try:
        target = paths.open_in_root(root, path)
    except (FileNotFoundError, NotADirectoryError):
        return
    flags = libc.OPEN_TREE_CLONE | libc.AT_EMPTY_PATH | libc.AT_RECURSIVE
    copy = libc.open_tree(target, b"", flags)
    libc.mount_setattr(copy, set_attributes=libc.MOUNT_ATTR_RDONLY, is_recursive=True)
    libc.move_mount(copy, target)
    os.close(copy)
    os.close(target)


def make_root_read_only(root: int) -> None:
    """Make the root mount itself, not what is mounted on it, read-only."""
    libc.mount_setattr(root, set_attributes=libc.MOUNT_ATTR_RDONLY)


def pivot(root: int) -> None:
    """Make ``root`` the root, and let go of the host's tree."""
    # State: root is a mount of ours, and nothing of the host's is needed by name any more.
    # Threat: with chroot alone the host's tree stays reachable (chroot(2), "escape").
    # Order: fchdir first, so that "." is both the new root and the place the old one is put at and taken from.
    # Source: pivot_root(2), 'pivot_root(".", ".")'.
    os.fchdir(root)
    libc.pivot_root(b".", b".")
    libc.umount(b".", libc.MNT_DETACH)
    os.chdir(b"/")
