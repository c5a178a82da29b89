"""The root folder of the ``host`` image: what programs expect to find outside ``/usr``, and no secret.

Only what every user of the host may read is copied.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

SKELETON_VERSION: Final = 1
"""Changes when what is written here does."""

_FOLDERS: Final = (
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("mnt", 0o755),
    ("media", 0o755),
    ("opt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("run/lock", 0o1777),
    ("srv", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("var", 0o755),
    ("var/cache", 0o755),
    ("var/lib", 0o755),
    ("var/log", 0o755),
    ("var/spool", 0o755),
    ("var/tmp", 0o1777),
)
_LINKS: Final = (("var/run", "/run"), ("var/lock", "/run/lock"), ("etc/mtab", "/proc/self/mounts"))
_PASSWD: Final = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
bin:x:2:2:bin:/bin:/usr/sbin/nologin
sys:x:3:3:sys:/dev:/usr/sbin/nologin
mail:x:8:8:mail:/var/mail:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
_GROUP: Final = """\
root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
adm:x:4:
tty:x:5:
disk:x:6:
mail:x:8:
www-data:x:33:
staff:x:50:
users:x:100:
nogroup:x:65534:
nobody:x:65534:
"""
_NSSWITCH: Final = """\
passwd: files
group: files
shadow: files
gshadow: files
hosts: files dns
networks: files
protocols: files
services: files
ethers: files
rpc: files
"""
_PROFILE: Final = """\
export PATH="${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}"
"""
_WRITTEN: Final = {
    "etc/passwd": _PASSWD,
    "etc/group": _GROUP,
    "etc/nsswitch.conf": _NSSWITCH,
    "etc/profile": _PROFILE,
    "etc/hosts": "127.0.0.1\tlocalhost\n::1\tlocalhost\n",
    "etc/hostname": "",
    "etc/resolv.conf": "",
    "etc/host.conf": "multi on\n",
}
_COPIED: Final = (
    "etc/alternatives",
    "etc/ca-certificates",
    "etc/crypto-policies",
    "etc/ld.so.cache",
    "etc/ld.so.conf",
    "etc/ld.so.conf.d",
    "etc/localtime",
    "etc/mime.types",
    "etc/os-release",
    "etc/pki/ca-trust/extracted",
    "etc/pki/tls/cert.pem",
    "etc/pki/tls/certs",
    "etc/pki/tls/openssl.cnf",
    "etc/protocols",
    "etc/rpc",
    "etc/services",
    "etc/shells",
    "etc/ssl/cert.pem",
    "etc/ssl/certs",
    "etc/ssl/openssl.cnf",
    "etc/timezone",
)
_MAX_FILE_BYTES: Final = 16 * 1024**2
_MAX_FILES: Final = 20_000


def skeleton_inputs(top: str) -> dict[str, tuple[int, int]]:
    """Return what a skeleton is copied from: paths below ``top`` with their time (ns) and size."""
    found = {}
    for path in _COPIED:
        with suppress(OSError):
            status = os.lstat(f"{top}/{path}")
            found[path] = (status.st_mtime_ns, status.st_size)
    return found


def fill_skeleton(
    folder: str,
    *,
    links: Sequence[tuple[str, str]],
    targets: Sequence[tuple[str, bool]],
    inputs: Sequence[str],
    top: str,
) -> None:
    """Make the skeleton in the empty ``folder``.

    It gets ``links`` (path, target), a place for each bind of ``targets`` (path, whether a folder), and
    copies of ``inputs``, paths below ``top``. Raises OSError.
    """
    os.chmod(folder, 0o755)
    for path, mode in _FOLDERS:
        _folder(f"{folder}/{path}", mode)
    for path, target in (*_LINKS, *links):
        os.symlink(target, f"{folder}/{path}")
    for path, text in _WRITTEN.items():
        _file(f"{folder}/{path}", text.encode())
    for path, is_folder in targets:
        _mount_place(folder, path, is_folder)
    for path in inputs:
        _folders_above(folder, path)
        _copy(f"{top}/{path}", f"{folder}/{path}")


def _mount_place(folder: str, path: str, is_folder: bool) -> None:
    path = path.lstrip("/")
    _folders_above(folder, path)
    place = f"{folder}/{path}"
    if is_folder:
        if not os.path.isdir(place):
            _folder(place, 0o755)
    elif not os.path.lexists(place):
        _file(place, b"")


def _folders_above(folder: str, path: str) -> None:
    at = folder
    for part in path.split("/")[:-1]:
        at = f"{at}/{part}"
        if not os.path.isdir(at):
            _folder(at, 0o755)
        elif not os.stat(at).st_mode & stat.S_IXOTH:
            # A Python below /root must be within every user's reach; the folder's list stays closed.
            os.chmod(at, 0o711)


def _copy(source: str, target: str) -> None:
    for count, (path, status) in enumerate(_readable(source)):
        if count > _MAX_FILES:
            return
        copy = target + path.removeprefix(source)
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(path), copy)
        elif stat.S_ISDIR(status.st_mode):
            _folder(copy, 0o755)
        else:
            with open(path, "rb") as file:
                _file(copy, file.read(_MAX_FILE_BYTES))


def _readable(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield ``path`` and what is below it, as far as it may be read by everybody; links are not followed."""
    try:
        status = os.lstat(path)
    except OSError:
        return
    if stat.S_ISLNK(status.st_mode):
        yield path, status
    elif stat.S_ISREG(status.st_mode):
        if status.st_mode & stat.S_IROTH and status.st_size <= _MAX_FILE_BYTES:
            yield path, status
    elif stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_IXOTH:
        yield path, status
        for name in sorted(os.listdir(path)):
            yield from _readable(f"{path}/{name}")


def _folder(path: str, mode: int) -> None:
    os.mkdir(path)
    os.chmod(path, mode)


def _file(path: str, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with open(fd, "wb") as file:
        file.write(content)
    os.chmod(path, 0o644)
