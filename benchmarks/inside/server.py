"""Answers every connection with one small HTTP response; one thread, no fork."""

import socket

_RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

with socket.create_server(("0.0.0.0", 8000), backlog=512) as listener:
    while True:
        sock, _ = listener.accept()
        with sock:
            if sock.recv(4096):
                sock.sendall(_RESPONSE)
