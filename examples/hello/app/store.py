"""The store: named counters, kept in a file on the volume."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FILE = Path("/var/lib/store/counters.json")
TOKEN = Path("/run/secrets/token").read_text(encoding="utf-8").strip()
LOCK = threading.Lock()
COUNTERS: dict[str, int] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}


def change(name: str, by: int) -> int:
    """Add to a counter, write all of them, return the new value."""
    with LOCK:
        COUNTERS[name] = COUNTERS.get(name, 0) + by
        new = FILE.with_suffix(".new")
        new.write_text(json.dumps(COUNTERS), encoding="utf-8")
        new.rename(FILE)
        return COUNTERS[name]


class Handler(BaseHTTPRequestHandler):
    """GET reads a counter, PUT makes it, POST counts up."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer({"ok": True} if self.path == "/healthz" else {"value": COUNTERS.get(self.path[1:])})

    def do_PUT(self) -> None:
        self._change(0)

    def do_POST(self) -> None:
        self._change(1)

    def _change(self, by: int) -> None:
        if self.headers.get("X-Token") != TOKEN:
            self._answer({"error": "wrong token"}, 403)
            return
        self._answer({"value": change(self.path[1:], by)})

    def _answer(self, value: dict, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


print("store: serving on port 7000", flush=True)
ThreadingHTTPServer(("", 7000), Handler).serve_forever()
