"""Archives as ``docker save`` writes them: ``manifest.json`` names configurations, layers and tags.

Old ones hold ``ID/layer.tar``, some of them links to others; new ones are OCI layouts besides.
Source: moby, image/tarexport.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from stackctl.errors import ImageError
from stackctl.images.config import describe
from stackctl.images.incoming import IncomingImage, IncomingLayer, parse_tag
from stackctl.images.limits import MAX_IMAGES
from stackctl.images.members import Member, Members

MANIFEST: Final = "manifest.json"
_HEX: Final = re.compile(r"(?:.*/)?([0-9a-f]{64})(?:\.json)?")


def read_docker_archive(members: Members) -> tuple[IncomingImage, ...]:
    """Return the images of ``manifest.json``. Raises ImageError, OSError."""
    member = members.get(MANIFEST)
    try:
        entries = json.loads(members.read(member, MANIFEST))
    except (ValueError, RecursionError) as error:
        raise ImageError(f"{MANIFEST} is not JSON: {error}", code="archive-corrupt") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ImageError(f"{MANIFEST} is not a list of images", code="archive-corrupt")
    if len(entries) > MAX_IMAGES:
        raise ImageError(f"{MANIFEST} names more than {MAX_IMAGES} images", code="image-too-large")
    return tuple(_image(members, entry) for entry in entries)


def _image(members: Members, entry: dict[str, Any]) -> IncomingImage:
    name = entry.get("Config")
    if not isinstance(name, str):
        raise ImageError(f"{MANIFEST} has an image without Config", code="archive-corrupt")
    document = members.read(_named_by_digest(members, name), "the image configuration")
    description = describe(document)
    paths = _texts(entry, "Layers")
    if len(paths) != len(description.diff_ids):
        raise ImageError(
            f"{MANIFEST} names {len(paths)} layers, the configuration {len(description.diff_ids)}",
            code="archive-corrupt",
        )
    layers = []
    for path, diff_id in zip(paths, description.diff_ids, strict=True):
        member = _layer(members, path)
        layers.append(IncomingLayer(member.path, member.digest, diff_id))
    names = tuple(parse_tag(tag) for tag in _texts(entry, "RepoTags"))
    return IncomingImage(document, description, tuple(layers), names)


def _layer(members: Members, path: str) -> Member:
    # ``ID/layer.tar`` is named by an id that is no digest; ``blobs/sha256/HEX`` by its digest.
    return _named_by_digest(members, path) if path.startswith("blobs/") else members.get(path)


def _named_by_digest(members: Members, name: str) -> Member:
    member = members.get(name)
    match = _HEX.fullmatch(name)
    if match and member.digest != f"sha256:{match[1]}":
        raise ImageError(f"{name} is not what its name says: it is {member.digest}", code="digest-mismatch")
    return member


def _texts(entry: dict[str, Any], key: str) -> list[str]:
    value = entry.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ImageError(f"{MANIFEST}: {key} is not a list of texts", code="archive-corrupt")
    return value
