"""Filters of images. Pure. Source: Docker Engine API 1.51, ImageList and ImagePrune."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from stackctl.api.selecting import Filters, check_known, has_labels, is_older, truth

Image = Mapping[str, Any]
LIST_FILTERS: Final = ("before", "dangling", "label", "reference", "since", "until")
PRUNE_FILTERS: Final = ("dangling", "label", "label!", "until")
_NS: Final = 1_000_000_000


def chosen(
    images: list[dict[str, Any]], filters: Filters, created_s: Callable[[str], int], now_ns: int
) -> list[dict[str, Any]]:
    """Return the images that pass; with ``reference`` only their names that match.

    ``created_s`` says when the image that a reference leads to was made. Raises BadRequest.
    """
    check_known(filters, LIST_FILTERS)
    before = min((created_s(one) for one in filters.get("before", ())), default=None)
    since = max((created_s(one) for one in filters.get("since", ())), default=None)
    dangling = truth(filters, "dangling")
    found = [
        image
        for image in images
        if passes(image, filters, now_ns)
        and (before is None or image["Created"] < before)
        and (since is None or image["Created"] > since)
        and (dangling is None or dangling == (not image["RepoTags"]))
    ]
    patterns = filters.get("reference")
    return (
        [cut for image in found if (cut := _cut(image, patterns))["RepoTags"] or cut["RepoDigests"]]
        if patterns
        else found
    )


def passes(image: Image, filters: Filters, now_ns: int) -> bool:
    """Whether an image has the labels and the age asked for. Raises BadRequest."""
    marks = image["Labels"] or {}
    return has_labels(marks.items(), filters) and is_older(image["Created"] * _NS, filters, now_ns)


def _cut(image: dict[str, Any], patterns: Any) -> dict[str, Any]:
    expressions = [_expression(pattern) for pattern in patterns]

    def matches(name: str) -> bool:
        bare = name.partition("@")[0] if "@" in name else name.rpartition(":")[0]
        return any(expression.fullmatch(text) for expression in expressions for text in (name, bare))

    return {
        **image,
        "RepoTags": [name for name in image["RepoTags"] if matches(name)],
        "RepoDigests": [name for name in image["RepoDigests"] if matches(name)],
    }


def _expression(pattern: str) -> re.Pattern[str]:
    """Return a path's glob as an expression: ``*`` and ``?`` stop at slashes."""
    for prefix in ("docker.io/library/", "docker.io/"):
        pattern = pattern.removeprefix(prefix)
    parts = {"*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(parts.get(letter, re.escape(letter)) for letter in pattern))
