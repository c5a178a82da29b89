"""Sending a large body while the answer is already being read."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from stackctl.client.http import Readable

_PIECE_BYTES: Final = 1 << 18


class Upload:
    """Sends a file as a chunked body, in a thread of its own.

    The engine reports progress while it reads: a client that only sends until it is done would leave that
    unread, and both would wait for each other once the socket's buffers are full.
    """

    def __init__(self, sock: socket.socket, source: Readable) -> None:
        self._socket = sock
        self._source = source
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._send, name="upload", daemon=True)
        self._thread.start()

    def raise_failure(self) -> None:
        """Raise what stopped the reading of the source, if anything did."""
        if self._failure is not None:
            raise self._failure

    def _send(self) -> None:
        try:
            while piece := self._source.read(_PIECE_BYTES):
                self._socket.sendall(b"%x\r\n" % len(piece))
                self._socket.sendall(piece)
                self._socket.sendall(b"\r\n")
            self._socket.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            return  # the engine wants no more; its answer says why
        except Exception as error:  # an edge: the thread's only way to tell
            self._failure = error
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
