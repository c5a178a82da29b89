"""System calls that Python 3.11 does not offer, one thin wrapper each.

Every wrapper raises OSError with errno and the path or name concerned. Paths are ``str`` or ``bytes``;
nothing here looks anything up, so all of it may be called after entering a container.
Numbers are those of x86_64 and aarch64, which share every call added since Linux 5.0.
"""

from __future__ import annotations

import ctypes
import os
import platform
from typing import Final

MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_SYNCHRONOUS: Final = 16
MS_REMOUNT: Final = 32
MS_NOATIME: Final = 1024
MS_NODIRATIME: Final = 2048
MS_BIND: Final = 4096
MS_MOVE: Final = 8192
MS_REC: Final = 16384
MS_UNBINDABLE: Final = 1 << 17
MS_PRIVATE: Final = 1 << 18
MS_SLAVE: Final = 1 << 19
MS_SHARED: Final = 1 << 20
MS_RELATIME: Final = 1 << 21
MS_STRICTATIME: Final = 1 << 24
MNT_DETACH: Final = 2

CLONE_NEWTIME: Final = 0x00000080
CLONE_NEWNS: Final = 0x00020000
CLONE_NEWCGROUP: Final = 0x02000000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000

OPEN_TREE_CLONE: Final = 1
AT_RECURSIVE: Final = 0x8000
AT_EMPTY_PATH: Final = 0x1000
AT_SYMLINK_NOFOLLOW: Final = 0x100
MOVE_MOUNT_F_EMPTY_PATH: Final = 0x4
MOVE_MOUNT_T_EMPTY_PATH: Final = 0x40
MOUNT_ATTR_RDONLY: Final = 0x1
MOUNT_ATTR_NOSUID: Final = 0x2
MOUNT_ATTR_NODEV: Final = 0x4
MOUNT_ATTR_NOEXEC: Final = 0x8

RESOLVE_NO_XDEV: Final = 0x01
RESOLVE_NO_MAGICLINKS: Final = 0x02
RESOLVE_NO_SYMLINKS: Final = 0x04
RESOLVE_BENEATH: Final = 0x08
RESOLVE_IN_ROOT: Final = 0x10

PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4
PR_SET_KEEPCAPS: Final = 8
PR_SET_NAME: Final = 15
PR_CAPBSET_READ: Final = 23
PR_CAPBSET_DROP: Final = 24
PR_SET_CHILD_SUBREAPER: Final = 36
PR_SET_NO_NEW_PRIVS: Final = 38
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_CLEAR_ALL: Final = 4

_FALLOC_FL_KEEP_SIZE: Final = 1
_FALLOC_FL_PUNCH_HOLE: Final = 2

_MACHINE: Final = platform.machine()
_IS_X86: Final = _MACHINE == "x86_64"
NR_RT_SIGACTION: Final = 13 if _IS_X86 else 134
NR_PIVOT_ROOT: Final = 155 if _IS_X86 else 41
NR_SETNS: Final = 308 if _IS_X86 else 268
NR_BPF: Final = 321 if _IS_X86 else 280
NR_SECCOMP: Final = 317 if _IS_X86 else 277
NR_CAPSET: Final = 126 if _IS_X86 else 91
NR_CAPGET: Final = 125 if _IS_X86 else 90
NR_KEYCTL: Final = 250 if _IS_X86 else 219
NR_SETGROUPS: Final = 116 if _IS_X86 else 159
NR_OPEN_TREE: Final = 428
NR_MOVE_MOUNT: Final = 429
NR_FSOPEN: Final = 430
NR_FSCONFIG: Final = 431
NR_FSMOUNT: Final = 432
NR_CLONE3: Final = 435
NR_CLOSE_RANGE: Final = 436
NR_OPENAT2: Final = 437
NR_MOUNT_SETATTR: Final = 442

_libc: Final = ctypes.CDLL(None, use_errno=True)
_syscall: Final = _libc.syscall
_syscall.restype = ctypes.c_long

PathLike = str | bytes


def _bytes(path: PathLike) -> bytes:
    # os.fsencode would consult the codec registry, which may import; utf-8 is built in.
    return path if isinstance(path, bytes) else path.encode("utf-8", "surrogateescape")


def _failure(what: PathLike) -> OSError:
    number = ctypes.get_errno()
    name = what.decode("utf-8", "surrogateescape") if isinstance(what, bytes) else what
    return OSError(number, os.strerror(number), name)


def syscall(number: int, *arguments: int | bytes | object, what: PathLike = "") -> int:
    """Make a raw system call; integers are passed as longs, bytes and ctypes objects by address."""
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = _syscall(ctypes.c_long(number), *converted)
    if result < 0:
        raise _failure(what)
    return result


def mount(source: PathLike, target: PathLike, kind: PathLike, flags: int = 0, data: PathLike = b"") -> None:
    """mount(2). ``data`` is cut by the kernel at one page: check its length before."""
    done = _libc.mount(
        _bytes(source), _bytes(target), _bytes(kind), ctypes.c_ulong(flags), _bytes(data) if data else None
    )
    if done < 0:
        raise _failure(target)


