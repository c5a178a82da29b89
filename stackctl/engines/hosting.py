"""What whoever hosts stacks needs of an engine besides the Engine protocol, whichever engine it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Protocol, Self, TypeAlias

from stackctl.diagnostics import Diagnostic
from stackctl.images.chunks import Readable
from stackctl.model.build import BuildInputs, BuildProgress
from stackctl.model.container import ContainerSpec
from stackctl.model.observed import ObservedContainer
from stackctl.model.registry import Credentials, PullProgress
from stackctl.model.stack import Stack
from stackctl.reconcile.engine import Engine
from stackctl.reconcile.plan import Plan
from stackctl.wire.stack_request import RunRequest, StackRequest

Emit: TypeAlias = Callable[[dict[str, Any]], None]
"""Hears of what happens in the course of an apply."""

TellPull: TypeAlias = Callable[[str, PullProgress], None]
"""Hears of the pull of an image, called by its reference; from any thread."""

TellBuild: TypeAlias = Callable[[str, BuildProgress], None]
"""Hears of the build of an image, called by its reference; from any thread."""

Note: TypeAlias = Callable[[str], None]
"""Hears of why something takes so long."""

_NO_INPUTS: Final[Mapping[str, BuildInputs]] = MappingProxyType({})
_NO_BYTES: Final[Mapping[str, bytes]] = MappingProxyType({})


def _silence(_: str, __: BuildProgress) -> None:
    return


def tell_nobody(_: str) -> None:
    """Let a note go unheard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildWishes:
    """What one caller's builds have to go by.

    ``inputs`` and ``specs`` are by service: what the user's folders hold, and ``build:`` as the file has it.
    ``contents`` holds secrets under ``secret/KEY``.
    """

    inputs: Mapping[str, BuildInputs] = field(default_factory=lambda: _NO_INPUTS)
    contents: Mapping[str, bytes] = field(default_factory=lambda: _NO_BYTES, repr=False)
    tell: TellBuild = _silence


class SentContexts(Protocol):
    """Contexts of builds, kept until they are built."""

    def add(self, stream: Readable) -> str: ...
    def drop(self, names: Iterable[str]) -> None: ...


class StackBuilds(Protocol):
    """What is known of images that stacks build; see ``reconcile.builds.KnownImages``."""

    @property
    def contexts(self) -> SentContexts: ...
    def image_id(self, reference: str) -> str: ...
    def build_inputs(self, reference: str) -> str: ...


class HostEngine(Engine, Protocol):
    """An engine as ``Stacks`` uses it."""

    @property
    def builds(self) -> StackBuilds: ...

    def for_caller(
        self,
        credentials: Mapping[str, Credentials],
        tell: TellPull,
        wishes: BuildWishes | None = None,
        note: Note = tell_nobody,
    ) -> Self:
        """Return the same engine for one caller: registries know who asks; pulls, builds, waits are told of."""
        ...

    def misfits(self, stack: Stack) -> tuple[Diagnostic, ...]:
        """Return what of ``stack`` cannot be here, so far as that is known before anything is tried."""
        ...

    def create(self, spec: ContainerSpec) -> str:
        """Create a container, not started; return its id."""
        ...

    def containers(self) -> tuple[ObservedContainer, ...]:
        """Return every container, by name."""
        ...

    def last_words(self, name: str, count: int) -> Sequence[str]:
        """Return the last lines of a container's log; none when there is no such container."""
        ...

    def stamp(self, stack: str) -> str:
        """Return a text that is true of ``stack`` until something of it changes, "" if there is none."""
        ...

    def notices(self) -> list[str]:
        """Return what the engine's owner should know of its machine."""
        ...

    def boot_notices(self) -> list[str]:
        """Return what its owner should know of what a reboot does to containers with a restart policy."""
        ...

    def set_aside(self) -> list[str]:
        """Return where the files of containers are whose specification was lost."""
        ...


class Contents(Protocol):
    """Contents of configs and secrets, under fingerprints."""

    def fingerprints(self, contents: Mapping[str, bytes]) -> dict[str, str]: ...
    def store(self, contents: Mapping[str, bytes]) -> None: ...
    def keep_only(self, fingerprints: Iterable[str]) -> None: ...


class StackHost(Protocol):
    """Plans and applies stacks on one engine; see ``engines.stacks.Stacks``."""

    def plan(self, project: str, request: StackRequest) -> tuple[Plan, tuple[Diagnostic, ...]]: ...
    def apply(self, project: str, request: StackRequest, emit: Emit) -> None: ...
    def run(self, project: str, wanted_run: RunRequest, emit: Emit) -> None: ...
    def builds(self, request: StackRequest) -> tuple[str, ...]: ...
    def add_context(self, stream: Readable) -> str: ...
    def cancel(self, apply_id: str) -> None: ...


class StackLocks(Protocol):
    """Lets one change of a stack happen at a time."""

    def locked(self, project: str, emit: Emit) -> AbstractContextManager[None]:
        """Hold the stack's lock; tells, when it is somebody else's, that it waits."""
        ...
