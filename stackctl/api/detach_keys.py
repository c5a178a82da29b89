"""The keys by which a client at a terminal lets go of it: ctrl-p, ctrl-q unless it says otherwise."""

from __future__ import annotations

import string
from typing import Final

from stackctl.api.connection import BadRequest

DEFAULT: Final = b"\x10\x11"
_CONTROL: Final = {**{letter: number for number, letter in enumerate(string.ascii_lowercase, 1)}, "@": 0}
_MORE: Final = {"[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


def parse_detach_keys(text: str) -> bytes:
    """Return the bytes of ``ctrl-a,x``, DEFAULT for "". Raises BadRequest."""
    if not text:
        return DEFAULT
    found = bytearray()
    for key in text.split(","):
        name = key.removeprefix("ctrl-")
        if len(key) == 1 and key.isascii():
            found += key.encode()
        elif name != key and name in {**_CONTROL, **_MORE}:
            found.append({**_CONTROL, **_MORE}[name])
        else:
            raise BadRequest(f"Invalid detach keys ({text}) provided")
    return bytes(found)


class DetachKeys:
    """Looks for the keys in what is typed. What may be their beginning is held back until it is known."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""
        self.are_complete = False

    def feed(self, typed: bytes) -> bytes:
        """Return what is to be handed on; nothing counts after the keys."""
        data, self._held = self._held + typed, b""
        at = data.find(self._keys)
        if at >= 0:
            self.are_complete = True
            return data[:at]
        for length in range(min(len(self._keys) - 1, len(data)), 0, -1):
            if data.endswith(self._keys[:length]):
                self._held = data[-length:]
                return data[:-length]
        return data
