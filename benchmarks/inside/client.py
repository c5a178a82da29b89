"""Asks HOST PORT for COUNT responses, one connection each; prints how many a second."""

import socket
import sys
import time

host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
began = time.perf_counter()
for _ in range(count):
    with socket.create_connection((host, port), timeout=10) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
        while sock.recv(4096):
            pass
print(count / (time.perf_counter() - began))
