"""Which files make up the project, where it stands, and what it is called."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from stackctl.stackfile.dotenv import read_dotenv
from stackctl.stackfile.interpolate import Environment, Fault, expand
from stackctl.stackfile.layers import Workshop, folder_of
from stackctl.stackfile.node import Mapping as MappingNode
from stackctl.stackfile.node import Mark, text_of
from stackctl.stackfile.yaml_text import lines_of

FILE_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDE_NAMES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
PROJECT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_TRUE = ("1", "t", "true", "y", "yes", "on")


class Project(NamedTuple):
    """What is known before any stack file is read.

    ``files`` are as typed, or relative to the current folder where they were found. ``variables`` are the
    caller's, over those of the ``.env`` files. ``env_files`` are those asked for by name.
    """

    files: tuple[str, ...]
    directory: str
    variables: Mapping[str, str]
    env_files: tuple[str, ...]


def find_project(
    workshop: Workshop,
    *,
    files: tuple[str, ...],
    directory: str,
    env_files: tuple[str, ...],
    environment: Mapping[str, str],
) -> Project | None:
    """Find the files and the environment; None, with an error, when there are none."""
    sources = workshop.sources
    named_env_files = env_files or _split(environment.get("COMPOSE_ENV_FILES", ""), ",")
    variables: dict[str, str] = {}
    if named_env_files:
        variables = _read_env_files(named_env_files, workshop, environment)
    elif not files:
        variables = _default_env(sources.full(directory or "."), workshop, environment)
    if not files:
        seen = {**variables, **environment}
        separator = seen.get("COMPOSE_PATH_SEPARATOR") or ":"
        files = _split(seen.get("COMPOSE_FILE", ""), separator)
    if files:
        named = [file for file in files if file != "-"]
        folder = sources.full(directory) if directory else _folder(named, sources.cwd)
    else:
        files = _discover(workshop, directory)
        if not files:
            return None
        folder = sources.full(directory) if directory else folder_of(files[0], sources.cwd)
    if not named_env_files:
        # The current folder's .env, read above for COMPOSE_FILE, wins over the project's.
        variables = {**_default_env(folder, workshop, environment), **variables}
    return Project(files, folder, {**variables, **environment}, named_env_files)


def project_name(project: Project, workshop: Workshop, *, asked: str, is_normalised: bool = True) -> str:
    """Return the project's name: as asked for, else of the environment, else of the files, else the folder's.

    "" when none can be had; that is reported. Not normalised, the files' name is as it is written.
    """
    for text, origin in (
        (asked, "-p"),
        (project.variables.get("COMPOSE_PROJECT_NAME", ""), "COMPOSE_PROJECT_NAME"),
    ):
        if text:
            if not PROJECT_NAME.fullmatch(text):
                _report_bad_name(workshop, text, origin)
            return text
    for file in reversed(project.files):
        name, mark = _name_in(file, workshop, project.variables)
        if mark is not None and not is_normalised:
            return name
        if mark is not None:
            if not normalise_name(name):
                _report_bad_name(workshop, name, "name", mark)
            return normalise_name(name)
    name = normalise_name(os.path.basename(project.directory))
    if not name:
        workshop.problems.error(
            "no-project-name",
            "Project has no name",
            detail=f"No name can be made from the folder `{project.directory}`.",
            hint="put `name: …` at the top of the file, or use -p",
        )
    return name


def normalise_name(text: str) -> str:
    """Return ``text`` as a project name: lower case, other characters dropped."""
    return re.sub(r"[^a-z0-9_-]", "", text.lower()).lstrip("_-")


def active_profiles(project: Project, asked: tuple[str, ...]) -> tuple[str, ...]:
    """Return the profiles in force; those asked for replace COMPOSE_PROFILES."""
    return asked or _split(project.variables.get("COMPOSE_PROFILES", ""), ",")


def _name_in(file: str, workshop: Workshop, variables: Mapping[str, str]) -> tuple[str, Mark | None]:
    for document in reversed(workshop.parse(file) or []):
        node = document.entries.get("name") if isinstance(document, MappingNode) else None
        text = text_of(node)
        if node is not None and text:
            faults: list[Fault] = []
            environment = Environment(variables)
            workshop.environments.append(environment)
            return expand(text, environment, faults=faults), node.mark
    return "", None


def _report_bad_name(workshop: Workshop, text: str, origin: str, *marks: Mark) -> None:
    likely = normalise_name(text)
    workshop.problems.error(
        "bad-name",
        "Name not allowed",
        *marks,
        detail=f"The project name `{text}` of {origin} must start with a lower-case letter or digit and hold"
        " only those, `_` and `-`.",
        hint=f"`{likely}` would do" if likely else "",
    )


def _discover(workshop: Workshop, directory: str) -> tuple[str, ...]:
    cwd = workshop.sources.cwd
    start = folder = workshop.sources.full(directory or ".")
    while True:
        present = [name for name in FILE_NAMES if workshop.sources.exists(os.path.join(folder, name))]
        if present:
            break
        parent = os.path.dirname(folder)
        if parent == folder:
            workshop.problems.error(
                "file-not-found",
                "No stack file found",
                detail=f"Neither `{start}` nor any folder above it has a compose.yaml.",
                hint="create compose.yaml, change folder, or name a file with -f",
            )
            return ()
        folder = parent
    override = [name for name in OVERRIDE_NAMES if workshop.sources.exists(os.path.join(folder, name))]
    _warn_about_several(workshop, present)
    _warn_about_several(workshop, override)
    shown = os.path.relpath(folder, cwd)
    prefix = "" if shown == "." else shown
    return tuple(os.path.join(prefix, name) for name in present[:1] + override[:1])


def _warn_about_several(workshop: Workshop, names: list[str]) -> None:
    if len(names) > 1:
        others = ", ".join(f"`{name}`" for name in names[1:])
        workshop.problems.warning(
            "several-files",
            "Several stack files",
            detail=f"`{names[0]}` is used; {others} beside it is not.",
            hint="name the files with -f, or remove the others",
        )


def _default_env(folder: str, workshop: Workshop, environment: Mapping[str, str]) -> dict[str, str]:
    if environment.get("COMPOSE_DISABLE_ENV_FILE", "").lower() in _TRUE:
        return {}
    path = os.path.join(folder, ".env")
    if not workshop.sources.exists(path) or os.path.isdir(path):
        return {}
    return _read_env_files((_shown(path, workshop.sources.cwd),), workshop, environment)


def _read_env_files(files: tuple[str, ...], workshop: Workshop, environment: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in files:
        text = workshop.read_text(file)
        if text is None:
            continue
        workshop.sources.keep_lines(file, lines_of(text))
        lookup = Environment({**found, **environment})
        workshop.environments.append(lookup)
        places = workshop.trace.variables if workshop.trace is not None else None
        found |= read_dotenv(text, file=file, lookup=lookup, problems=workshop.problems, places=places)
    return found


def _folder(named: list[str], cwd: str) -> str:
    return folder_of(named[0], cwd) if named else cwd


def _shown(full: str, cwd: str) -> str:
    relative = os.path.relpath(full, cwd)
    return full if relative.startswith("..") else relative


def _split(text: str, separator: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(separator) if part.strip())
