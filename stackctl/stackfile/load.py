"""load: from what the user typed to a Document.

    parse ─► interpolate ─► cast ─► schema ─► canonical ─► include, extends ─► merge      for each file
    ─► schema ─► profiles ─► environment ─► normalise ─► check ─► drop unused             once

Total: whatever is in the files, the result is a Document or diagnostics, and all the diagnostics there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from stackctl.diagnostics import Diagnostic
from stackctl.stackfile.check import check
from stackctl.stackfile.contents import read_contents
from stackctl.stackfile.discover import Project, active_profiles, find_project, project_name
from stackctl.stackfile.document import Document
from stackctl.stackfile.environment import resolve_service
from stackctl.stackfile.hooks import with_inherited
from stackctl.stackfile.interpolate import Environment, Use, variables_used
from stackctl.stackfile.layers import Workshop, load_files
from stackctl.stackfile.node import Mapping as MappingNode
from stackctl.stackfile.node import child_mapping, plain, positions, with_entries, with_entry
from stackctl.stackfile.normalise import completed, drop_unused, normalise, without_empty_resources
from stackctl.stackfile.problems import Problems, did_you_mean
from stackctl.stackfile.profiles import select, with_dependencies
from stackctl.stackfile.schema import NodePlaces, check_node
from stackctl.stackfile.sources import ReadFile, Sources, read_from_disk

if TYPE_CHECKING:
    from stackctl.stackfile.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRequest:
    """What to load.

    ``files`` may hold ``-``, whose text is ``stdin``; none means: COMPOSE_FILE, else look around ``cwd``.
    ``project_directory``, ``project_name`` "" and empty tuples mean: not given. ``services`` are those named
    on the command line; naming one activates its profiles. ``environment`` is the caller's environment.
    The ``is_…`` and ``has_…`` switches are those of ``config``; as they are is the normal case.
    """

    files: tuple[str, ...] = ()
    project_directory: str = ""
    project_name: str = ""
    profiles: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    cwd: str
    services: tuple[str, ...] = ()
    stdin: str = ""
    is_interpolated: bool = True
    has_absolute_paths: bool = True
    has_resolved_environment: bool = True
    is_normalised: bool = True
    is_checked: bool = True
    has_unused_resources: bool = False
    has_named_only: bool = False
    has_contents: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What came of it.

    ``document`` is None exactly when ``diagnostics`` holds an error. ``lines`` maps (file, line) to the text,
    for ``diagnostics.render``. ``files_read``, ``files_absent`` and ``files_found`` (there, and perhaps not read; all
    absolute) and ``variables`` (name to value, None for one that was not set) are everything that was consulted.
    """

    document: Document | None
    diagnostics: tuple[Diagnostic, ...]
    lines: Mapping[tuple[str, int], str]
    files_read: tuple[str, ...] = ()
    files_absent: tuple[str, ...] = ()
    files_found: tuple[str, ...] = ()
    variables: Mapping[str, str | None] = field(default_factory=lambda: MappingProxyType({}), repr=False)


def load(request: LoadRequest, *, read: ReadFile = read_from_disk, trace: Trace | None = None) -> Loaded:
    """Load a stack. Never raises for what the user wrote. What takes part is noted in ``trace``."""
    problems = Problems()
    sources = Sources(cwd=request.cwd, stdin=request.stdin, read=read)
    workshop = Workshop(sources, problems, home=request.environment.get("HOME", "/root"))
    workshop.resolves_paths = request.has_absolute_paths
    workshop.interpolates = request.is_interpolated
    workshop.trace = trace
    project = _find(request, workshop)
    document = _load(request, workshop, project) if project is not None else None
    asked = {name for environment in workshop.environments for name in environment.asked}
    known = project.variables if project is not None else request.environment
    return Loaded(
        document=None if problems.has_errors else document,
        diagnostics=tuple(_with_chain(found, workshop) for found in problems.all()),
        lines=sources.line_texts(),
        files_read=tuple(dict.fromkeys(sources.present)),
        files_absent=tuple(dict.fromkeys(sources.absent)),
        files_found=tuple(dict.fromkeys(sources.found)),
        variables=MappingProxyType({name: known.get(name) for name in sorted(asked)}),
    )


