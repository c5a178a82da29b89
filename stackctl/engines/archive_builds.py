"""Builds of contexts that are sent as an archive, as Docker's clients ask for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from stackctl.engines.local_registries import LocalRegistries
from stackctl.engines.local_runner import running
from stackctl.errors import ImageError
from stackctl.images.build.image_builds import Helpers
from stackctl.images.build.request import BuildEvent, BuildRequest
from stackctl.images.build.running import DEFAULT_SHM_BYTES, Network
from stackctl.images.chunks import Readable
from stackctl.images.dockerfile.ignore import Ignore
from stackctl.images.store import ImageStore, TellImage
from stackctl.model.registry import Credentials, PullProgress
from stackctl.runtime.paths import EnginePaths
from stackctl.runtime.supervisor_client import SupervisorClient

_IGNORE: Final = ".dockerignore"
_MOST_BYTES: Final = 16 << 20
_NOBODY: Final[Mapping[str, Credentials]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveBuild:
    """What is asked for; ``dockerfile`` is a path inside the context, ``credentials`` are by registry."""

    dockerfile: str = "Dockerfile"
    names: tuple[str, ...] = ()
    target: str = ""
    args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    platform: str = ""
    no_cache: bool = False
    pull: bool = False
    network: Network = "default"
    extra_hosts: tuple[tuple[str, str], ...] = ()
    shm_size_bytes: int = 0
    credentials: Mapping[str, Credentials] = field(default_factory=lambda: _NOBODY, repr=False)


@dataclass(frozen=True, slots=True)
class Hearer:
    """Who hears of a build, from any thread, and may call it off."""

    build: Callable[[BuildEvent], None]
    pull: Callable[[PullProgress], None]
    is_unwanted: Callable[[], bool]


class ArchiveBuilds:
    """Builds into the engine's own store. Any thread may call it, and several may build at once."""

    def __init__(self, paths: EnginePaths, supervisor: SupervisorClient, store: ImageStore, tell: TellImage) -> None:
        self._paths = paths
        self._supervisor = supervisor
        self._store = store
        self._tell = tell

    def build(self, stream: Readable, asked: ArchiveBuild, hearer: Hearer) -> str:
        """Build the context that ``stream`` is, a tar plain or compressed; return the image's id.

        Raises ImageError, its diagnostics naming the line of the Dockerfile; EngineError.
        """
        registries = LocalRegistries(self._store, asked.credentials, lambda _, progress: hearer.pull(progress))

        def pull(reference: str, platform: str) -> str:
            return registries.fetch(reference, platform, hearer.is_unwanted)

        with self._store.builds.unpacked(stream) as folder:
            text = _read(folder, asked.dockerfile)
            _drop_ignored(folder, asked.dockerfile)
            request = BuildRequest(
                dockerfile=text,
                path=asked.dockerfile,
                target=asked.target,
                args=asked.args,
                labels=asked.labels,
                names=asked.names,
                platform=asked.platform,
                no_cache=asked.no_cache,
                pull=asked.pull,
                network=asked.network,
                extra_hosts=asked.extra_hosts,
                shm_size_bytes=asked.shm_size_bytes or DEFAULT_SHM_BYTES,
            )
            with running(self._paths, self._supervisor) as runner:
                helpers = Helpers(runner, pull, hearer.build, hearer.is_unwanted)
                made = self._store.builds.build(request, folder, helpers)
        for name in asked.names:
            self._tell("tag", made.id, name)
        return made.id

    def prune(self) -> int:
        """Forget the steps of earlier builds; return how many bytes that freed."""
        return self._store.builds.prune()


def _read(folder: str, path: str) -> bytes:
    """Return a file of the context, which nobody else changes. Raises ImageError."""
    found = os.path.realpath(f"{folder}/{path}")
    if not found.startswith(f"{os.path.realpath(folder)}/") or not os.path.isfile(found):
        raise ImageError(f"Cannot locate specified Dockerfile: {path}", code="file-not-found")
    with open(found, "rb") as file:
        return file.read(_MOST_BYTES)


def _drop_ignored(folder: str, dockerfile: str) -> None:
    """Clients send these two although ``.dockerignore`` may name them: the build does not see them then."""
    try:
        text = _read(folder, _IGNORE).decode("utf-8", "replace")
    except ImageError:
        return
    ignored = Ignore.parse(text)
    for path in (dockerfile, _IGNORE):
        if ignored.excludes(path):
            with suppress(FileNotFoundError):
                os.unlink(f"{folder}/{path}")
