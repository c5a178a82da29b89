"""TLS on the far side of a socket pair."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Final

from stackctl.errors import EngineUnreachable

if TYPE_CHECKING:
    from stackctl.client.dialers import TlsFiles

_PIECE_BYTES: Final = 1 << 16


def tls_stream(sock: socket.socket, host: str, files: TlsFiles, name: str) -> socket.socket:
    """Return a plain socket whose far side speaks TLS over ``sock``. Raises EngineUnreachable."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context = ssl.create_default_context(cafile=files.ca)
        context.load_cert_chain(files.cert, files.key)
        tls = context.wrap_bio(incoming, outgoing, server_hostname=host)
        _shake_hands(tls, sock, incoming, outgoing)
    except OSError as error:  # ssl's errors are
        sock.close()
        raise _refused(name, files, error) from error
    ours, theirs = socket.socketpair()
    sock.settimeout(None)
    pump = _Pump(tls, sock, theirs, incoming, outgoing)
    threading.Thread(target=pump.run, name="tls", daemon=True).start()
    return ours


def _shake_hands(tls: ssl.SSLObject, sock: socket.socket, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            sock.sendall(outgoing.read())
            data = sock.recv(_PIECE_BYTES)
            if not data:
                raise ConnectionError("the connection was closed") from None
            incoming.write(data)
        else:
            sock.sendall(outgoing.read())
            return


def _refused(name: str, files: TlsFiles, error: OSError) -> EngineUnreachable:
    if isinstance(error, FileNotFoundError | PermissionError):
        return EngineUnreachable(
            f"the certificates for {name} cannot be read: {error.strerror}: {error.filename or files.ca}",
            code="engine-tls",
            hint="DOCKER_CERT_PATH names the folder that holds ca.pem, cert.pem and key.pem",
        )
    what = getattr(error, "verify_message", "") or getattr(error, "reason", "") or error.strerror or str(error)
    return EngineUnreachable(
        f"no trust between this machine and the engine at {name}: {what}",
        code="engine-tls",
        hint="ca.pem must be who signed the engine's certificate, and that must be for this host name",
    )


class _Pump:
    """Carries bytes between the plain socket and the encrypted one, until both directions have ended."""

    def __init__(
        self,
        tls: ssl.SSLObject,
        wire: socket.socket,
        plain: socket.socket,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
    ) -> None:
        self._tls = tls
        self._wire = wire
        self._plain = plain
        self._incoming = incoming
        self._outgoing = outgoing
        self._is_sending = True

    def run(self) -> None:
        """Pump. What breaks ends the stream: whoever reads it sees its end."""
        with self._wire, self._plain, contextlib.suppress(OSError):
            # Order: what came with the handshake is in the buffer already; the wire may stay silent after it.
            going_on = self._receive()
            while going_on:
                sources = [self._wire, *([self._plain] if self._is_sending else [])]
                ready, _, _ = select.select(sources, [], [])
                if self._plain in ready:
                    self._send()
                if self._wire in ready:
                    data = self._wire.recv(_PIECE_BYTES)
                    if data:
                        self._incoming.write(data)
                    else:
                        self._incoming.write_eof()
                    going_on = self._receive()

    def _send(self) -> None:
        data = self._plain.recv(_PIECE_BYTES)
        if data:
            self._tls.write(data)
        else:
            self._is_sending = False
            # Says that nothing more comes from here; their answer to that comes after what they still have to say.
            with contextlib.suppress(ssl.SSLWantReadError):
                self._tls.unwrap()
        self._wire.sendall(self._outgoing.read())

    def _receive(self) -> bool:
        """Pass on what has come; return whether more can come."""
        try:
            while data := self._tls.read(_PIECE_BYTES):
                self._plain.sendall(data)
        except ssl.SSLWantReadError:
            if self._outgoing.pending:
                self._wire.sendall(self._outgoing.read())
            return True
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return False
        return False
