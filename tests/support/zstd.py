"""zstd compression for tests, by the system's library."""

from __future__ import annotations

import ctypes

_CHECKSUM = 201


def zstd(content: bytes) -> bytes:
    """Return ``content`` as one zstd frame with a checksum."""
    library = ctypes.CDLL("libzstd.so.1")
    library.ZSTD_createCCtx.restype = ctypes.c_void_p
    library.ZSTD_compressBound.restype = library.ZSTD_compress2.restype = ctypes.c_size_t
    context = ctypes.c_void_p(library.ZSTD_createCCtx())
    library.ZSTD_CCtx_setParameter(context, _CHECKSUM, 1)
    size = ctypes.c_size_t(len(content))
    buffer = ctypes.create_string_buffer(library.ZSTD_compressBound(size))
    room = ctypes.c_size_t(len(buffer))
    used = library.ZSTD_compress2(context, buffer, room, content, size)
    library.ZSTD_freeCCtx(context)
    assert used <= len(buffer), "ZSTD_compress2 failed"
    return buffer.raw[:used]
