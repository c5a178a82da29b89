"""What the options of a volume of the driver ``local`` mean: ``type``, ``device``, ``o``, as for mount(8). Pure."""

from __future__ import annotations

import ipaddress
from typing import Final, NamedTuple

from stackctl.errors import EngineError
from stackctl.model.volume import VolumeSpec
from stackctl.runtime.kernel import libc

_FLAGS: Final = {
    "ro": (libc.MS_RDONLY, True),
    "rw": (libc.MS_RDONLY, False),
    "nosuid": (libc.MS_NOSUID, True),
    "suid": (libc.MS_NOSUID, False),
    "nodev": (libc.MS_NODEV, True),
    "dev": (libc.MS_NODEV, False),
    "noexec": (libc.MS_NOEXEC, True),
    "exec": (libc.MS_NOEXEC, False),
    "noatime": (libc.MS_NOATIME, True),
    "atime": (libc.MS_NOATIME, False),
    "nodiratime": (libc.MS_NODIRATIME, True),
    "diratime": (libc.MS_NODIRATIME, False),
    "relatime": (libc.MS_RELATIME, True),
    "norelatime": (libc.MS_RELATIME, False),
    "strictatime": (libc.MS_STRICTATIME, True),
    "sync": (libc.MS_SYNCHRONOUS, True),
    "async": (libc.MS_SYNCHRONOUS, False),
    "defaults": (0, True),
}
# What mount(8) reads, and the kernel does not know.
_FOR_PEOPLE: Final = ("auto", "noauto", "user", "nouser", "users", "_netdev", "nofail")
_REMOTE: Final = ("nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "afs")
_KNOWN: Final = ("type", "device", "o")


class FileSystem(NamedTuple):
    """A file system to be mounted: arguments of mount(2). One that is remote may keep who mounts it waiting."""

    kind: str
    device: str
    flags: int
    data: str

    @property
    def is_remote(self) -> bool:
        """Whether it is another machine's."""
        return self.kind in _REMOTE


class Bound(NamedTuple):
    """A folder of the host."""

    path: str
    is_read_only: bool


def source_of(spec: VolumeSpec) -> FileSystem | Bound | None:
    """Return what a volume is made of, None for a folder of the engine's own. Raises EngineError."""
    options = {key: value for key, value in spec.options if value}
    for key in options:
        if key not in _KNOWN:
            what = "is not bounded in size" if key == "size" else f"has no driver option {key!r}"
            raise _wrong(spec, f"{what}: there are {', '.join(_KNOWN)}")
    if not options:
        return None
    words = [word for word in options.get("o", "").split(",") if word]
    kind, device = options.get("type", "none"), options.get("device", "")
    if not device:
        raise _wrong(spec, "has driver options and no device", "write `device:`, for a tmpfs `device: tmpfs`")
    if kind in ("none", "bind") or "bind" in words or "rbind" in words:
        if not device.startswith("/"):
            raise _wrong(spec, f"is bound to {device!r}, which is no absolute path")
        return Bound(device, "ro" in words)
    if kind in ("nfs", "nfs4", "cifs", "smb3"):
        _check_address(spec, words)
    flags, data = _split(words)
    return FileSystem(kind, device, flags, ",".join(data))


def _split(words: list[str]) -> tuple[int, list[str]]:
    flags, data = 0, []
    for word in words:
        if word in _FLAGS:
            flag, is_on = _FLAGS[word]
            flags = flags | flag if is_on else flags & ~flag
        elif word not in _FOR_PEOPLE:
            data.append(word)
    return flags, data


def _check_address(spec: VolumeSpec, words: list[str]) -> None:
    """The kernel reads addresses, not names; mount(8), which would look a name up, is not needed here."""
    address = next((word.removeprefix("addr=") for word in words if word.startswith("addr=")), "")
    try:
        ipaddress.ip_address(address)
    except ValueError as error:
        what = f"has addr={address}, which is no address" if address else "does not say where its server is"
        raise _wrong(spec, what, "write the server's IP address: `o: addr=192.0.2.7,…`") from error


def _wrong(spec: VolumeSpec, what: str, hint: str = "") -> EngineError:
    return EngineError(f"volume {spec.name} {what}", code="volume-driver", hint=hint)
