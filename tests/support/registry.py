"""A registry of the tests' own: keeps to the protocol, unless a test tells it how not to."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.images import Image, digest

TLS = Path(__file__).parent / "tls"
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def authorization(self) -> str:
        return self.headers.get("authorization", "")


@dataclass
class Told:
    """An answer. ``length`` None is that of the body; ``endless`` goes on until the other side has enough.

    One that ``stalls`` says no more after its body, and does not hang up either while the other side listens.
    """

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    endless: bool = False
    stalls: bool = False


@dataclass
class Registry:
    """Repositories with manifests by tag and digest, and blobs. ``trick`` may answer in its stead."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    login: str = ""
    user: tuple[str, str] | None = None
    trick: Callable[[Asked], Told | None] = lambda _: None
    asked: list[Asked] = field(default_factory=list)
    address: str = ""
    url: str = ""

    def put_blob(self, content: bytes) -> str:
        self.blobs[digest(content)] = content
        return digest(content)

    def put_manifest(self, repository: str, tag: str, shape: Mapping[str, Any], kind: str) -> bytes:
        body = json.dumps({"schemaVersion": 2, "mediaType": kind, **shape}).encode()
        self.manifests[repository, digest(body)] = (kind, body)
        if tag:
            self.manifests[repository, tag] = (kind, body)
        return body

    def put(
        self,
        image: Image,
        name: str = "app:1",
        *,
        compress: Callable[[bytes], bytes] = bytes,
        kind: str = MANIFEST,
        layer_kind: str = LAYER,
    ) -> bytes:
        """Push an image; return its manifest."""
        repository, _, tag = name.partition(":")
        layers = [compress(layer) for layer in image.layers]
        shape = {
            "config": self.describe(image.document, CONFIG),
            "layers": [self.describe(layer, layer_kind) for layer in layers],
        }
        return self.put_manifest(repository, tag, shape, kind)

    def describe(self, content: bytes, kind: str) -> dict[str, Any]:
        return {"mediaType": kind, "digest": self.put_blob(content), "size": len(content)}

    def put_index(self, name: str, images: list[Image], *, kind: str = INDEX) -> bytes:
        """Push an index of images by platform, with an attestation as buildx adds one."""
        repository, _, tag = name.partition(":")
        entries = []
        for image in images:
            body = self.put(image, f"{repository}:")
            platform = {"os": "linux", "architecture": image.architecture, "variant": image.variant}
            entries.append({"mediaType": MANIFEST, "digest": digest(body), "size": len(body), "platform": platform})
        unknown = {"os": "unknown", "architecture": "unknown"}
        marks = {"vnd.docker.reference.type": "attestation-manifest"}
        entries.insert(0, {**entries[0], "platform": unknown, "annotations": marks})
        return self.put_manifest(repository, tag, {"manifests": entries}, kind)

    def fetched(self, what: str) -> list[str]:
        """Return the paths of GETs that hold ``/what/``."""
        return [asked.path for asked in self.asked if asked.method == "GET" and f"/{what}/" in asked.path]

    def answer(self, asked: Asked) -> Told:
        told = self.trick(asked)
        if told is not None:
            return told
        if asked.path == "/token":
            return self._token(asked)
        if self.login and not self._is_let_in(asked):
            return Told(401, _error("UNAUTHORIZED"), {"WWW-Authenticate": self._challenge()})
        if asked.path == "/v2/":
            return Told(200, b"{}")
        repository, _, rest = asked.path.removeprefix("/v2/").rpartition("/manifests/")
        if repository:
            return self._manifest(repository, rest)
        return self._blob(asked)

    def _manifest(self, repository: str, rest: str) -> Told:
        found = self.manifests.get((repository, rest))
        if found is None:
            return Told(404, _error("MANIFEST_UNKNOWN"))
        return Told(200, found[1], {"Content-Type": found[0], "Docker-Content-Digest": digest(found[1])})

    def _blob(self, asked: Asked) -> Told:
        content = self.blobs.get(asked.path.rpartition("/")[2])
        if content is None:
            return Told(404, _error("BLOB_UNKNOWN"))
        start = asked.headers.get("range", "")
        if start:
            at = int(start.removeprefix("bytes=").rstrip("-"))
            return Told(206, content[at:], {"Content-Range": f"bytes {at}-{len(content) - 1}/{len(content)}"})
        return Told(200, content)

    def _challenge(self) -> str:
        if self.login == "basic":
            return 'Basic realm="tests"'
        return f'Bearer realm="{self.url}/token",service="tests",scope="ignored"'

    def _is_let_in(self, asked: Asked) -> bool:
        if self.login == "basic":
            return self.user is not None and asked.authorization == _basic(*self.user)
        repository = asked.path.removeprefix("/v2/").partition("/manifests/")[0].partition("/blobs/")[0]
        return asked.authorization == f"Bearer for repository:{repository}:pull"

    def _token(self, asked: Asked) -> Told:
        form = parse_qs(asked.body.decode()) if asked.method == "POST" else asked.query
        is_known = self.user is None or asked.authorization == _basic(*self.user)
        is_known = is_known or form.get("refresh_token") == ["identity"]
        if not is_known:
            return Told(401, b"{}")
        key = "access_token" if asked.method == "POST" else "token"
        token = f"for {form.get('scope', [''])[0]}"
        return Told(200, json.dumps({key: token, "expires_in": 300}).encode())


@contextmanager
def serving(registry: Registry, *, tls: bool = False) -> Iterator[Registry]:
    """Serve on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {key.lower(): value for key, value in self.headers.items()}
            asked = Asked(self.command, parts.path, parse_qs(parts.query), headers, body)
            registry.asked.append(asked)
            told = registry.answer(asked)
            self.send_response_only(told.status)
            for key, value in told.headers.items():
                self.send_header(key, value)
            length = len(told.body) if told.length is None else told.length
            if length >= 0:
                self.send_header("Content-Length", str(length))
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            try:
                if self.command != "HEAD":
                    self.wfile.write(told.body)
                    while told.endless:
                        self.wfile.write(told.body)
                    if told.stalls:
                        self.rfile.read(1)
            except OSError:
                return  # the other side has had enough

        do_HEAD = do_POST = do_GET

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS / "server.crt", TLS / "server.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    registry.address = f"127.0.0.1:{server.server_address[1]}"
    registry.url = f"{'https' if tls else 'http'}://{registry.address}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _basic(name: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"


def _error(code: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": code.replace("_", " ").lower()}]}).encode()
