"""A container as an image: what it changed becomes one more layer, as ``docker commit`` makes it.

Source: Docker Engine API 1.51, ImageCommit; moby, daemon/commit.go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from stackctl.images.changes import apply_changes
from stackctl.images.config import BASE_KEY, config_document, describe, read_json, rfc3339
from stackctl.images.incoming import IncomingImage, IncomingLayer
from stackctl.images.snapshot import copy_to_tar
from stackctl.model.image import HOST_IMAGE, ImageRef

_INHERITED = ("OnBuild", "Shell")


class Committed(NamedTuple):
    """What is made an image of.

    ``upper`` is the container's own folder, of which the paths in ``omitted`` are left out. ``config`` is its
    configuration as Docker's API tells it, ``changes`` are Dockerfile instructions, ``command`` is what it ran.
    """

    image_id: str
    upper: str
    omitted: frozenset[str]
    config: Mapping[str, Any]
    changes: Sequence[str]
    command: str
    author: str = ""
    comment: str = ""
    name: ImageRef | None = None


class Base(NamedTuple):
    """The container's image: its configuration, its layers (the lowest first), whether it stands on this machine."""

    document: bytes
    layers: tuple[IncomingLayer, ...]
    is_host: bool


def read_container(made: Committed, base: Base, folder: str, created_ns: int) -> IncomingImage:
    """Return the image, its new layer being a file in ``folder``. Raises ImageError, OSError."""
    path = f"{folder}/container.tar"
    diff_id = copy_to_tar(made.upper, path, made.omitted)
    all_layers = (*base.layers, IncomingLayer(path, diff_id, diff_id))
    document = _document(made, base, [layer.diff_id for layer in all_layers], rfc3339(created_ns))
    names = (made.name,) if made.name is not None else ()
    return IncomingImage(document, describe(document), all_layers, names)


def _document(made: Committed, base: Base, diff_ids: Sequence[str], created: str) -> bytes:
    shape = read_json(base.document, "the image configuration")
    inherited = shape.get("config") or {}
    shape["config"] = dict(made.config)
    shape.pop("rootfs", None)
    config = apply_changes(describe(json.dumps(shape).encode()).config, made.changes)
    entry = {"created": created, "created_by": made.command, "author": made.author, "comment": made.comment}
    history = [*_earlier(shape, base), {key: value for key, value in entry.items() if value}]
    built = json.loads(config_document(config, diff_ids, created=created, history=history))
    built["config"] |= {key: inherited[key] for key in _INHERITED if inherited.get(key)}
    texts = {"author": made.author, "comment": made.comment}
    built |= {key: value for key, value in texts.items() if value}
    if base.is_host:
        built[BASE_KEY] = {"base": HOST_IMAGE}
    return json.dumps(built, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _earlier(shape: Mapping[str, Any], base: Base) -> list[Mapping[str, Any]]:
    """Return the history of the container's image, with an entry for each of its layers."""
    found = [entry for entry in shape.get("history") or () if isinstance(entry, dict)]
    if base.is_host and not base.layers:
        return []
    known = sum(entry.get("empty_layer") is not True for entry in found)
    return [*found, *({} for _ in range(known, len(base.layers)))]
