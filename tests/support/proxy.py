"""A proxy of the tests' own: leads every host there is to one port of this machine."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class AProxy:
    """At ``address``; ``asked`` are the first lines it got, ``authorizations`` what came with them."""

    target: int
    address: str = ""
    asked: list[str] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    refuses: bool = False


@contextmanager
def proxying(target: int) -> Iterator[AProxy]:
    """Serve until the end; ``target`` is where everything leads."""
    proxy = AProxy(target)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy.address = f"127.0.0.1:{listener.getsockname()[1]}"
        threads: list[threading.Thread] = []

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                threads.append(threading.Thread(target=_serve, args=(proxy, client), daemon=True))
                threads[-1].start()

        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for thread in threads:
                thread.join(10)


def _serve(proxy: AProxy, client: socket.socket) -> None:
    with client:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(1 << 16)
            if not piece:
                return
            head += piece
        first, _, rest = head.partition(b"\r\n")
        proxy.asked.append(first.decode())
        proxy.authorizations += [
            line.partition(b": ")[2].decode() for line in rest.split(b"\r\n") if line.startswith(b"Proxy-Authorization")
        ]
        if proxy.refuses:
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", proxy.target)) as server:
            if first.startswith(b"CONNECT "):
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                method, url, version = first.split(b" ")
                server.sendall(b" ".join((method, b"/" + url.split(b"/", 3)[3], version)) + b"\r\n" + rest)
            back = threading.Thread(target=_copy, args=(server, client), daemon=True)
            back.start()
            _copy(client, server)
            back.join(10)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    for sock, how in ((sink, socket.SHUT_WR), (source, socket.SHUT_RD)):
        with contextlib.suppress(OSError):
            sock.shutdown(how)
