"""A name server for tests, over UDP and TCP."""

from __future__ import annotations

import socket
import struct
import threading

_ADDRESS = "203.0.113.9"


class NameServer:
    """Has 203.0.113.9 for every name. Over UDP it cuts what begins with "long" and keeps quiet about "silent".

    It lives in the network namespace it is made in. ``asked`` are the first labels of the questions that came.
    """

    def __init__(self, address: str) -> None:
        self.asked: list[str] = []
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind((address, 53))
        self._tcp = socket.create_server((address, 53))
        self._is_over = False
        self._threads = [threading.Thread(target=self._serve, args=(each,)) for each in (self._udp, self._tcp)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._is_over = True
        for thread in self._threads:
            thread.join()
        self._udp.close()
        self._tcp.close()

    def _serve(self, server: socket.socket) -> None:
        server.settimeout(0.05)
        while not self._is_over:
            try:
                if server is self._udp:
                    data, client = server.recvfrom(512)
                    answer = self._answer(data, is_tcp=False)
                    if answer:
                        server.sendto(answer, client)
                else:
                    connection, _ = server.accept()
                    with connection:
                        data = connection.recv(512)[2:]
                        answer = self._answer(data, is_tcp=True)
                        connection.sendall(len(answer).to_bytes(2, "big") + answer)
            except TimeoutError:
                continue

    def _answer(self, data: bytes, *, is_tcp: bool) -> bytes:
        first = data[13 : 13 + data[12]].decode()
        self.asked.append(first)
        if first == "silent":
            return b""
        if first == "long" and not is_tcp:
            return data[:2] + b"\x83\x80" + data[4:]
        record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(_ADDRESS)
        return data[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + data[12:] + record
