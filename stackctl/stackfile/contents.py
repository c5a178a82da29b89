"""The content of configs and secrets, read while the files are at hand."""

from __future__ import annotations

import os

from stackctl.stackfile.interpolate import Environment
from stackctl.stackfile.layers import Workshop
from stackctl.stackfile.node import Mapping, Mark, Node, Scalar, Sequence, child_mapping, text_of
from stackctl.stackfile.security import seccomp_path

_KINDS = (("configs", "config"), ("secrets", "secret"))


def read_contents(root: Mapping, workshop: Workshop, environment: Environment, working_dir: str) -> dict[str, bytes]:
    """Return the content of every config and secret, under ``config/KEY`` and ``secret/KEY``, and of seccomp profiles.

    What cannot be had is reported as an error where the config or secret asks for it. External ones, and
    those that do not say where their content is, are left to the checks.
    """
    contents: dict[str, bytes] = {}
    for section, kind in _KINDS:
        resources = child_mapping(root, section)
        for key, node in resources.entries.items() if resources is not None else ():
            content = _content(kind, key, node, workshop, environment)
            if content is not None:
                contents[f"{kind}/{key}"] = content
    return contents | _seccomp_profiles(root, workshop, working_dir)


def _seccomp_profiles(root: Mapping, workshop: Workshop, working_dir: str) -> dict[str, bytes]:
    """Return the profiles of ``security_opt``, under ``seccomp/PATH``."""
    found: dict[str, bytes] = {}
    services = child_mapping(root, "services")
    for service in services.entries.values() if services is not None else ():
        options = service.entries.get("security_opt") if isinstance(service, Mapping) else None
        for option in options.items if isinstance(options, Sequence) else ():
            path = seccomp_path(text_of(option) or "")
            full = os.path.normpath(os.path.join(working_dir, os.path.expanduser(path)))
            if path and (content := _read(full, f"`{path}`, a seccomp profile", option.mark, workshop)) is not None:
                found[f"seccomp/{path}"] = content
    return found


def _content(kind: str, key: str, node: Node, workshop: Workshop, environment: Environment) -> bytes | None:
    if not isinstance(node, Mapping):
        return None
    external = node.entries.get("external")
    if isinstance(external, Scalar) and external.value is True:
        return None
    text = text_of(node.entries.get("content"))
    if text is not None:
        return text.encode("utf-8", "surrogateescape")
    variable = text_of(node.entries.get("environment"))
    if variable is not None:
        return _from_variable(kind, key, variable, node, workshop, environment)
    path = text_of(node.entries.get("file"))
    return None if path is None else _from_file(kind, key, path, node, workshop)


def _from_variable(
    kind: str, key: str, variable: str, node: Mapping, workshop: Workshop, environment: Environment
) -> bytes | None:
    value = environment(variable)
    if value is None:
        workshop.problems.error(
            "missing-variable",
            "Required variable is not set",
            node.entries["environment"].mark,
            detail=f"`{variable}` must be set: the {kind} `{key}` takes its content from it.",
            hint=f"export {variable}, or put `{variable}=…` into the .env file",
        )
        return None
    return value.encode("utf-8", "surrogateescape")


def _from_file(kind: str, key: str, path: str, node: Mapping, workshop: Workshop) -> bytes | None:
    return _read(path, f"`{path}`, the file of the {kind} `{key}`", node.entries["file"].mark, workshop)


def _read(path: str, what: str, mark: Mark, workshop: Workshop) -> bytes | None:
    try:
        return workshop.sources.read(path)
    except FileNotFoundError:
        workshop.problems.error(
            "file-not-found",
            "File not found",
            mark,
            detail=f"{what}, does not exist.",
        )
    except OSError as wrong:
        workshop.problems.error(
            "file-unreadable",
            "File cannot be read",
            mark,
            detail=f"{what}: {(wrong.strerror or str(wrong)).lower()}.",
        )
    return None
