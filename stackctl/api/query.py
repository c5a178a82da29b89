"""Values of queries that several routes take."""

from __future__ import annotations

import json
from typing import Any

from stackctl.api.connection import BadRequest, Request


def filters_of(request: Request) -> dict[str, list[str]]:
    """Return Docker's ``filters``: a JSON object of lists, or of objects whose keys count. Raises BadRequest."""
    text = request.value("filters")
    if not text:
        return {}
    try:
        shape: Any = json.loads(text)
        return {
            key: [str(value) for value in (values if isinstance(values, list) else values.keys())]
            for key, values in shape.items()
        }
    except (ValueError, AttributeError) as error:
        raise BadRequest("invalid filters") from error


def seconds(request: Request) -> float | None:
    text = request.value("t")
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError as error:
        raise BadRequest(f"t: {text!r} is no number of seconds") from error


def size(request: Request, name: str) -> int:
    text = request.value(name)
    if not text.isdigit() or not int(text) < 65536:
        raise BadRequest(f"{name} must be a number of characters")
    return int(text)
