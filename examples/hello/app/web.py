"""The web service: shows a page, and counts visits in the store."""

import json
import os
import socket
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

STORE = os.environ["STORE_URL"]
TOKEN = Path("/run/secrets/token").read_text(encoding="utf-8").strip()
GREETING = Path("/greeting").read_text(encoding="utf-8").strip()
PAGE = Path("/site/index.html").read_text(encoding="utf-8")


def ask_store(method: str, path: str) -> dict:
    """Send one request to the store and return its JSON answer."""
    request = urllib.request.Request(STORE + path, method=method, headers={"X-Token": TOKEN})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


class Handler(BaseHTTPRequestHandler):
    """Answers / and /healthz."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self._answer("ok\n", "text/plain")
            return
        visits = ask_store("POST", "/visits")["value"]
        page = PAGE.format(title=os.environ["TITLE"], greeting=GREETING, host=socket.gethostname(), visits=visits)
        self._answer(page, "text/html; charset=utf-8")

    def _answer(self, text: str, kind: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


print("web: serving on port 8000", flush=True)
ThreadingHTTPServer(("", 8000), Handler).serve_forever()
