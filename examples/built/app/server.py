"""Answer every request with the greeting, and who is asked."""

import http.server
import os
from pathlib import Path


class Greeter(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        text = f"{Path('greeting').read_text().strip()}, user {os.getuid()}\n"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())


http.server.ThreadingHTTPServer(("", 8000), Greeter).serve_forever()
