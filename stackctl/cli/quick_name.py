"""The project's name without parsing YAML: sure, or silent.

`ps` and its like need nothing of the files but the name, and a parser costs more than all the rest they do.
Whatever is not plainly readable is left to the stack file room, which this must never contradict.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final

FILE_NAMES: Final = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDE_NAMES: Final = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]*")
# A line at the margin of a mapping in block style begins with a plain key.
_KEY_LINE: Final = re.compile(r"([A-Za-z0-9_.-]+):([ \t].*)?")
# What may follow it on its line: a plain text, an anchor alone, or a quoted or flow value that ends there.
_WHOLE_VALUE: Final = re.compile(
    r"""[ \t]*
    (?: [A-Za-z0-9_./$~-].* | [&*][\w-]+ | [|>][0-9+-]* | "[^"]*" | '[^']*' | \{[^{}]*\} | \[[^][]*\] )?
    [ \t]*(?:[ \t]\#.*)?""",
    re.VERBOSE,
)
_NAME_LINE: Final = re.compile(r"name:[ ]+([a-z0-9][a-z0-9_-]*)[ ]*(?:[ ]#.*)?")
_LARGEST_BYTES: Final = 1 << 20


def quick_name(
    *,
    files: tuple[str, ...],
    project_name: str,
    project_directory: str,
    env_files: tuple[str, ...],
    environment: Mapping[str, str],
    cwd: str,
) -> str | None:
    """Return the project's name, None unless it is certain. Arguments are as in LoadRequest."""
    asked = project_name or environment.get("COMPOSE_PROJECT_NAME", "")
    if asked:
        return asked if _NAME.fullmatch(asked) else None
    if env_files or environment.get("COMPOSE_ENV_FILES"):
        return None
    found = files or _files_of(environment) or _discover(os.path.join(cwd, project_directory))
    if not found or "-" in found:
        return None
    paths = [os.path.normpath(os.path.join(cwd, file)) for file in found]
    folder = os.path.normpath(os.path.join(cwd, project_directory)) if project_directory else os.path.dirname(paths[0])
    if _is_there(f"{cwd}/.env") or _is_there(f"{folder}/.env"):
        return None
    return _name_in_files(paths, folder)


def _files_of(environment: Mapping[str, str]) -> tuple[str, ...]:
    separator = environment.get("COMPOSE_PATH_SEPARATOR") or ":"
    text = environment.get("COMPOSE_FILE", "")
    return tuple(part.strip() for part in text.split(separator) if part.strip())


def _discover(folder: str) -> tuple[str, ...]:
    folder = os.path.normpath(folder)
    while True:
        found = [f"{folder}/{name}" for name in FILE_NAMES if _is_there(f"{folder}/{name}")]
        if found:
            extra = [f"{folder}/{name}" for name in OVERRIDE_NAMES if _is_there(f"{folder}/{name}")]
            return (*found[:1], *extra[:1])
        parent = os.path.dirname(folder)
        if parent == folder:
            return ()
        folder = parent


def _is_there(path: str) -> bool:
    return os.path.lexists(path)


def _name_in_files(paths: list[str], folder: str) -> str | None:
    for path in reversed(paths):
        name = _name_in_file(path)
        if name != "":
            return name
    return re.sub(r"[^a-z0-9_-]", "", os.path.basename(folder).lower()).lstrip("_-") or None


def _name_in_file(path: str) -> str | None:
    """Return the name a file gives, "" when it gives none, None when that cannot be told so simply."""
    try:
        with open(path, "rb") as stream:
            text = stream.read(_LARGEST_BYTES + 1).decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    if len(text) > _LARGEST_BYTES:
        return None
    lines = [line for line in text.replace("\r\n", "\n").split("\n") if line.strip() and line[0] != "#"]
    if lines[:1] == ["---"]:
        del lines[0]
    if not lines or lines[0][0] == " ":
        return None
    return _name_at_margin([line for line in lines if line[0] != " "])


def _name_at_margin(lines: list[str]) -> str | None:
    name = ""
    for line in lines:
        key = _KEY_LINE.fullmatch(line)
        if key is None or not _WHOLE_VALUE.fullmatch(key[2] or ""):
            return None
        if key[1] == "name":
            given = _NAME_LINE.fullmatch(line)
            if given is None or name:
                return None
            name = given[1]
    return name
