"""Debian's registry, which is Docker's own, in a process of the test's; and a push into it."""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.engine import end, wait_until
from tests.support.images import Image, digest
from tests.support.registry import CONFIG, LAYER, MANIFEST
from tests.support.stack import free_port

USER = ("me", "pass:word")
# bcrypt of that password, as htpasswd writes it.
_HASH = "$2b$05$abcdefghijklmnopqrstuuDIEddBSuRWBBEY6g5zv60IAP5bSSfki"


@dataclass(frozen=True)
class DockerRegistry:
    """A registry at ``address``; with ``user`` it lets in nobody else."""

    address: str
    user: tuple[str, str] | None

    def push(self, image: Image, name: str) -> str:
        """Push an image as ``name``; return the digest of its manifest."""
        repository, _, tag = name.partition(":")
        layers = [self._blob(repository, layer, LAYER) for layer in image.layers]
        shape = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._blob(repository, image.document, CONFIG),
            "layers": layers,
        }
        body = json.dumps(shape).encode()
        self.ask("PUT", f"/v2/{repository}/manifests/{tag}", body, {"Content-Type": MANIFEST}, status=201)
        return digest(body)

    def ask(
        self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None, *, status: int
    ) -> Mapping[str, str]:
        """Send a request that must be answered so; return the headers."""
        sent = dict(headers or {})
        if self.user is not None:
            sent["Authorization"] = f"Basic {base64.b64encode(':'.join(self.user).encode()).decode()}"
        connection = http.client.HTTPConnection(self.address, timeout=20)
        try:
            connection.request(method, target, body, sent)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == status, (method, target, answer.status, text)
            return dict(answer.getheaders())
        finally:
            connection.close()

    def _blob(self, repository: str, content: bytes, kind: str) -> dict[str, object]:
        where = self.ask("POST", f"/v2/{repository}/blobs/uploads/", status=202)["Location"]
        parts = urlsplit(where)
        target = f"{parts.path}?{parts.query}&digest={digest(content)}"
        self.ask("PUT", target, content, {"Content-Type": "application/octet-stream"}, status=201)
        return {"mediaType": kind, "digest": digest(content), "size": len(content)}


@contextmanager
def docker_registry(folder: Path, *, user: tuple[str, str] | None = None) -> Iterator[DockerRegistry]:
    """Run the registry, its files below ``folder``."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.fail("these tests pull from Debian's registry: apt install docker-registry")
    port = free_port()
    settings = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    if user is not None:
        (folder / "htpasswd").write_text(f"{user[0]}:{_HASH}\n", encoding="utf-8")
        settings["auth"] = {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}
    (folder / "config.yml").write_text(json.dumps(settings), encoding="utf-8")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(folder / "config.yml")], stdout=log, stderr=log)
    found = DockerRegistry(f"127.0.0.1:{port}", user)

    def answers() -> bool:
        assert process.poll() is None, (folder / "log").read_text(encoding="utf-8")
        try:
            found.ask("GET", "/v2/", status=200)
        except OSError:
            return False
        return True

    try:
        wait_until("the registry answers", answers)
        yield found
    finally:
        end(process)
