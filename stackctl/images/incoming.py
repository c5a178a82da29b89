"""Images on their way into the store: read and named, not yet verified as a whole, not yet visible."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from stackctl.errors import ImageError
from stackctl.images.config import Description
from stackctl.model.image import HOST_IMAGE, ImageRef, parse_image_ref

IMAGE_ID: Final = re.compile(r"(sha256:)?([0-9a-f]{1,64})")


@dataclass(frozen=True, slots=True)
class IncomingLayer:
    """A layer as a file, compressed or not: its digest, known to be right, and what it must extract to."""

    path: str
    blob: str
    diff_id: str


@dataclass(frozen=True, slots=True)
class IncomingImage:
    """An image: the bytes of its configuration, its layers (the lowest first), and names."""

    document: bytes
    description: Description
    layers: tuple[IncomingLayer, ...]
    names: tuple[ImageRef, ...]

    @property
    def id(self) -> str:
        """The digest of the configuration."""
        return digest_of(self.document)


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """One image of an archive under one name, in familiar form; "" when the archive names it not."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class PulledImage:
    """What a pull brought: the image, the digest its name leads to in the registry, and whether that is news here."""

    id: str
    digest: str
    is_new: bool


def digest_of(content: bytes) -> str:
    """Return ``sha256:HEX`` of ``content``."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def parse_tag(text: str) -> ImageRef:
    """Read a name that an image may get. Raises ImageError for digests, and for the built-in image's."""
    reference = parse_reference(text)
    if reference.digest:
        raise ImageError(f"invalid image name {text!r}: a name and a tag are needed", code="image-name-invalid")
    return reference


def parse_reference(text: str) -> ImageRef:
    """Read the name of an image that is not built in, with a tag or a digest. Raises ImageError."""
    try:
        reference = parse_image_ref(text)
    except ValueError as error:
        raise ImageError(f"invalid image name {text!r}: {error}", code="image-name-invalid") from error
    if len(reference.repository) > 255:
        raise ImageError(f"invalid image name {text[:40]!r}…: it is too long", code="image-name-invalid")
    if reference == host_reference():
        raise ImageError(f"the name {text!r} is the built-in image's", code="image-builtin")
    return reference


def host_reference() -> ImageRef:
    """Return the full name of the built-in image."""
    return parse_image_ref(HOST_IMAGE)


def full_name(reference: str) -> str:
    """Return the form in the index, "" for what is no name (then it can only be an id)."""
    try:
        parsed = parse_image_ref(reference)
    except ValueError:
        return ""
    # With a digest the tag is only shown, never looked at.
    return str(parsed) if not parsed.digest else f"{parsed.registry}/{parsed.repository}@{parsed.digest}"


def with_tag(reference: str) -> str:
    """Return a name as it is shown, with its tag; what is no name as it is."""
    full = full_name(reference)
    return parse_image_ref(full).familiar if full else reference


def is_id_of(reference: str, image_id: str) -> bool:
    """Whether a reference is the id of an image, or the beginning of it."""
    match = IMAGE_ID.fullmatch(reference)
    return match is not None and image_id.startswith(f"sha256:{match[2]}")