def umount(target: PathLike, flags: int = MNT_DETACH) -> None:
    """umount2(2)."""
    if _libc.umount2(_bytes(target), flags) < 0:
        raise _failure(target)


def punch_hole(fd: int, offset: int, length: int) -> None:
    """Free the room of a part of a file, which reads as zeros afterwards; the file keeps its length. fallocate(2)."""
    arguments = (ctypes.c_long(offset), ctypes.c_long(length))
    if _libc.fallocate(ctypes.c_int(fd), ctypes.c_int(_FALLOC_FL_PUNCH_HOLE | _FALLOC_FL_KEEP_SIZE), *arguments) < 0:
        raise _failure("fallocate")


def pivot_root(new_root: PathLike, put_old: PathLike) -> None:
    """pivot_root(2)."""
    syscall(NR_PIVOT_ROOT, _bytes(new_root), _bytes(put_old), what=new_root)


def unshare(flags: int) -> None:
    """unshare(2)."""
    if _libc.unshare(ctypes.c_int(flags)) < 0:
        raise _failure("unshare")


def setns(fd: int, kinds: int = 0) -> None:
    """setns(2); ``fd`` is a namespace file, or a pidfd with the ``CLONE_NEW*`` bits in ``kinds``."""
    syscall(NR_SETNS, fd, kinds, what="setns")


def prctl(option: int, first: int = 0, second: int = 0, third: int = 0, fourth: int = 0) -> int:
    """prctl(2)."""
    result: int = _libc.prctl(
        ctypes.c_int(option),
        ctypes.c_ulong(first),
        ctypes.c_ulong(second),
        ctypes.c_ulong(third),
        ctypes.c_ulong(fourth),
    )
    if result < 0:
        raise _failure("prctl")
    return result


def sethostname(name: bytes) -> None:
    """sethostname(2), at most 64 bytes."""
    if _libc.sethostname(name, ctypes.c_size_t(len(name))) < 0:
        raise _failure(name)


def setdomainname(name: bytes) -> None:
    """setdomainname(2), at most 64 bytes."""
    if _libc.setdomainname(name, ctypes.c_size_t(len(name))) < 0:
        raise _failure(name)


def open_tree(directory: int, path: PathLike, flags: int = OPEN_TREE_CLONE) -> int:
    """open_tree(2): a descriptor for a mount, detached and copied with OPEN_TREE_CLONE; close-on-exec."""
    return syscall(NR_OPEN_TREE, directory, _bytes(path), flags | os.O_CLOEXEC, what=path)


def move_mount(mount_fd: int, target_fd: int) -> None:
    """move_mount(2) of a detached mount onto what ``target_fd`` (O_PATH) refers to; no path is walked."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    syscall(NR_MOVE_MOUNT, mount_fd, b"", target_fd, b"", flags, what="move_mount")


def mount_setattr(fd: int, *, set_attributes: int = 0, propagation: int = 0, is_recursive: bool = False) -> None:
    """mount_setattr(2) on the mount ``fd`` refers to. Linux 5.12."""
    attributes = (ctypes.c_uint64 * 4)(set_attributes, 0, propagation, 0)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if is_recursive else 0)
    size = ctypes.sizeof(attributes)
    syscall(NR_MOUNT_SETATTR, fd, b"", flags, ctypes.byref(attributes), size, what="mount_setattr")


def openat2(directory: int, path: PathLike, flags: int, *, mode: int = 0, resolve: int = RESOLVE_IN_ROOT) -> int:
    """openat2(2), always close-on-exec. With RESOLVE_IN_ROOT, ``directory`` is the root for every link."""
    how = (ctypes.c_uint64 * 3)(flags | os.O_CLOEXEC, mode, resolve)
    return syscall(NR_OPENAT2, directory, _bytes(path), ctypes.byref(how), ctypes.sizeof(how), what=path)


def close_range(first: int, last: int = 0xFFFFFFFF, *, only_mark_cloexec: bool = False) -> None:
    """close_range(2): close, or mark close-on-exec, every descriptor from ``first`` to ``last``."""
    syscall(NR_CLOSE_RANGE, first, last, 4 if only_mark_cloexec else 0, what="close_range")


def reset_internal_signals() -> None:
    """Give signals 32 and 33 their default action: posix_spawn of the C library leaves them ignored, and hides them."""
    default = (ctypes.c_uint64 * 4)()
    for number in (32, 33):
        syscall(NR_RT_SIGACTION, number, ctypes.byref(default), 0, 8, what="rt_sigaction")


def join_new_session_keyring() -> None:
    """Leave the caller's session keyring for a fresh one (keyctl(2), KEYCTL_JOIN_SESSION_KEYRING)."""
    syscall(NR_KEYCTL, 1, 0, what="session keyring")


def setgroups(groups: tuple[int, ...]) -> None:
    """setgroups(2), the raw call: os.setgroups refuses more groups than this process may have."""
    array = (ctypes.c_uint32 * max(1, len(groups)))(*groups)
    syscall(NR_SETGROUPS, len(groups), ctypes.byref(array), what="setgroups")
