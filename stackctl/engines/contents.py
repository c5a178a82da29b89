"""Contents of configs and secrets: kept by fingerprint, readable by root only."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable, Mapping

from stackctl.runtime.paths import EnginePaths, drop_half_written, write_atomically


class ContentStore:
    """Keeps contents under fingerprints that are keyed by the engine.

    Keyed, because a specification is readable more widely than the content: without the key nobody can
    try short secrets against the fingerprint.
    """

    def __init__(self, paths: EnginePaths) -> None:
        self._folder = paths.contents
        drop_half_written(self._folder)
        self._key = _key(f"{paths.root}/contents.key")

    def fingerprint(self, content: bytes) -> str:
        """Return the name the content has in this engine."""
        return hmac.new(self._key, content, hashlib.sha256).hexdigest()

    def fingerprints(self, contents: Mapping[str, bytes]) -> dict[str, str]:
        """Return the fingerprint of each; stores nothing."""
        return {name: self.fingerprint(content) for name, content in contents.items()}

    def store(self, contents: Mapping[str, bytes]) -> None:
        """Keep every content. Raises OSError."""
        for content in contents.values():
            path = f"{self._folder}/{self.fingerprint(content)}"
            if not os.path.exists(path):
                write_atomically(path, content)

    def keep_only(self, fingerprints: Iterable[str]) -> None:
        """Delete every content no container uses."""
        wanted = set(fingerprints)
        for name in os.listdir(self._folder):
            if name not in wanted and "." not in name:
                os.unlink(f"{self._folder}/{name}")


def _key(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        key = os.urandom(32)
        write_atomically(path, key)
        return key
