"""Contents of configs and secrets on their way to a Docker Engine, which has no place for them but the containers."""

from __future__ import annotations

import hashlib
import io
import posixpath
import tarfile
from collections.abc import Iterable, Mapping
from typing import Final

from stackctl.model.container import ContentMount

_COST: Final = 1 << 13
"""scrypt's: 25 ms and 8 MiB for each content."""


class SentContents:
    """Keeps contents for the time of one command, under fingerprints.

    A fingerprint is written on the container, for whoever may look at it. The key is the engine's id, so that everybody
    who drives the same engine comes to the same fingerprints. It is no secret: what makes it hard to try short secrets
    against a fingerprint is that each try costs as much as it does here.
    """

    def __init__(self, engine_id: str) -> None:
        self._salt = engine_id.encode()
        self._known: dict[str, bytes] = {}
        self._names: dict[bytes, str] = {}

    def fingerprints(self, contents: Mapping[str, bytes]) -> dict[str, str]:
        """See ``hosting.Contents``."""
        return {name: self._fingerprint(content) for name, content in contents.items()}

    def store(self, contents: Mapping[str, bytes]) -> None:
        """See ``hosting.Contents``."""
        for content in contents.values():
            self._known[self._fingerprint(content)] = content

    def keep_only(self, fingerprints: Iterable[str]) -> None:
        """Forget nothing: all of it goes with the command."""

    def get(self, fingerprint: str) -> bytes | None:
        """Return a content, None when it was not stored."""
        return self._known.get(fingerprint)

    def _fingerprint(self, content: bytes) -> str:
        found = self._names.get(content)
        if found is None:
            found = hashlib.scrypt(content, salt=self._salt, n=_COST, r=8, p=1, dklen=32).hex()
            self._names[content] = found
        return found


def contents_tar(mounts: Iterable[ContentMount], contents: SentContents, folder: str) -> bytes:
    """Return an archive, to be unpacked in ``folder``, of those whose content is known; b"" when there are none."""
    known = [(mount, content) for mount in mounts if (content := contents.get(mount.fingerprint)) is not None]
    if not known:
        return b""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for mount, content in known:
            member = tarfile.TarInfo(posixpath.relpath(mount.target, folder))
            member.size, member.mode, member.uid, member.gid = len(content), mount.mode, mount.uid, mount.gid
            archive.addfile(member, io.BytesIO(content))
    return raw.getvalue()
