"""OCI image layouts in a tar: ``index.json`` leads, through indexes and manifests, to images.

Source: OCI image-spec 1.1, image-layout.md, image-index.md, manifest.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from stackctl.errors import ImageError
from stackctl.images.config import describe
from stackctl.images.incoming import IncomingImage, IncomingLayer, parse_tag
from stackctl.images.limits import MAX_INDEX_DEPTH, MAX_LAYERS, MAX_MANIFESTS
from stackctl.images.members import Member, Members
from stackctl.images.platform import Platform, distance
from stackctl.model.image import ImageRef

INDEX: Final = "index.json"
_INDEX_TYPES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_FULL_NAME: Final = "io.containerd.image.name"
_REF_NAME: Final = "org.opencontainers.image.ref.name"
_UNNAMED: Final = " "
_ATTESTATION: Final = "vnd.docker.reference.type"


class _Candidate(NamedTuple):
    """A manifest found, with the names of the descriptors that lead to it, the outermost first."""

    manifest: dict[str, Any]
    platform: Platform | None
    group: str


def read_oci_archive(members: Members, wanted: Platform) -> tuple[IncomingImage, ...]:
    """Return the images of ``index.json``, of each name the one whose platform fits ``wanted`` best.

    A name with a single image is that image, whatever its platform. Raises ImageError, OSError.
    """
    index = members.json(members.get(INDEX), INDEX)
    walk = _Walk(members)
    groups: dict[str, list[_Candidate]] = {}
    for number, descriptor in enumerate(_descriptors(index)):
        for candidate in walk.candidates(descriptor, depth=0, group=_group(descriptor, number)):
            groups.setdefault(candidate.group, []).append(candidate)
    if not groups:
        raise ImageError("the archive holds no image", code="archive-incomplete")
    return tuple(_image(members, _choose(found, wanted), group) for group, found in groups.items())


class _Walk:
    def __init__(self, members: Members) -> None:
        self._members = members
        self._seen = 0

    def candidates(self, descriptor: Mapping[str, Any], *, depth: int, group: str) -> list[_Candidate]:
        """Return the image manifests below a descriptor that the archive holds."""
        self._seen += 1
        if depth > MAX_INDEX_DEPTH or self._seen > MAX_MANIFESTS:
            raise ImageError("the archive's indexes are nested too deep, or too many", code="image-too-large")
        if _ATTESTATION in _mapping(descriptor, "annotations"):
            return []
        member = self._members.blob(_text(descriptor, "digest"))
        if member is None:
            # An archive of one platform still lists the others.
            return []
        _check_size(descriptor, member)
        shape = self._members.json(member, "a manifest")
        if descriptor.get("mediaType") in _INDEX_TYPES or isinstance(shape.get("manifests"), list):
            found = []
            for inner in _descriptors(shape):
                found += self.candidates(inner, depth=depth + 1, group=group)
            return found
        if not isinstance(shape.get("layers"), list):
            raise ImageError("a manifest has no layers: its format is not supported", code="archive-unsupported")
        return [_Candidate(shape, _platform(descriptor), group)]


def _choose(found: Sequence[_Candidate], wanted: Platform) -> dict[str, Any]:
    if len(found) == 1:
        return found[0].manifest
    fitting = []
    for candidate in found:
        far = distance(wanted, candidate.platform) if candidate.platform else 0
        if far is not None:
            fitting.append((far, candidate.manifest))
    if not fitting:
        there = ", ".join(str(candidate.platform) for candidate in found)
        raise ImageError(f"the archive holds no image for {wanted}, only for {there}", code="image-platform-missing")
    return min(fitting, key=lambda item: item[0])[1]


def _image(members: Members, manifest: Mapping[str, Any], group: str) -> IncomingImage:
    config = members.blob(_text(_mapping(manifest, "config"), "digest"))
    if config is None:
        raise ImageError("the archive lacks an image's configuration", code="archive-incomplete")
    document = members.read(config, "the image configuration")
    description = describe(document)
    descriptors = manifest["layers"]
    if len(descriptors) > MAX_LAYERS or len(descriptors) != len(description.diff_ids):
        raise ImageError(
            f"a manifest names {len(descriptors)} layers, its configuration {len(description.diff_ids)}",
            code="archive-corrupt",
        )
    layers = []
    for descriptor, diff_id in zip(descriptors, description.diff_ids, strict=True):
        member = _layer(members, descriptor)
        layers.append(IncomingLayer(member.path, member.digest, diff_id))
    return IncomingImage(document, description, tuple(layers), _names(group))


def _layer(members: Members, descriptor: object) -> Member:
    if not isinstance(descriptor, dict):
        raise ImageError("a manifest is malformed: a layer is no object", code="archive-corrupt")
    if "encrypted" in str(descriptor.get("mediaType", "")):
        raise ImageError("the image's layers are encrypted", code="archive-unsupported")
    digest = _text(descriptor, "digest")
    member = members.blob(digest)
    if member is None:
        raise ImageError(f"the archive lacks layer {digest}", code="archive-incomplete")
    _check_size(descriptor, member)
    return member


def _group(descriptor: Mapping[str, Any], number: int) -> str:
    """Name what belongs together: manifests of one name are one image for several platforms."""
    annotations = _mapping(descriptor, "annotations")
    name = annotations.get(_FULL_NAME)
    if not isinstance(name, str):
        # Often only a tag, and a tag alone is no name.
        text = annotations.get(_REF_NAME)
        name = text if isinstance(text, str) and ("/" in text or ":" in text) else ""
    if name:
        return name
    return "" if _platform(descriptor) else f"{_UNNAMED}{number}"


def _names(group: str) -> tuple[ImageRef, ...]:
    return () if not group or group.startswith(_UNNAMED) else (parse_tag(group),)


def _platform(descriptor: Mapping[str, Any]) -> Platform | None:
    shape = _mapping(descriptor, "platform")
    if not shape:
        return None
    return Platform(*(str(shape.get(key) or "") for key in ("os", "architecture", "variant")))


def _descriptors(index: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = index.get("manifests") or []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise ImageError("an index is malformed: manifests is not a list of objects", code="archive-corrupt")
    return found


def _check_size(descriptor: Mapping[str, Any], member: Member) -> None:
    size = descriptor.get("size")
    if size is not None and size != member.size:
        raise ImageError(f"blob {member.digest} has {member.size} bytes, not {size!r}", code="digest-mismatch")


def _mapping(shape: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = shape.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ImageError(f"a manifest is malformed: {key} is not an object", code="archive-corrupt")
    return value


def _text(shape: Mapping[str, Any], key: str) -> str:
    value = shape.get(key)
    if not isinstance(value, str):
        raise ImageError(f"a manifest is malformed: {key} is not a text", code="archive-corrupt")
    return value
