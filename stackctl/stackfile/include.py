"""``include``: other stack files, each with a folder and environment of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from stackctl.stackfile.dotenv import read_dotenv
from stackctl.stackfile.interpolate import Environment
from stackctl.stackfile.node import Mapping, Mark, Node, Sequence, text_of, without
from stackctl.stackfile.transform import is_elsewhere, local_path
from stackctl.stackfile.yaml_text import lines_of

if TYPE_CHECKING:
    from stackctl.stackfile.layers import Workshop


class Included(NamedTuple):
    """One entry of ``include``: files merged with each other."""

    files: tuple[str, ...]
    base_dir: str
    variables: dict[str, str]
    mark: Mark


def included(
    root: Mapping,
    workshop: Workshop,
    environment: Environment,
    *,
    base_dir: str,
    chain: tuple[str, ...],
    load: Callable[[Included], Mapping],
) -> Node | None:
    """Return everything ``root`` includes as one tree; of two entries the earlier one wins."""
    entries = root.entries.get("include")
    total: Node | None = None
    for entry in reversed(entries.items) if isinstance(entries, Sequence) else ():
        sub = _entry(entry, workshop, environment, base_dir=base_dir)
        if sub is None or _is_cycle(sub, workshop, chain):
            continue
        total = workshop.merge(total, _resources(load(sub)))
    return total


def _resources(root: Mapping) -> Mapping:
    """Return what an included file brings: no name, and no keys of its own."""
    return without(root, [key for key in root.entries if key == "name" or key.startswith("x-")])


def _is_cycle(sub: Included, workshop: Workshop, chain: tuple[str, ...]) -> bool:
    full = [workshop.sources.full(file) for file in chain]
    for file in sub.files:
        if workshop.sources.full(file) in full:
            workshop.is_complete = False
            names = [*chain[full.index(workshop.sources.full(file)) :], file]
            workshop.problems.error(
                "include-cycle",
                "Files include each other",
                sub.mark,
                detail=f"`include` goes round in a circle: {' → '.join(names)}.",
            )
            return True
    return False


def _entry(entry: Node, workshop: Workshop, environment: Environment, *, base_dir: str) -> Included | None:
    env_files: list[tuple[str, Mark]] | None = None
    directory = None
    if isinstance(entry, Mapping):
        paths = _texts(entry.entries.get("path"))
        env_files = _texts(entry.entries.get("env_file")) or None
        directory = text_of(entry.entries.get("project_directory"))
        mark = entry.keys.get("path", entry.mark)
    else:
        paths, mark = _texts(entry), entry.mark
    for path, at in paths:
        if is_elsewhere(path):
            workshop.is_complete = False
            workshop.problems.error(
                "unsupported-key",
                "Not supported",
                at,
                detail=f"`include` from another machine (`{path}`) is not supported.",
                hint="copy the files beside this one",
            )
            return None
    context = workshop.context(base_dir, is_brought=True)._replace(base_dir=base_dir)
    files = [local_path(path, context) for path, _ in paths]
    folder = local_path(directory, context) if directory else os.path.dirname(files[0]) if files else base_dir
    base = folder if not directory or os.path.isabs(directory) or os.path.isdir(folder) else os.path.dirname(folder)
    if env_files is None:
        default = os.path.join(folder, ".env")
        wanted = [(default, mark)] if workshop.sources.exists(default) else []
    else:
        wanted = [(local_path(path, context), at) for path, at in env_files]
    variables: dict[str, str] = {}
    for path, at in wanted:
        variables |= _read_env(path, at, workshop, environment)
    if not paths:
        return None
    shown = tuple(_shown(file, workshop.sources.cwd) for file in files)
    return Included(shown, base, variables, paths[0][1])


def _texts(node: Node | None) -> list[tuple[str, Mark]]:
    items = node.items if isinstance(node, Sequence) else ((node,) if node is not None else ())
    found = [(text_of(item), item.mark) for item in items]
    return [(text, mark) for text, mark in found if text is not None]


def _shown(full: str, cwd: str) -> str:
    """Return the path as a user in ``cwd`` would type it."""
    relative = os.path.relpath(full, cwd)
    return full if relative.startswith("..") else relative


def _read_env(path: str, mark: Mark, workshop: Workshop, environment: Environment) -> dict[str, str]:
    text = workshop.read_text(path, asked_by=mark)
    if text is None:
        return {}
    workshop.sources.keep_lines(path, lines_of(text))
    places = workshop.trace.variables if workshop.trace is not None else None
    return read_dotenv(text, file=path, lookup=environment, problems=workshop.problems, places=places)
