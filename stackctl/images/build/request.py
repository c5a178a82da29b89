"""What is to be built, and what a build tells while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from stackctl.images.build.running import DEFAULT_SHM_BYTES, Network

_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_NO_BYTES: Final[Mapping[str, bytes]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """How a context is built.

    ``dockerfile`` is its text, ``path`` what it is called in messages. ``names`` are what the image will be
    called. With ``no_cache`` nothing that was done before is taken; with ``pull`` registries are asked for what
    base images' names mean now. ``secrets`` are by their id.
    """

    dockerfile: bytes
    path: str = "Dockerfile"
    target: str = ""
    args: Mapping[str, str] = field(default_factory=lambda: _NONE)
    labels: Mapping[str, str] = field(default_factory=lambda: _NONE)
    names: tuple[str, ...] = ()
    platform: str = ""
    no_cache: bool = False
    pull: bool = False
    network: Network = "default"
    extra_hosts: tuple[tuple[str, str], ...] = ()
    shm_size_bytes: int = DEFAULT_SHM_BYTES
    secrets: Mapping[str, bytes] = field(default_factory=lambda: _NO_BYTES, repr=False)


@dataclass(frozen=True, slots=True)
class StepEvent:
    """A step begins, is found done before, or ends. ``text`` is what it says: ``[base 2/5] RUN make``."""

    number: int
    text: str
    state: Literal["started", "cached", "done", "failed"]


@dataclass(frozen=True, slots=True)
class OutputEvent:
    """What the command of a step wrote, whole lines or not."""

    number: int
    data: bytes


BuildEvent: TypeAlias = StepEvent | OutputEvent
Tell: TypeAlias = Callable[[BuildEvent], None]


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """What a build came to. ``bases`` are the ids of the images it began with, by the names in the Dockerfile."""

    id: str
    bases: Mapping[str, str]
