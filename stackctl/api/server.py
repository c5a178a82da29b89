"""The server: a unix socket, a thread for each connection."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import threading
import time
from typing import Final

from stackctl.api.connection import BadRequest, ClientGone, Connection
from stackctl.api.routing import Router, _send, error_answer
from stackctl.errors import EngineError

_MOST_CONNECTIONS: Final = 512
_STACK_BYTES: Final = 512 * 1024
_NO_ROOM: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_PAUSE_S: Final = 0.05
_BACKLOG: Final = 128


class Server:
    """Serves one router on one path. Only root and our own user are let in."""

    def __init__(self, path: str, router: Router) -> None:
        self._path = path
        self._router = router
        self._slots = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        temporary = f"{path}.{os.getpid()}"
        self._socket.bind(temporary)
        os.chmod(temporary, 0o600)
        self._socket.listen(_BACKLOG)
        os.rename(temporary, path)
        threading.stack_size(_STACK_BYTES)

    def serve_forever(self) -> None:
        """Accept connections until ``shutdown``."""
        while True:
            try:
                accepted, _ = self._socket.accept()
            except OSError as error:
                if error.errno in _NO_ROOM:  # who knocks waits until there is some
                    time.sleep(_PAUSE_S)
                    continue
                return
            if not _is_ours(accepted):
                accepted.close()
                continue
            self._slots.acquire()
            try:
                threading.Thread(target=self._serve, args=(accepted,), name="api", daemon=True).start()
            except RuntimeError:
                self._refuse(accepted)

    def shutdown(self) -> None:
        """Stop accepting; connections under way go on."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _refuse(self, accepted: socket.socket) -> None:
        """Answer, in the only thread there is, that no other can be made."""
        connection = Connection(accepted)
        with contextlib.suppress(OSError, ClientGone):
            _send(
                connection,
                error_answer(EngineError("the engine cannot make a thread: no process is left", code="system")),
            )
        connection.close()
        self._slots.release()

    def _serve(self, accepted: socket.socket) -> None:
        connection = Connection(accepted)
        try:
            while not connection.is_hijacked:
                request = connection.next_request()
                if request is None:
                    break
                self._router.dispatch(request, connection)
        except BadRequest as error:
            with contextlib.suppress(Exception):  # the client sent garbage: it may not even want an answer
                _send(connection, error_answer(error))
        except (ClientGone, OSError):
            pass
        finally:
            connection.close()
            self._slots.release()


def _is_ours(sock: socket.socket) -> bool:
    _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return uid in (0, os.geteuid())
