"""The built-in image ``host``: a private root over the machine's own /usr, with nothing else of it visible."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import sys
from typing import Final

from stackctl.model.image import ImageConfig, ResolvedImage
from stackctl.model.root import HostBind, HostRoot

_LINKED: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_STORES: Final = ("/nix/store", "/gnu/store")
_COPIED: Final = (
    "alternatives",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "login.defs",
    "os-release",
    "profile",
    "protocols",
    "services",
    "shells",
    "ssl/certs",
    "ssl/openssl.cnf",
)
_FOLDERS: Final = (
    ("etc", 0o755),
    ("usr", 0o755),
    ("var", 0o755),
    ("var/cache", 0o755),
    ("var/lib", 0o755),
    ("var/log", 0o755),
    ("var/tmp", 0o1777),
    ("tmp", 0o1777),
    ("root", 0o700),
    ("run", 0o755),
    ("home", 0o755),
    ("opt", 0o755),
    ("mnt", 0o755),
    ("srv", 0o755),
    ("proc", 0o555),
    ("sys", 0o555),
    ("dev", 0o755),
)
_USERS: Final = (
    ("root", 0, 0, "/root", "/bin/sh"),
    ("daemon", 1, 1, "/usr/sbin", "/usr/sbin/nologin"),
    ("bin", 2, 2, "/bin", "/usr/sbin/nologin"),
    ("sys", 3, 3, "/dev", "/usr/sbin/nologin"),
    ("mail", 8, 8, "/var/mail", "/usr/sbin/nologin"),
    ("www-data", 33, 33, "/var/www", "/usr/sbin/nologin"),
    ("nobody", 65534, 65534, "/nonexistent", "/usr/sbin/nologin"),
)
_GROUPS: Final = (("adm", 4), ("tty", 5), ("disk", 6), ("users", 100))
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SKELETON_VERSION: Final = 1


class HostImage:
    """The image of this machine, as it is now; its id changes when the machine's /usr or Python does."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._python = "" if sys.base_prefix.startswith("/usr") else os.path.realpath(sys.base_prefix)

    def resolve(self) -> ResolvedImage:
        """Return id and configuration."""
        path = f"{self._python}/bin:{_PATH}" if self._python else _PATH
        config = ImageConfig(
            cmd=("/bin/sh",),
            env=(f"PATH={path}",),
            working_dir="/",
            architecture={"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
        )
        return ResolvedImage(f"sha256:{self._digest()}", config)

    def root(self) -> HostRoot:
        """Return the root, its skeleton made if need be. Raises OSError."""
        skeleton = f"{self._folder}/host-{self._digest()[:16]}"
        if not os.path.isdir(skeleton):
            self._make(skeleton)
        return HostRoot(skeleton, tuple(self._binds()))

    def _digest(self) -> str:
        facts: dict[str, object] = {"version": _SKELETON_VERSION, "python": self._python, "links": self._links()}
        for path in ("/usr", "/usr/bin", "/usr/lib", "/etc/ld.so.cache", "/etc/os-release"):
            with contextlib.suppress(OSError):
                facts[path] = os.stat(path).st_mtime_ns
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def _links(self) -> dict[str, str]:
        return {name: os.readlink(f"/{name}") for name in _LINKED if os.path.islink(f"/{name}")}

    def _binds(self) -> list[HostBind]:
        found = [HostBind("/usr", "/usr")]
        found += [HostBind(f"/{name}", f"/{name}") for name in _LINKED if _is_own_directory(f"/{name}")]
        found += [HostBind(path, path) for path in _STORES if os.path.isdir(path)]
        if self._python:
            found.append(HostBind(self._python, self._python))
        return found

    def _make(self, skeleton: str) -> None:
        temporary = f"{skeleton}.{os.getpid()}.{os.urandom(4).hex()}"
        os.makedirs(temporary, 0o755)
        for name, mode in _FOLDERS:
            os.makedirs(f"{temporary}/{name}", exist_ok=True)
            os.chmod(f"{temporary}/{name}", mode)
        for name, target in self._links().items():
            os.symlink(target, f"{temporary}/{name}")
        for bind in self._binds():
            os.makedirs(f"{temporary}{bind.target}", exist_ok=True)
        if self._python.startswith("/root/"):
            os.chmod(f"{temporary}/root", 0o711)  # others than root must get through to the interpreter
        os.symlink("/run", f"{temporary}/var/run")
        _make_etc(f"{temporary}/etc")
        try:
            os.rename(temporary, skeleton)
        except OSError:
            # Somebody else made the same one meanwhile.
            shutil.rmtree(temporary)
            if not os.path.isdir(skeleton):
                raise


def _is_own_directory(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def _make_etc(etc: str) -> None:
    passwd = "".join(f"{name}:x:{uid}:{gid}:{name}:{home}:{shell}\n" for name, uid, gid, home, shell in _USERS)
    groups = "".join(f"{name}:x:{gid}:\n" for name, _, gid, _, _ in _USERS)
    groups += "".join(f"{name}:x:{gid}:\n" for name, gid in _GROUPS)
    texts = {
        "passwd": passwd,
        "group": groups.replace("nobody:", "nogroup:"),
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nprotocols: files\nservices: files\n",
        "hosts": "127.0.0.1\tlocalhost\n::1\tlocalhost\n",
        "host.conf": "multi on\n",
    }
    for name, text in texts.items():
        with open(f"{etc}/{name}", "w", encoding="utf-8") as file:
            file.write(text)
    for name in _COPIED:
        _copy(f"/etc/{name}", f"{etc}/{name}")


def _copy(source: str, target: str) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.isdir(source) and not os.path.islink(source):
        shutil.copytree(source, target, symlinks=True, ignore_dangling_symlinks=True)
    elif os.path.lexists(source):
        shutil.copy2(source, target, follow_symlinks=False)
