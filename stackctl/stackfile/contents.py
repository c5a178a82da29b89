"""The content of configs and secrets, read while the files are at hand."""

from __future__ import annotations

from stackctl.stackfile.interpolate import Environment
from stackctl.stackfile.layers import Workshop
from stackctl.stackfile.node import Mapping, Node, Scalar, child_mapping, text_of

_KINDS = (("configs", "config"), ("secrets", "secret"))


def read_contents(root: Mapping, workshop: Workshop, environment: Environment) -> dict[str, bytes]:
    """Return the content of every config and secret, under ``config/KEY`` and ``secret/KEY``.

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
    return contents


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
    mark = node.entries["file"].mark
    try:
        return workshop.sources.read(path)
    except FileNotFoundError:
        workshop.problems.error(
            "file-not-found",
            "File not found",
            mark,
            detail=f"`{path}`, the file of the {kind} `{key}`, does not exist.",
        )
    except OSError as wrong:
        workshop.problems.error(
            "file-unreadable",
            "File cannot be read",
            mark,
            detail=f"`{path}`, the file of the {kind} `{key}`: {(wrong.strerror or str(wrong)).lower()}.",
        )
    return None
