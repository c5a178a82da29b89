"""The configuration of a built image: the same inputs give the same bytes, as long as the cache remembers when."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Final

from stackctl.images.build.history import COMMENT
from stackctl.images.build.site import Site, StageState
from stackctl.images.config import BASE_KEY, rfc3339
from stackctl.images.platform import host_platform
from stackctl.model.image import HOST_IMAGE

_HOST_BASE: Final = {"base": HOST_IMAGE}


def document(site: Site, state: StageState) -> bytes:
    """Return the JSON of the image that a finished stage is."""
    own = host_platform()
    shape: dict[str, object] = {
        "architecture": own.architecture,
        "os": own.os,
        "config": state.config.json(),
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in state.layers]},
    }
    if own.variant:
        shape["variant"] = own.variant
    if state.author:
        shape["author"] = state.author
    if state.base.host is not None:
        shape[BASE_KEY] = _HOST_BASE
    shape["history"] = [*state.base.history, *_history(state, "")]
    created = _created(site, shape)
    shape["history"] = [*state.base.history, *_history(state, created)]
    shape["created"] = created
    return _json(shape)


def _created(site: Site, shape: Mapping[str, object]) -> str:
    """Return when an image like this was made first."""
    key = hashlib.sha256(b"image " + _json(shape)).hexdigest()
    row = site.done_before(key) or site.workshop.keep_step(key, "")
    return rfc3339(row.created_ns)


def _history(state: StageState, created: str) -> list[dict[str, object]]:
    """Return the stage's own entries; what changed no file has the time of the image, ``created``."""
    found: list[dict[str, object]] = []
    for line in state.lines:
        moment = rfc3339(line.created_ns) if line.created_ns else created
        entry: dict[str, object] = {"created": moment, "created_by": line.created_by, "comment": COMMENT}
        if line.is_empty:
            entry["empty_layer"] = True
        found.append(entry)
    return found


def _json(shape: Mapping[str, object]) -> bytes:
    return json.dumps(shape, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
