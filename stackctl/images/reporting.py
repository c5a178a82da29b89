"""What the disk or the index refuses, as errors of images."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from stackctl.errors import ImageError


@contextmanager
def reported() -> Iterator[None]:
    """Turn what the disk or the index refuses into an ImageError."""
    try:
        yield
    except OSError as error:
        hint = "make room where the engine keeps its state" if error.errno == 28 else ""
        where = f" {error.filename}" if error.filename else ""
        raise ImageError(f"image store{where}: {error.strerror}", code="image-store", hint=hint) from error
    except sqlite3.Error as error:
        raise ImageError(f"the index of images: {error}", code="image-store") from error
