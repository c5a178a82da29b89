"""Streams of bytes: iterators of chunks of any size, and exact reads over them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Protocol

from stackctl.errors import ImageError
from stackctl.images.limits import PIECE_BYTES

_QUEUE_DEPTH: Final = 16
_LOOK_S: Final = 0.2


class Readable(Protocol):
    """What an archive is read from: ``read`` returns at most ``size`` bytes, none at the end."""

    def read(self, size: int, /) -> bytes:
        """Return some bytes."""


class Hasher(Protocol):
    """What ``hashlib.sha256()`` returns, as far as needed here."""

    def update(self, data: bytes, /) -> None:
        """Take more data in."""

    def hexdigest(self) -> str:
        """Return the digest of all data so far."""


def chunks_of(stream: Readable) -> Iterator[bytes]:
    """Yield everything that can be read from ``stream``."""
    while chunk := stream.read(PIECE_BYTES):
        yield chunk


def hashed(chunks: Iterator[bytes], hasher: Hasher) -> Iterator[bytes]:
    """Yield ``chunks``, each after ``hasher`` has seen it."""
    for chunk in chunks:
        hasher.update(chunk)
        yield chunk


def capped(chunks: Iterator[bytes], limit: int, what: str) -> Iterator[bytes]:
    """Yield ``chunks`` up to ``limit`` bytes in all. Raises ImageError, naming ``what``, beyond."""
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > limit:
            raise ImageError(f"{what} holds more than {limit} bytes", code="image-too-large")
        yield chunk


class ReadAhead:
    """Iterates in a thread, a bounded number of chunks ahead of the reader.

    Inflating and hashing release the interpreter's lock, so they run beside the reader's own work. Leaving
    the context stops the thread; an exception of the iterator is raised at the reader.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._queue: queue.Queue[bytes | BaseException | None] = queue.Queue(_QUEUE_DEPTH)
        self._is_stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="read-ahead", daemon=True)

    def __enter__(self) -> Iterator[bytes]:
        self._thread.start()
        return self._received()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_stopped.set()
        self._thread.join()

    def _received(self) -> Iterator[bytes]:
        while True:
            item = self._queue.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def _run(self) -> None:
        last: BaseException | None = None
        try:
            for chunk in self._chunks:
                if not self._put(chunk):
                    return
        except BaseException as error:
            # Whatever it is belongs to the reader's thread: nobody would see it here.
            last = error
        self._put(last)

    def _put(self, item: bytes | BaseException | None) -> bool:
        while not self._is_stopped.is_set():
            try:
                self._queue.put(item, timeout=_LOOK_S)
            except queue.Full:
                continue
            return True
        return False


class ChunkReader:
    """Exact reads over chunks; ``what`` names the stream in errors."""

    __slots__ = ("_at", "_chunk", "_chunks", "what")

    def __init__(self, chunks: Iterator[bytes], what: str) -> None:
        self._chunks = chunks
        self._chunk = b""
        self._at = 0
        self.what = what

    def block(self, size: int) -> bytes:
        """Return the next ``size`` bytes, or none at all when the stream is at its end.

        Raises ImageError when it ends in between.
        """
        end = self._at + size
        if end <= len(self._chunk):
            block = self._chunk[self._at : end]
            self._at = end
            return block
        return self._gather(size)

    def exactly(self, size: int) -> bytes:
        """Return the next ``size`` bytes. Raises ImageError when there are fewer."""
        block = self.block(size)
        if len(block) != size:
            raise self._truncated()
        return block

    def some(self, most: int) -> memoryview:
        """Return at least one and at most ``most`` of the next bytes. Raises ImageError at the end."""
        if self._at == len(self._chunk) and not self._next():
            raise self._truncated()
        piece = memoryview(self._chunk)[self._at : self._at + most]
        self._at += len(piece)
        return piece

    def skip(self, size: int) -> None:
        """Pass over ``size`` bytes. Raises ImageError when there are fewer."""
        while size:
            size -= len(self.some(size))

    def drain(self) -> None:
        """Pass over everything that is left."""
        while self._next():
            pass

    def _next(self) -> bool:
        self._chunk, self._at = next(self._chunks, b""), 0
        return bool(self._chunk)

    def _gather(self, size: int) -> bytes:
        parts = []
        left = size
        while left:
            if self._at == len(self._chunk) and not self._next():
                break
            part = self._chunk[self._at : self._at + left]
            self._at += len(part)
            left -= len(part)
            parts.append(part)
        if left and parts:
            raise self._truncated()
        return b"".join(parts)

    def _truncated(self) -> ImageError:
        return ImageError(f"{self.what} is cut short", code="archive-corrupt")
