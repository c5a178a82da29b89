"""Docker's multiplexed stream: frames of one byte stream number, three of zero, four of length, and the payload.

Source: Docker Engine API, "Attach to a container", stream format.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

STDIN: Final = 0
STDOUT: Final = 1
STDERR: Final = 2
SYSTEM_ERROR: Final = 3

MULTIPLEXED: Final = "application/vnd.docker.multiplexed-stream"
RAW: Final = "application/vnd.docker.raw-stream"

_HEADER: Final = struct.Struct(">BxxxL")


class FrameError(ValueError):
    """The bytes are not a multiplexed stream."""


def encode(stream: int, data: bytes) -> bytes:
    """Return one frame. ``data`` must be shorter than 4 GiB."""
    return _HEADER.pack(stream, len(data)) + data


class FrameDecoder:
    """Takes a multiplexed stream apart, however it was cut into pieces.

    A payload is handed on as it arrives, never collected: one frame may come out as several pieces.
    """

    def __init__(self) -> None:
        self._head = b""
        self._stream = 0
        self._left = 0

    @property
    def is_between_frames(self) -> bool:
        """Whether all that was fed ended exactly where a frame does."""
        return not self._head and not self._left

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield (stream, bytes) for what ``data`` completes. Raises FrameError."""
        at = 0
        while at < len(data):
            if self._left:
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                yield self._stream, piece
                continue
            missing = _HEADER.size - len(self._head)
            self._head += data[at : at + missing]
            at += missing
            if len(self._head) == _HEADER.size:
                self._begin_frame()

    def _begin_frame(self) -> None:
        self._stream, self._left = _HEADER.unpack(self._head)
        if self._stream > SYSTEM_ERROR or self._head[1:4] != b"\0\0\0":
            raise FrameError(f"not a frame header: {self._head.hex()}")
        self._head = b""
