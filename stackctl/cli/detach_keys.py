"""The keys that leave a container alone: they are seen in what is typed, and not passed on. Pure."""

from __future__ import annotations

from typing import Final

from stackctl.errors import UsageError

DEFAULT: Final = "ctrl-p,ctrl-q"


class DetachKeys:
    """Looks for a sequence of keys, which may come in any number of pieces."""

    def __init__(self, sequence: bytes) -> None:
        self._sequence = sequence
        self._seen = 0
        self.was_typed = False

    def feed(self, data: bytes) -> bytes:
        """Return what of ``data`` is the process's own: what may still become the sequence is held back."""
        passed = bytearray()
        for key in data:
            passed += self._key(key)
            if self.was_typed:
                break
        return bytes(passed)

    def _key(self, key: int) -> bytes:
        if not self._sequence:
            return bytes([key])
        if key == self._sequence[self._seen]:
            self._seen += 1
            self.was_typed = self._seen == len(self._sequence)
            return b""
        # The first key held back is none of the sequence; those after it may be.
        held, self._seen = self._sequence[: self._seen] + bytes([key]), 0
        return held[:1] + b"".join(self._key(later) for later in held[1:])


def parse_keys(text: str) -> bytes:
    """Return what ``ctrl-p,q`` sends. Raises UsageError."""
    return bytes(_code(key, text) for key in text.split(",")) if text else b""


def _code(key: str, text: str) -> int:
    name = key.lower().removeprefix("ctrl-")
    if len(key) == 1 and key.isascii():
        return ord(key)
    if key.lower().startswith("ctrl-") and len(name) == 1 and name in "@abcdefghijklmnopqrstuvwxyz[\\]^_":
        return ord(name.upper()) & 0x1F
    raise UsageError(
        f"invalid detach keys: {text}", hint="write single characters and ctrl-LETTER, with commas between"
    )
