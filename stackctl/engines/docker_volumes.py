"""Volumes in the data root of a Docker Engine: read from its files, which needs no Docker. Nothing is changed there."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from stackctl.errors import Conflict, EngineError, NotFound

DEFAULT_ROOT: Final = "/var/lib/docker"
_REMAPPED: Final = re.compile(r"\d+\.\d+")
_LARGEST_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class DockerVolume:
    """A volume: where its files are, and the labels it has, as far as they can be told."""

    name: str
    folder: str
    labels: tuple[tuple[str, str], ...] = ()


def find_volume(root: str, name: str) -> DockerVolume:
    """Return the volume. Raises NotFound, and Conflict for one whose files are elsewhere: NFS and the like."""
    folder = f"{root}/volumes/{name}"
    if "/" in name or name in ("", ".", "..") or not os.path.isdir(f"{folder}/_data"):
        raise _not_found(root, name)
    options = _read_json(f"{folder}/opts.json")
    device = str(options.get("MountDevice") or "")
    if device:
        raise Conflict(
            f"Docker's volume {name} is {device}, mounted by driver_opts: its files are not in {root}",
            code="docker-volume-elsewhere",
            hint="write the same driver_opts into the stack file: there is nothing to copy",
        )
    return DockerVolume(name, f"{folder}/_data", tuple(sorted(_labels(root, name).items())))


def users_of(root: str, name: str) -> list[str]:
    """Return the names of the containers that run with the volume now."""
    return sorted(str(shape.get("Name", "")).lstrip("/") for shape in _containers(root) if _uses(shape, name))


def _uses(shape: Mapping[str, Any], name: str) -> bool:
    state: Mapping[str, Any] = shape.get("State") or {}
    pid = state.get("Pid") or 0
    mounts: Mapping[str, Any] = shape.get("MountPoints") or {}
    is_mounted = any((mount or {}).get("Name") == name for mount in mounts.values())
    # What crashed with the machine is still written down as running.
    return is_mounted and bool(state.get("Running")) and os.path.exists(f"/proc/{pid}")


def _containers(root: str) -> Iterator[Mapping[str, Any]]:
    try:
        ids = os.listdir(f"{root}/containers")
    except FileNotFoundError:
        return
    for container in ids:
        yield _read_json(f"{root}/containers/{container}/config.v2.json")


def _not_found(root: str, name: str) -> EngineError:
    folder = f"{root}/volumes"
    if not os.path.isdir(folder):
        inner = [entry for entry in (os.listdir(root) if os.path.isdir(root) else ()) if _REMAPPED.fullmatch(entry)]
        hint = f"with user namespaces it is --docker-root {root}/{inner[0]}" if inner else "name it with --docker-root"
        return NotFound(f"{root} is no data root of Docker: it has no volumes", code="no-docker-root", hint=hint)
    names = sorted(entry for entry in os.listdir(folder) if os.path.isdir(f"{folder}/{entry}/_data"))
    hint = f"there are {', '.join(names[:8])}{' and more' if len(names) > 8 else ''}" if names else "there is none"
    return NotFound(f"Docker has no volume {name} in {root}", code="no-such-volume", hint=hint)


def _labels(root: str, name: str) -> dict[str, str]:
    """Return the labels out of Docker's database of volumes, as far as they are plain to see there.

    It is a B+tree file (bolt) whose values are JSON; the one that names the volume is looked for. A page that is
    no longer used may hold an older one, and the last is taken: labels of a volume never change.
    """
    path = f"{root}/volumes/metadata.db"
    try:
        if os.path.getsize(path) > _LARGEST_BYTES:
            return {}
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        return {}
    found: dict[str, str] = {}
    start = b'{"Name":%s,' % json.dumps(name).encode()
    at = content.find(start)
    while at >= 0:
        text = content[at : at + (1 << 16)].decode("utf-8", "replace")
        try:
            labels = json.JSONDecoder().raw_decode(text)[0].get("Labels") or {}
            found = {str(key): str(value) for key, value in labels.items()}
        except (ValueError, AttributeError):
            pass  # the end of a page has cut it off
        at = content.find(start, at + 1)
    return found


def _read_json(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            shape = json.load(file)
    except (OSError, ValueError):
        return {}
    return shape if isinstance(shape, dict) else {}
