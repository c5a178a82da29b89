"""create: everything a container needs on disk, and its row."""

from __future__ import annotations

import os
import re
import time
from typing import Final

from stackctl.errors import Conflict, ContainerError, NotFound
from stackctl.model.container import Attachment, ContainerSpec, ContentMount, JoinNetworks, VolumeMount
from stackctl.model.root import HostRoot, OverlayRoot
from stackctl.model.volume import VolumeSpec
from stackctl.runtime.faults import fault_point
from stackctl.runtime.kernel.process import signal_number
from stackctl.runtime.paths import write_all
from stackctl.runtime.record import Container
from stackctl.runtime.state import Facts
from stackctl.runtime.verbs.remove import discard_folder
from stackctl.runtime.world import World, new_id

_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_MAX_NAME: Final = 255


def create(world: World, spec: ContainerSpec, root: OverlayRoot | HostRoot) -> Container:
    """Make a container, not started. Raises Conflict when the name is taken, EngineError otherwise.

    Repeating with the same specification returns the container there is.
    """
    existing = world.names.get(spec.name)
    if existing is not None:
        if existing.spec == spec and existing.phase == "created":
            return existing
        raise Conflict(
            f"the container name {spec.name!r} is already in use by container {existing.id[:12]}",
            code="name-taken",
            hint=f"remove or rename it: stackctl rm, or a different container_name for {spec.name}",
        )
    _check(world, spec)
    container = Container(new_id(), spec, root, "creating", Facts(created_ns=time.time_ns()))
    world.add(container)
    # Order: the row before the folder, so that a folder without a row is never anything but leftovers.
    try:
        world.save(container)
        fault_point("create: row written")
        _make_folder(world, container)
        fault_point("create: folder made")
        world.save_spec(container)
    except BaseException:
        discard_folder(world, container)
        world.store.delete(container.id)
        world.forget(container)
        raise
    fault_point("create: specification written")
    world.set_phase(container, "created")
    world.events.tell_container(container, "create")
    fault_point("create: done")
    return container


def _check(world: World, spec: ContainerSpec) -> None:
    if not _NAME.fullmatch(spec.name) or len(spec.name) > _MAX_NAME:
        raise ContainerError(f"invalid container name: {spec.name!r}", code="invalid-name", field="name")
    if not spec.argv:
        raise ContainerError(
            f"container {spec.name}: no command: neither the image nor the service names one",
            code="no-command",
            field="argv",
        )
    try:
        signal_number(spec.stop_signal)
    except ValueError as error:
        raise ContainerError(f"container {spec.name}: {error}", code="unknown-signal", field="stop_signal") from error
    for attachment in _attachments(spec):
        if world.networks.find(attachment.network) is None:
            raise NotFound(
                f"no such network: {attachment.network}",
                code="no-such-network",
                field=f"networking.{attachment.network}",
            )


def _attachments(spec: ContainerSpec) -> tuple[Attachment, ...]:
    return spec.networking.attachments if isinstance(spec.networking, JoinNetworks) else ()


def _make_folder(world: World, container: Container) -> None:
    folder = world.folder(container)
    os.mkdir(folder, 0o711)
    for name, mode in (("upper", 0o755), ("work", 0o700), ("rootfs", 0o711), ("etc", 0o755), ("files", 0o700)):
        os.mkdir(f"{folder}/{name}", mode)
    for index, mount in enumerate(container.spec.mounts):
        match mount:
            case ContentMount():
                _place_content(world, container, mount, f"{folder}/files/{index}")
            case VolumeMount() if world.volumes.find(mount.volume) is None:
                world.volumes.create(VolumeSpec(name=mount.volume))
                world.events.tell("volume", "create", mount.volume, (("driver", "local"),))


def _place_content(world: World, container: Container, mount: ContentMount, path: str) -> None:
    try:
        _write_content(world, mount, path)
    except OSError as error:
        raise ContainerError(
            f"container {container.name}: the content of {mount.kind} {mount.name} cannot be written: {error.strerror}",
            field=f"mounts.{mount.target}",
        ) from error


def _write_content(world: World, mount: ContentMount, path: str) -> None:
    try:
        with open(f"{world.paths.contents}/{mount.fingerprint}", "rb") as file:
            content = file.read()
    except FileNotFoundError as error:
        raise NotFound(
            f"the content of {mount.kind} {mount.name} is not in the engine",
            code="content-missing",
            field=f"mounts.{mount.target}",
        ) from error
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        write_all(fd, content)
        os.fchown(fd, mount.uid, mount.gid)
        os.fchmod(fd, mount.mode)
    finally:
        os.close(fd)
