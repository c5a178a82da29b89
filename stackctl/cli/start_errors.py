"""Where in the stack file is written what a container could not be started for: of commands that send no stack file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from stackctl.cli.containers import Listed
from stackctl.cli.settings import Settings
from stackctl.cli.stack_files import load_request, loaded_document
from stackctl.diagnostics import SourceRange
from stackctl.engines.step_errors import located_in, nearest
from stackctl.errors import StackctlError
from stackctl.reconcile.origin import origin_of
from stackctl.stackfile.decode import decode

# What `run` may give in place of the stack file, by option.
_GIVEN = {"command": "argv", "entrypoint": "argv", "user": "user", "workdir": "working_dir"}


def place(settings: Settings, error: StackctlError, containers: Iterable[Listed]) -> None:
    """Give the diagnostics of ``error`` that know no place the one that the stack file has now, if it can be read."""
    services = {container.name: container.service for container in containers}
    found = []
    for diagnostic in error.diagnostics:
        name, field = diagnostic.subject
        where = nearest(_origin(settings, services[name]), field) if name in services else None
        found.append(replace(diagnostic, sources=(where,)) if where is not None else diagnostic)
    error.diagnostics = tuple(found)


def place_one(settings: Settings, error: StackctlError, service: str, given: Mapping[str, object]) -> None:
    """Have an error in starting one of ``service`` point at the stack file, unless ``given`` options decided."""
    decided = {field for option, field in _GIVEN.items() if given.get(option)}
    if error.field and error.field.partition(".")[0] not in decided and not error.diagnostics:
        error.diagnostics = (located_in(error, _origin(settings, service)),)


def _origin(settings: Settings, service: str) -> Mapping[str, SourceRange]:
    try:
        document = loaded_document(settings, load_request(settings, (service,)), is_quiet=True)
    except (StackctlError, OSError):  # moved or broken meanwhile: the message has to do
        return {}
    stack, _ = decode(document)
    wanted = stack.services.get(service) if stack is not None else None
    return origin_of(stack, wanted, ()) if stack is not None and wanted is not None else {}
