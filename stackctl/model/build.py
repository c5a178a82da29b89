"""Builds as a stack asks for them: what the file says, and what the user's folder holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSpec:
    """``build:`` of a service, long form. ``secrets`` are (id, key of the stack's secret)."""

    context: str
    dockerfile: str = "Dockerfile"
    dockerfile_inline: str = ""
    args: tuple[tuple[str, str], ...] = ()
    target: str = ""
    platform: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    tags: tuple[str, ...] = ()
    no_cache: bool = False
    pull: bool = False
    network: str = ""
    shm_size_bytes: int = 0
    extra_hosts: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildInputs:
    """What a client found where the user is: the Dockerfile, what it is called, and the context's files.

    ``files`` maps paths to what is in them, in a form that only says whether it is the same. ``context`` is the name
    under which the client has sent them, "" when it has not.
    """

    dockerfile: str
    path: str = "Dockerfile"
    files: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    context: str = ""


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """What happens in the build of one image.

    ``state`` is ``started``, ``cached``, ``done`` or ``failed`` for the step ``number``, which says ``text``; or
    ``output``, ``text`` being what its command wrote.
    """

    number: int
    state: str
    text: str
