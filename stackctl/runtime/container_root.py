"""The file system of a container from outside: of a running one as it sees it, of another mounted for the moment."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from stackctl.errors import ContainerError, StackctlError
from stackctl.model.container import BindMount, ContainerSpec, VolumeMount
from stackctl.model.root import HostRoot, OverlayRoot
from stackctl.runtime.init import rootfs
from stackctl.runtime.init.plan import Bind
from stackctl.runtime.init_plan import encode, frozen_overlay, overlay_of
from stackctl.runtime.kernel import libc

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MountableContainer:
    """What is needed to mount a container's root. ``volumes`` maps names to where their content is.

    With ``is_bare`` it is mounted without them and whatever else is mounted in it, and read-only: then it may run.
    """

    folder: str
    spec: ContainerSpec
    root: OverlayRoot | HostRoot
    volumes: Mapping[str, str]
    is_bare: bool = False


def in_running(pid: int, work: Callable[[int], T]) -> T:
    """Call ``work`` with a descriptor of the root directory of the process ``pid``. Raises OSError.

    Everything below it is to be opened with ``init.paths``, which never leaves that root.
    """
    root = os.open(f"/proc/{pid}/root", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return work(root)
    finally:
        os.close(root)


def in_mounted(container: MountableContainer, work: Callable[[int], T]) -> T:
    """Call ``work`` with a descriptor of the container's root directory, volumes and binds included.

    ``work`` runs in a thread whose mount namespace is its own: nobody else sees the mounts, and they end with it.
    """
    visit = _Visit(container, work)
    thread = threading.Thread(target=visit.run, name="container-root")
    thread.start()
    thread.join()
    return visit.result()


class _Visit(Generic[T]):
    def __init__(self, container: MountableContainer, work: Callable[[int], T]) -> None:
        self._container = container
        self._work = work
        self._results: list[T] = []
        self._error: Exception | None = None

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._results[0]

    def run(self) -> None:
        try:
            # State: a thread of the daemon, sharing its mount namespace and working directory with all others.
            # Threat: what is mounted below would be visible on the host, and chdir() would move every thread.
            # Order: before any mount. Source: unshare(2), CLONE_NEWNS: implies CLONE_FS, and is the thread's alone.
            libc.unshare(libc.CLONE_NEWNS)
            rootfs.stop_propagation()
            with self._mounted() as root:
                self._results.append(self._work(root))
        except (OSError, StackctlError, LookupError, ValueError) as error:
            self._error = error
        except Exception as error:  # an edge: whoever asked gets it in its own thread
            self._error = error

    @contextlib.contextmanager
    def _mounted(self) -> Iterator[int]:
        container = self._container
        mountpoint = encode(f"{container.folder}/rootfs")
        overlay = (frozen_overlay if container.is_bare else overlay_of)(container.root, container.folder)
        root = rootfs.mount_overlay(overlay, mountpoint)
        try:
            if isinstance(container.root, HostRoot) and not container.is_bare:
                for host in container.root.binds:
                    rootfs.bind(root, Bind(encode(host.source), encode(host.target), True))
            for bind in () if container.is_bare else _binds(container):
                rootfs.bind(root, bind)
            yield root
        finally:
            os.close(root)
            # At once, not with the thread: the same upper folder may be mounted again any moment.
            libc.umount(mountpoint, libc.MNT_DETACH)


def _binds(container: MountableContainer) -> list[Bind]:
    found = []
    for mount in sorted(container.spec.mounts, key=lambda mount: mount.target.rstrip("/").count("/")):
        match mount:
            case BindMount(source=source, target=target, read_only=read_only) if os.path.lexists(source):
                found.append(Bind(encode(source), encode(target), read_only))
            case VolumeMount(volume=volume, target=target, read_only=read_only, subpath=subpath):
                if volume not in container.volumes:
                    raise ContainerError(f"no such volume: {volume}", code="volume-missing")
                found.append(Bind(encode(container.volumes[volume]), encode(target), read_only, below=encode(subpath)))
    return found
