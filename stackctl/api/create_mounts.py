"""Docker's four ways to mount something, as our mounts. Pure. Source: Docker Engine API 1.51."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from typing import Final, Literal

from stackctl import labels
from stackctl.api.connection import BadRequest
from stackctl.api.fields import Fields
from stackctl.model.container import BindMount, Mount, TmpfsMount, VolumeMount
from stackctl.model.image import ImageConfig
from stackctl.model.volume import VolumeSpec

_VOLUME_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_PROPAGATIONS: Final = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
# Labels of SELinux, and what keeps copies on other systems consistent: there is nothing to do for them here.
_WITHOUT_EFFECT: Final = ("z", "Z", "cached", "consistent", "delegated", "rw", "")


def mounts_of(
    body: Fields,
    host: Fields,
    config: ImageConfig,
    new_volume: Callable[[], str],
    *,
    inherited: tuple[Mount, ...] = (),
) -> tuple[tuple[Mount, ...], tuple[VolumeSpec, ...]]:
    """Return mounts, and the volumes to be made for them; ``inherited`` ones give way to others. Raises BadRequest."""
    volumes: list[VolumeSpec] = []
    found: list[Mount] = [_bind(text) for text in host.texts("Binds")]
    found += [_mount(entry, volumes) for entry in host.objects("Mounts")]
    found += [TmpfsMount(target=_target(path), options=_options(text)) for path, text in host.pairs("Tmpfs").items()]
    taken = [mount.target for mount in found]
    for target in taken:
        if taken.count(target) > 1:
            raise BadRequest(f"Duplicate mount point: {target}")
    found += [mount for mount in inherited if mount.target not in taken]
    taken = [mount.target for mount in found]
    wanted = dict.fromkeys(_target(path) for path in (*body.mapping("Volumes"), *config.volumes))
    found += [VolumeMount(volume="", target=target) for target in wanted if target not in taken]
    return tuple(_named(mount, volumes, new_volume) for mount in found), tuple(volumes)


def _named(mount: Mount, volumes: list[VolumeSpec], new_volume: Callable[[], str]) -> Mount:
    if not isinstance(mount, VolumeMount) or mount.volume:
        return mount
    name = new_volume()
    volumes.append(VolumeSpec(name=name, labels=((labels.ANONYMOUS_VOLUME, ""),)))
    return VolumeMount(
        volume=name, target=mount.target, read_only=mount.read_only, nocopy=mount.nocopy, subpath=mount.subpath
    )


def _bind(text: str) -> Mount:
    """Read ``source:target[:options]``."""
    parts = text.split(":")
    if len(parts) not in (2, 3) or not parts[0]:
        raise BadRequest(f"invalid volume specification: '{text}'")
    source, target, options = parts[0], _target(parts[1]), parts[2].split(",") if len(parts) == 3 else []
    read_only = "ro" in options or "readonly" in options
    propagation = next((option for option in options if option in _PROPAGATIONS), "")
    unknown = set(options) - {"ro", "readonly", "nocopy", *_PROPAGATIONS, *_WITHOUT_EFFECT}
    if unknown:
        raise BadRequest(f"invalid mode: {sorted(unknown)[0]}")
    if source.startswith("/"):
        return BindMount(
            source=posixpath.normpath(source),
            target=target,
            read_only=read_only,
            propagation=propagation,
            selinux="Z" if "Z" in options else "z" if "z" in options else "",
        )
    return VolumeMount(volume=_volume_name(source), target=target, read_only=read_only, nocopy="nocopy" in options)


def _volume_name(text: str) -> str:
    if _VOLUME_NAME.fullmatch(text) is None:
        raise BadRequest(
            f'"{text}" includes invalid characters for a local volume name, only "{_VOLUME_NAME.pattern}" are '
            "allowed. If you intended to pass a host directory, use absolute path"
        )
    return text


def _mount(entry: Fields, volumes: list[VolumeSpec]) -> Mount:
    kind, source, target = entry.text("Type"), entry.text("Source"), _target(entry.text("Target"))
    read_only = entry.flag("ReadOnly")
    match kind:
        case "bind":
            if not source.startswith("/"):
                raise BadRequest(f"invalid mount config for type \"bind\": invalid mount path: '{source}'")
            options = entry.within("BindOptions")
            return BindMount(
                source=posixpath.normpath(source),
                target=target,
                read_only=read_only,
                create_source=options.flag("CreateMountpoint"),
                propagation=options.text("Propagation"),
                recursive=_recursive(options),
            )
        case "volume":
            return _volume(entry, source, target, volumes)
        case "tmpfs":
            options = entry.within("TmpfsOptions")
            return TmpfsMount(
                target=target,
                size_bytes=options.number("SizeBytes"),
                mode=options.optional_number("Mode"),
                read_only=read_only,
            )
        case _:
            raise BadRequest(f"not supported by this engine: mounts of type {kind!r}")


def _recursive(options: Fields) -> Literal["", "disabled", "writable"]:
    if options.flag("NonRecursive"):
        return "disabled"
    return "writable" if options.flag("ReadOnlyNonRecursive") else ""


def _volume(entry: Fields, source: str, target: str, volumes: list[VolumeSpec]) -> VolumeMount:
    options = entry.within("VolumeOptions")
    driver = options.within("DriverConfig")
    if driver.text("Name") not in ("", "local"):
        raise BadRequest(f"not supported by this engine: the volume driver {driver.text('Name')}")
    if source:
        _volume_name(source)
        given, marks = driver.pairs("Options"), options.pairs("Labels")
        if given or marks:
            volumes.append(
                VolumeSpec(name=source, options=tuple(sorted(given.items())), labels=tuple(sorted(marks.items())))
            )
    return VolumeMount(
        volume=source,
        target=target,
        read_only=entry.flag("ReadOnly"),
        nocopy=options.flag("NoCopy"),
        subpath=options.text("Subpath"),
    )


def _options(text: str) -> tuple[str, ...]:
    return tuple(option for option in text.split(",") if option)


def _target(path: str) -> str:
    if not path.startswith("/"):
        raise BadRequest(f"invalid mount path: '{path}' mount path must be absolute")
    cleaned = posixpath.normpath(path)
    if cleaned.strip("/") == "":
        raise BadRequest("invalid mount config: destination can't be '/'")
    return cleaned
