"""A root file system's tar as an image of one layer, as ``docker import`` makes it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import NamedTuple

from stackctl.images import layers
from stackctl.images.changes import apply_changes
from stackctl.images.chunks import Readable, chunks_of
from stackctl.images.config import config_document, describe, rfc3339
from stackctl.images.incoming import IncomingImage, IncomingLayer
from stackctl.images.platform import Platform
from stackctl.model.image import ImageConfig, ImageRef


class ImportRequest(NamedTuple):
    """What an imported image is called, and Dockerfile instructions for its configuration."""

    names: tuple[ImageRef, ...]
    changes: Sequence[str]
    platform: Platform
    created_ns: int
    comment: str = ""


def read_root_tar(stream: Readable, folder: str, request: ImportRequest) -> IncomingImage:
    """Read a tar, plain or compressed, to its end; return the image, its layer being a file in ``folder``.

    The stream need not be seekable. Raises ImageError, OSError.
    """
    config = apply_changes(
        ImageConfig(
            os=request.platform.os,
            architecture=request.platform.architecture,
            variant=request.platform.variant,
        ),
        request.changes,
    )
    path = f"{folder}/root.tar"
    hasher = hashlib.sha256()
    with open(path, "xb") as file:
        for chunk in chunks_of(stream):
            hasher.update(chunk)
            file.write(chunk)
    blob = f"sha256:{hasher.hexdigest()}"
    # What the layer is can only be known from what it extracts to.
    diff_id = layers.extract_to(path, f"{folder}/imported", blob)
    os.rename(f"{folder}/imported", layers.pending(folder, diff_id))
    created = rfc3339(request.created_ns)
    history = [{"created": created, "comment": request.comment or "Imported from -"}]
    document = config_document(config, (diff_id,), created=created, history=history)
    layer = IncomingLayer(path, blob, diff_id)
    return IncomingImage(document, describe(document), (layer,), request.names)
