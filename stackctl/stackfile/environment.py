"""A service's environment and labels: files and bare names, resolved."""

from __future__ import annotations

from stackctl.model.path import Path
from stackctl.stackfile.dotenv import read_dotenv, read_raw
from stackctl.stackfile.interpolate import Environment, Lookup
from stackctl.stackfile.layers import Workshop
from stackctl.stackfile.node import (
    Mapping,
    Mark,
    Node,
    Scalar,
    Sequence,
    child_mapping,
    is_null,
    text_of,
    with_entries,
    with_entry,
    without,
)
from stackctl.stackfile.yaml_text import lines_of


def resolve_service(
    name: str,
    service: Mapping,
    workshop: Workshop,
    environment: Environment,
    *,
    reads_files: bool = True,
    has_arguments: bool = True,
) -> Mapping:
    """Return ``service`` with env_file and label_file read, and names without a value looked up.

    With ``reads_files`` off, ``env_file`` stays named; without ``has_arguments``, build arguments stay as they are.
    What is in ``environment`` or ``labels`` wins over the files. A name nobody knows stays null.
    """
    if reads_files:
        found = _resolve_environment(name, service, workshop, environment)
    else:
        files = service.entries.get("env_file")
        found = _resolve_environment(name, without(service, ["env_file"]), workshop, environment)
        found = with_entry(found, "env_file", files) if files is not None else found
    found = _resolve_labels(name, found, workshop, environment)
    return _resolve_build_args(found, environment) if has_arguments else found


def _resolve_environment(name: str, service: Mapping, workshop: Workshop, environment: Environment) -> Mapping:
    own = child_mapping(service, "environment")
    entries: dict[str, Node] = dict(own.entries) if own is not None else {}
    keys = dict(own.keys) if own is not None else {}
    for key, entry in entries.items():
        if is_null(entry):
            entries[key] = Scalar(environment(key), entry.mark)
    lines: dict[str, Node] = {}
    for item in _items(service.entries.get("env_file")):
        places: dict[str, Mark] = {}
        for key, value in _read_env_file(item, workshop, environment, {**lines, **entries}, places).items():
            lines[key] = Scalar(value, item.mark)
            _note(workshop, ("services", name, "environment", key), value, places.get(key), item.mark)
    if not entries and not lines:
        return without(service, ["env_file"])
    for key, entry in lines.items():
        if key not in entries:
            entries[key] = entry
            keys[key] = entry.mark
    mark = own.mark if own is not None else service.mark
    return with_entry(without(service, ["env_file"]), "environment", Mapping(entries, keys, mark))


def _note(workshop: Workshop, path: Path, value: str, mark: Mark | None, asked_by: Mark) -> None:
    if workshop.trace is not None:
        workshop.trace.from_file(path, value, mark or asked_by, asked_by)


def _read_env_file(
    item: Node, workshop: Workshop, environment: Environment, known: dict[str, Node], places: dict[str, Mark]
) -> dict[str, str]:
    if not isinstance(item, Mapping):
        return {}
    path = text_of(item.entries.get("path"))
    required = item.entries.get("required")
    if path is None:
        return {}
    if isinstance(required, Scalar) and required.value is False and not workshop.sources.exists(path):
        return {}
    mark = item.entries["path"].mark

    def lookup(name: str) -> str | None:
        value = environment(name)
        return text_of(known.get(name)) if value is None else value

    form = text_of(item.entries.get("format")) or ""
    if form not in ("", "raw"):
        workshop.problems.error(
            "bad-value",
            "Value not allowed",
            item.entries["format"].mark,
            detail=f"The format of an `env_file` must be `raw`, or not be given; it is `{form}`.",
        )
    is_raw = form == "raw"
    return _read(path, mark, workshop, lookup=lookup, is_raw=is_raw, places=places)


def _read(
    path: str, mark: Mark, workshop: Workshop, *, lookup: Lookup, is_raw: bool, places: dict[str, Mark]
) -> dict[str, str]:
    text = workshop.read_text(path, asked_by=mark)
    if text is None:
        return {}
    workshop.sources.keep_lines(path, lines_of(text))
    if is_raw:
        return read_raw(text, file=path, lookup=lookup, problems=workshop.problems)
    wanted = places if workshop.trace is not None else None
    return read_dotenv(text, file=path, lookup=lookup, problems=workshop.problems, places=wanted)


def _resolve_labels(name: str, service: Mapping, workshop: Workshop, environment: Environment) -> Mapping:
    files = _items(service.entries.get("label_file"))
    if not files:
        return service
    entries: dict[str, Node] = {}
    for item in files:
        path = text_of(item)
        if path is None:
            continue
        places: dict[str, Mark] = {}
        found = _read(path, item.mark, workshop, lookup=environment, is_raw=False, places=places)
        entries |= {key: Scalar(value, item.mark) for key, value in found.items()}
        for key, value in found.items():
            _note(workshop, ("services", name, "labels", key), value, places.get(key), item.mark)
    own = child_mapping(service, "labels")
    keys = {key: entry.mark for key, entry in entries.items()}
    if own is not None:
        entries, keys = {**entries, **own.entries}, {**keys, **own.keys}
    mark = own.mark if own is not None else service.mark
    return with_entry(service, "labels", Mapping(entries, keys, mark))


def _resolve_build_args(service: Mapping, environment: Environment) -> Mapping:
    """A build argument without a value is looked up, and dropped when nobody knows it."""
    build = child_mapping(service, "build")
    args = child_mapping(build, "args")
    if build is None or args is None:
        return service
    entries: dict[str, Node] = {}
    for key, entry in args.entries.items():
        value = environment(key) if is_null(entry) else None
        if value is not None:
            entries[key] = Scalar(value, entry.mark)
        elif not is_null(entry):
            entries[key] = entry
    found = with_entry(build, "args", with_entries(args, entries)) if entries else without(build, ["args"])
    return with_entry(service, "build", found)


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.items if isinstance(node, Sequence) else ()
