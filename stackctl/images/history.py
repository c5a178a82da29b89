"""What an image was made of, step by step. Source: OCI image-spec, config.md; Docker Engine API 1.51, ImageHistory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stackctl.images.config import StoredImage, read_json, unix_time


def history_json(image: StoredImage, layer_bytes: Sequence[int]) -> list[dict[str, Any]]:
    """Return the answer to ``GET /images/{name}/history``, the last step first.

    ``layer_bytes`` are the sizes of its layers, the lowest first; steps that made none have size 0.
    """
    entries = read_json(image.document, "the image configuration").get("history")
    steps = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    sizes = iter(layer_bytes)
    found = []
    for step in steps:
        size = 0 if step.get("empty_layer") is True else next(sizes, 0)
        found.append(_entry(step, size))
    # Without a history, or with one that is too short, the layers are still there.
    found += [_entry({}, size) for size in sizes]
    if found:
        found[-1] |= {"Id": image.id, "Tags": list(image.tags) or None}
    return found[::-1]


def _entry(step: dict[str, Any], size: int) -> dict[str, Any]:
    texts = {
        key: value if isinstance(value := step.get(key), str) else "" for key in ("created", "created_by", "comment")
    }
    return {
        "Id": "<missing>",
        "Created": unix_time(texts["created"]),
        "CreatedBy": texts["created_by"],
        "Tags": None,
        "Size": size,
        "Comment": texts["comment"],
    }
