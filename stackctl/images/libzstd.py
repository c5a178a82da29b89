"""zstd by the system's own library: Python has no decoder before 3.14, and nearly every Linux has libzstd.

Source: zstd.h of Zstandard 1.4, "Streaming decompression".
"""

from __future__ import annotations

import ctypes
import weakref
from functools import cache
from typing import Final

_NAME: Final = "libzstd.so.1"
_PIECE_BYTES: Final = 128 * 1024


class ZstdError(ValueError):
    """The data are no zstd frame, or a damaged one."""


class _Buffer(ctypes.Structure):
    """ZSTD_inBuffer and ZSTD_outBuffer, which look the same."""

    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_size_t), ("at", ctypes.c_size_t))


class ZstdDecompressor:
    """Decodes one frame; made and used like that of ``compression.zstd``. Raises ImportError without the library."""

    def __init__(self) -> None:
        self._library = library = _library()
        self._stream = library.ZSTD_createDStream()
        if not self._stream:
            raise MemoryError("zstd")
        weakref.finalize(self, library.ZSTD_freeDStream, self._stream)
        self._input = b""
        self._out = ctypes.create_string_buffer(_PIECE_BYTES)
        self.eof = False
        self.needs_input = True
        self.unused_data = b""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Return at most ``max_length`` bytes of what ``data`` and earlier input decode to. Raises ZstdError."""
        if self.eof:
            raise EOFError("the frame has ended")
        left = self._input + data
        source = _Buffer(ctypes.cast(ctypes.c_char_p(left), ctypes.c_void_p), len(left), 0)
        pieces: list[bytes] = []
        total = 0
        while max_length < 0 or total < max_length:
            room = _PIECE_BYTES if max_length < 0 else min(_PIECE_BYTES, max_length - total)
            target = _Buffer(ctypes.addressof(self._out), room, 0)
            hint = self._library.ZSTD_decompressStream(self._stream, ctypes.byref(target), ctypes.byref(source))
            if self._library.ZSTD_isError(hint):
                raise ZstdError(self._library.ZSTD_getErrorName(hint).decode("ascii", "replace"))
            pieces.append(ctypes.string_at(self._out, target.at))
            total += target.at
            self.eof = hint == 0
            if self.eof or target.at < room:
                break
        self._input = b"" if self.eof else left[source.at :]
        self.unused_data = left[source.at :] if self.eof else b""
        # With the output full there may be more to come without any input.
        self.needs_input = not self.eof and not self._input and (max_length < 0 or total < max_length)
        return b"".join(pieces)


def is_available() -> bool:
    """Whether the library is on this machine."""
    try:
        _library()
    except ImportError:
        return False
    return True


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(_NAME)
    except OSError as error:
        raise ImportError(f"{_NAME}: {error}") from error
    pointer, size, buffer = ctypes.c_void_p, ctypes.c_size_t, ctypes.POINTER(_Buffer)
    library.ZSTD_createDStream.restype = pointer
    library.ZSTD_createDStream.argtypes = ()
    library.ZSTD_freeDStream.restype = size
    library.ZSTD_freeDStream.argtypes = (pointer,)
    library.ZSTD_decompressStream.restype = size
    library.ZSTD_decompressStream.argtypes = (pointer, buffer, buffer)
    library.ZSTD_isError.restype = ctypes.c_uint
    library.ZSTD_isError.argtypes = (size,)
    library.ZSTD_getErrorName.restype = ctypes.c_char_p
    library.ZSTD_getErrorName.argtypes = (size,)
    return library
