"""Image archives: what ``docker save``, buildx, podman, skopeo and their like write."""

from __future__ import annotations

from collections.abc import Callable

from stackctl.errors import ImageError
from stackctl.images.chunks import Readable
from stackctl.images.docker_archive import MANIFEST, read_docker_archive
from stackctl.images.incoming import IncomingImage
from stackctl.images.members import spool
from stackctl.images.oci_archive import INDEX, read_oci_archive
from stackctl.images.platform import Platform


def read_archive(
    stream: Readable, folder: str, *, wanted: Platform, find_blob: Callable[[str], str]
) -> tuple[IncomingImage, ...]:
    """Read an archive of either form, plain or compressed, leaving its files in ``folder``.

    The stream is read once, to its end, and need not be seekable. Every file has the digest its name or
    descriptor says; layers are still to be held against their diff_ids. Raises ImageError, OSError.
    """
    members = spool(stream, folder, find_blob)
    if members.find(MANIFEST) is not None:
        images = read_docker_archive(members)
        if images:
            return images
    if members.find(INDEX) is None:
        raise ImageError(
            f"the archive holds no image: neither {MANIFEST} nor {INDEX} is in it",
            code="archive-incomplete",
            hint="for a plain root file system, use image import",
        )
    return read_oci_archive(members, wanted)
