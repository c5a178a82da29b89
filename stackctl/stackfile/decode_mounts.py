"""What is mounted into a service's containers, and the devices they get."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from stackctl.model.container import BindMount, Device, TmpfsMount, VolumeMount
from stackctl.model.stack import ContentUse, Path, ServiceMount
from stackctl.stackfile.canonical_mounts import tmpfs_target
from stackctl.stackfile.node import Json
from stackctl.stackfile.problems import Problems, dotted
from stackctl.stackfile.schema import Places
from stackctl.stackfile.tree import as_dict, as_int, as_list, as_text, said
from stackctl.stackfile.units import parse_bytes

_RECURSIVE: dict[str, Literal["", "disabled", "writable"]] = {"disabled": "disabled", "writable": "writable"}
_SELINUX: dict[str, Literal["", "z", "Z"]] = {"z": "z", "Z": "Z"}
_SOCKET = "/var/run/docker.sock"


class MountDecoder:
    """Decodes the mounts of one service; what cannot be is reported."""

    def __init__(self, path: Path, volumes: Mapping[str, str], places: Places, problems: Problems) -> None:
        self._path = path
        self._volumes = volumes
        self._places = places
        self._problems = problems

    def mounts(self, entry: dict[str, Json]) -> tuple[ServiceMount, ...]:
        """Return everything mounted: volumes, tmpfs, configs and secrets."""
        found: list[ServiceMount] = []
        for at, item in enumerate(as_list(entry.get("volumes"))):
            found.append(self._mount(as_dict(item), (*self._path, "volumes", at)))
        for at, text in enumerate(said(entry.get("tmpfs"))):
            found.append(self._tmpfs(text, (*self._path, "tmpfs", at)))
        for kind in ("config", "secret"):
            for at, item in enumerate(as_list(entry.get(f"{kind}s"))):
                use = as_dict(item)
                found.append(self._content(kind, use, (*self._path, f"{kind}s", at)))
        if entry.get("use_api_socket") is True:
            found.append(BindMount(source=_SOCKET, target=_SOCKET, create_source=False))
        for mount in found:
            self._check_target(mount)
        return tuple(found)

    def _mount(self, entry: dict[str, Json], path: Path) -> ServiceMount:
        source, target = as_text(entry.get("source")), as_text(entry.get("target"))
        read_only = entry.get("read_only") is True
        bind, volume = as_dict(entry.get("bind")), as_dict(entry.get("volume"))
        tmpfs = as_dict(entry.get("tmpfs"))
        match entry.get("type"):
            case "bind":
                if not source.startswith("/"):
                    self._complain((*path, "source"), f"must be an absolute path, not `{source}`")
                return BindMount(
                    source=source,
                    target=target,
                    read_only=read_only,
                    create_source=bind.get("create_host_path") is not False,
                    propagation=as_text(bind.get("propagation")),
                    recursive=_RECURSIVE.get(as_text(bind.get("recursive")), ""),
                    selinux=_SELINUX.get(as_text(bind.get("selinux")), ""),
                )
            case "tmpfs":
                size = parse_bytes(as_text(tmpfs.get("size"))) or 0
                mode = as_int(tmpfs.get("mode")) if "mode" in tmpfs else None
                return TmpfsMount(target=target, size_bytes=size, mode=mode, read_only=read_only)
            case _:
                return VolumeMount(
                    volume=self._volumes.get(source, source),
                    target=target,
                    read_only=read_only,
                    nocopy=volume.get("nocopy") is True,
                    subpath=as_text(volume.get("subpath")),
                )

    def _tmpfs(self, text: str, path: Path) -> TmpfsMount:
        size, read_only = 0, False
        mode: int | None = None
        options: list[str] = []
        for option in filter(None, text.partition(":")[2].split(",")):
            key, _, value = option.partition("=")
            if key == "size":
                size = self._size(value, path)
            elif key == "mode" and value and set(value) <= set("01234567"):
                mode = int(value, 8) & 0o7777
            elif key in ("ro", "rw"):
                read_only = key == "ro"
            else:
                options.append(option)
        return TmpfsMount(
            target=tmpfs_target(text), size_bytes=size, mode=mode, read_only=read_only, options=tuple(options)
        )

    def _size(self, text: str, path: Path) -> int:
        size = parse_bytes(text)
        if size is None or size < 0:
            self._complain(path, f"has the size `{text}`, which is none")
            return 0
        return size

    def _content(self, kind: Literal["config", "secret"], use: dict[str, Json], path: Path) -> ContentUse:
        source = as_text(use.get("source"))
        target = as_text(use.get("target")) or source
        if not target.startswith("/"):
            target = f"/run/secrets/{target}" if kind == "secret" else f"/{target}"
        mode = as_text(use.get("mode"))
        if mode and not set(mode) <= set("01234567"):
            self._complain((*path, "mode"), "must be permission bits such as `0440`")
            mode = ""
        return ContentUse(
            kind=kind,
            name=source,
            target=target,
            uid=self._id(use, "uid", path),
            gid=self._id(use, "gid", path),
            mode=int(mode, 8) & 0o7777 if mode else 0o444,
        )

    def _id(self, use: dict[str, Json], key: str, path: Path) -> int:
        text = as_text(use.get(key))
        if text and not (text.isascii() and text.isdecimal() and len(text) <= 10):
            self._complain((*path, key), f"must be a number, not `{text}`")
            return 0
        return int(text or 0)

    def _check_target(self, mount: ServiceMount) -> None:
        if not mount.target.startswith("/") or mount.target == "/" or "\0" in mount.target:
            self._complain(self._path, f"mounts something at `{mount.target}`, which is no path inside a container")

    def _complain(self, path: Path, why: str) -> None:
        self._problems.error(
            "bad-value", "Value not allowed", self._places.of_value(path), detail=f"`{dotted(path)}` {why}."
        )


def devices(entry: dict[str, Json]) -> tuple[Device, ...]:
    """Return the host devices a service may use; ``/dev/x:rw`` has permissions and no target of its own."""
    found = []
    for device in map(as_dict, as_list(entry.get("devices"))):
        source, target = as_text(device.get("source")), as_text(device.get("target"))
        permissions = as_text(device.get("permissions")) or "rwm"
        if target and set(target) <= set("rwm"):
            target, permissions = source, target
        found.append(Device(source=source, target=target, permissions=permissions))
    return tuple(found)
