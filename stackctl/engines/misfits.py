"""What a stack asks for and no container on this machine can have: found before anything is changed. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stackctl.diagnostics import Diagnostic
from stackctl.errors import EngineError
from stackctl.model.stack import Path, Service, Stack
from stackctl.runtime.volume_options import source_of

# Docker's least values: below them the kernel refuses, or nothing can start.
_LEAST_CPUS: Final = 0.01
_LEAST_MEMORY_BYTES: Final = 6 << 20
_LONGEST_HOSTNAME: Final = 64
_CPUS: Final[tuple[Path, ...]] = (("cpus",), ("deploy", "resources", "limits", "cpus"))
_MEMORY: Final[tuple[Path, ...]] = (("mem_limit",), ("deploy", "resources", "limits", "memory"))


def misfits(stack: Stack, cpus: int) -> tuple[Diagnostic, ...]:
    """Return what of ``stack`` cannot be on a machine of so many CPUs."""
    found = [
        _diagnostic(stack, paths, text) for service in stack.services.values() for paths, text in _of(service, cpus)
    ]
    for key, volume in stack.volumes.items():
        try:
            source_of(volume)
        except EngineError as error:
            found.append(_diagnostic(stack, (("volumes", key, "driver_opts"),), str(error), error.hint))
    return tuple(found)


def _of(service: Service, cpus: int) -> Iterator[tuple[tuple[Path, ...], str]]:
    base: Path = ("services", service.name)
    asked = service.limits.nano_cpus / 1e9
    if asked and not _LEAST_CPUS <= asked <= cpus:
        text = f"{service.name} cannot have {asked:g} CPUs: this machine can give from {_LEAST_CPUS} to {cpus}"
        yield tuple((*base, *path) for path in _CPUS), text
    if 0 < service.limits.memory_bytes < _LEAST_MEMORY_BYTES:
        text = f"{service.name} cannot run in {service.limits.memory_bytes} bytes of memory: the least limit is 6 MiB"
        yield tuple((*base, *path) for path in _MEMORY), text
    if service.working_dir and not service.working_dir.startswith("/"):
        text = f"{service.working_dir!r} is no absolute path: `working_dir` is one inside the container"
        yield ((*base, "working_dir"),), text
    for key, name in (("hostname", service.hostname), ("domainname", service.domainname)):
        if len(name.encode()) > _LONGEST_HOSTNAME:
            yield (
                ((*base, key),),
                f"{name} is longer than {_LONGEST_HOSTNAME} bytes: the kernel takes no such host name",
            )
        elif any(c.isspace() or not c.isprintable() or c in "#/" for c in name):
            yield ((*base, key),), f"{name!r} is no host name: it may hold letters, digits, hyphens and dots"


def _diagnostic(stack: Stack, paths: tuple[Path, ...], text: str, hint: str = "") -> Diagnostic:
    places = [stack.positions[path] for path in paths if path in stack.positions]
    return Diagnostic(
        severity="error",
        code="bad-value",
        summary="Value not possible here",
        detail=text,
        hint=hint,
        sources=tuple(places[:1]),
    )
