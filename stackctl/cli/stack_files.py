"""Stack files: from the command line's options to a loaded document, and the project's name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from stackctl.cli.known_stack import AnyStack, find, remember
from stackctl.cli.quick_name import quick_name
from stackctl.cli.receipt import digest
from stackctl.cli.settings import Settings
from stackctl.cli.warnings import tell
from stackctl.errors import StackFileError

if TYPE_CHECKING:
    from stackctl.stackfile.document import Document
    from stackctl.stackfile.load import LoadRequest
    from stackctl.stackfile.trace import Trace


def load_request(settings: Settings, services: Iterable[str] = ()) -> LoadRequest:
    """Return what to load, reading standard input if a file is ``-``."""
    from stackctl.stackfile.load import LoadRequest  # the YAML parser: not for commands that need no file

    reads_stdin = "-" in settings.files or "-" in settings.environment.get("COMPOSE_FILE", "").split(":")
    return LoadRequest(
        files=settings.files,
        project_directory=settings.project_directory,
        project_name=settings.project_name,
        profiles=settings.profiles,
        env_files=settings.env_files,
        environment=settings.environment,
        cwd=settings.cwd,
        services=tuple(services),
        has_unused_resources=settings.has_all_resources,
        stdin=_standard_input(settings) if reads_stdin else "",
    )


def _standard_input(settings: Settings) -> str:
    """Read standard input, which can be done only once."""
    if not settings.typed_in:
        settings.typed_in.append(sys.stdin.read())
    return settings.typed_in[0]


def load_document(settings: Settings, services: Iterable[str] = (), *, is_quiet: bool = False) -> AnyStack:
    """Load the stack and tell its warnings. Raises StackFileError with all that is wrong."""
    named = tuple(services)
    known = find(settings, named)
    if known is not None:
        return known
    document = loaded_document(settings, load_request(settings, named), is_quiet=is_quiet)
    remember(settings, named, document)
    return document


def _check_named(document: Document, services: Iterable[str]) -> None:
    from stackctl.cli.targets import no_such_service

    known = {*_services(document), *document.disabled_services}
    for name in services:
        if name not in known:
            raise no_such_service(name, known)


def _services(document: Document) -> Iterable[str]:
    services = document.tree.get("services")
    return services if isinstance(services, dict) else ()


def loaded_document(
    settings: Settings, request: LoadRequest, *, is_quiet: bool = False, trace: Trace | None = None
) -> Document:
    """Load what the request asks for, as ``load_document``."""
    from stackctl.stackfile.load import load  # as above

    loaded = load(request, read=_reading(settings), trace=trace)
    settings.lines.update(loaded.lines)
    settings.consulted.found.update(loaded.files_found)
    settings.consulted.absent.update(loaded.files_absent)
    settings.consulted.variables.update(loaded.variables)
    settings.consulted.has_findings |= bool(loaded.diagnostics)
    errors = tuple(found for found in loaded.diagnostics if found.severity == "error")
    if not is_quiet or errors:
        tell(settings, (found for found in loaded.diagnostics if found.severity != "error"))
    if errors and request.services and all(found.code == "unknown-service" for found in errors):
        from dataclasses import replace  # 9 ms: only after a mistake

        without = loaded_document(settings, replace(request, services=()), is_quiet=True)
        _check_named(without, request.services)
    if loaded.document is None:
        count = "an error" if len(errors) == 1 else f"{len(errors)} errors"
        raise StackFileError(f"the stack file has {count}", diagnostics=errors)
    return loaded.document


def _reading(settings: Settings) -> Callable[[str], bytes]:
    """Read files, noting what they held."""
    from stackctl.stackfile.sources import read_from_disk  # as above

    digests = settings.consulted.digests

    def read(path: str) -> bytes:
        content = read_from_disk(path)
        found = digest(content)
        if digests.setdefault(path, found) != found:
            digests[path] = ""
        return content

    return read


def project_of(settings: Settings) -> str:
    """Return the project's name, reading as little as is needed for it. Raises StackFileError."""
    name = quick_name(
        files=settings.files,
        project_name=settings.project_name,
        project_directory=settings.project_directory,
        env_files=settings.env_files,
        environment=settings.environment,
        cwd=settings.cwd,
    )
    return name or load_document(settings, is_quiet=True).name