def _with_chain(found: Diagnostic, workshop: Workshop) -> Diagnostic:
    """Add how the file it speaks of came to be read, if another one brought it."""
    chain = workshop.chain(found.sources[0].file) if found.sources else ()
    return replace(found, detail="\n".join([found.detail, *chain])) if chain else found


def variables_of(request: LoadRequest, *, read: ReadFile = read_from_disk) -> tuple[Use, ...]:
    """Return every variable expression of the files themselves, in the order written."""
    sources = Sources(cwd=request.cwd, stdin=request.stdin, read=read)
    workshop = Workshop(sources, Problems(), home="")
    project = _find(request, workshop)
    documents = [node for file in project.files for node in workshop.parse(file) or ()] if project else []
    return tuple(use for node in documents for use in variables_used(node))


def environment_of(request: LoadRequest, *, read: ReadFile = read_from_disk) -> dict[str, str]:
    """Return the variables an expression may name: the caller's, over those of the ``.env`` files."""
    workshop = Workshop(Sources(cwd=request.cwd, stdin=request.stdin, read=read), Problems(), home="")
    project = _find(request, workshop)
    if project is None:
        return dict(request.environment)
    name = project_name(project, workshop, asked=request.project_name)
    return {**project.variables, "COMPOSE_PROJECT_NAME": name}


def _find(request: LoadRequest, workshop: Workshop) -> Project | None:
    return find_project(
        workshop,
        files=request.files,
        directory=request.project_directory,
        env_files=request.env_files,
        environment=request.environment,
    )


def _load(request: LoadRequest, workshop: Workshop, project: Project) -> Document | None:
    problems, sources = workshop.problems, workshop.sources
    name = project_name(project, workshop, asked=request.project_name, is_normalised=request.is_normalised)
    environment = Environment({**project.variables, "COMPOSE_PROJECT_NAME": name})
    workshop.environments.append(environment)
    workshop.project_dir = project.directory
    root = load_files(project.files, workshop, environment, base_dir=project.directory)
    check_node(root, problems, is_partial=False)
    _check_named(root, request, problems)
    profiles = active_profiles(project, request.profiles)
    root, disabled = select(root, profiles=profiles, named=request.services)
    root = with_inherited(root, environment) if request.is_normalised else root
    root = _resolve_environments(root, workshop, environment, request)
    finish = normalise if request.is_normalised else completed
    root = finish(root, name=name, base_dir=project.directory if request.has_absolute_paths else ".")
    tree = plain(root)
    if not isinstance(tree, dict):
        return None
    if request.is_checked:
        check(
            tree,
            NodePlaces(root),
            problems,
            disabled=disabled,
            is_complete=workshop.is_complete,
            is_normalised=request.is_normalised,
        )
    if request.has_named_only and request.services:
        root = with_dependencies(root, request.services)
        tree = plain(root)
    if not request.has_unused_resources:
        root = drop_unused(root)
    root = without_empty_resources(root)
    tree = plain(root)
    assert isinstance(tree, dict)
    contents = read_contents(root, workshop, environment, project.directory) if request.has_contents else {}
    return Document(
        tree=tree,
        positions=MappingProxyType(positions(root)),
        name=name,
        working_dir=project.directory,
        config_files=tuple("-" if file == "-" else sources.full(file) for file in project.files),
        profiles=profiles,
        disabled_services=disabled,
        environment_files=tuple(sources.full(file) for file in project.env_files),
        contents=MappingProxyType(contents),
    )


def _check_named(root: MappingNode, request: LoadRequest, problems: Problems) -> None:
    services = child_mapping(root, "services")
    known = services.entries if services is not None else {}
    for name in request.services:
        if name not in known:
            problems.error(
                "unknown-service",
                "Service is not defined",
                detail=f"The stack has no service `{name}`.",
                hint=did_you_mean(name, known),
            )


def _resolve_environments(
    root: MappingNode, workshop: Workshop, environment: Environment, request: LoadRequest
) -> MappingNode:
    services = child_mapping(root, "services")
    if services is None:
        return root
    found = {
        name: resolve_service(
            name,
            node,
            workshop,
            environment,
            reads_files=request.has_resolved_environment,
            has_arguments=request.is_normalised,
        )
        if isinstance(node, MappingNode)
        else node
        for name, node in services.entries.items()
    }
    return with_entry(root, "services", with_entries(services, found))
