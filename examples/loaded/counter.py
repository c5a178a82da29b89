"""Count visits, and say in which container."""

import itertools
import os
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VISITS = itertools.count(1)


class Handler(BaseHTTPRequestHandler):
    """Answers every GET."""

    def do_GET(self) -> None:
        """Answer with one line; asking for health is no visit."""
        if self.path == "/health":
            text = "well\n"
        else:
            text = f"{os.environ['GREETING']}, visit {next(VISITS)} of {socket.gethostname()}, user {os.getuid()}\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


ThreadingHTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
