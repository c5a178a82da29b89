"""Have a real Docker Engine build every case and write down what it made; run by hand, as root, in a scratch machine.

    python -m tests.golden.build.record [NAME…]

Needs ``dockerd``, the ``docker`` command and ``busybox-static``. A daemon of its own is started, with its data in a
temporary folder (``TMPDIR`` decides where: not on an overlay), and stopped at the end. Cases of ``buildkit`` are sent
to the engine's own BuildKit; the tar of the context goes along with the request, so no session is needed. Cases of
``classic`` are built by ``docker build``, which applies .dockerignore itself. Those of ``reference`` are left alone:
they need a newer BuildKit than Debian's Docker has. Read the changes before they are kept.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import re
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.support.build_cases import (
    BASE,
    CASES,
    Case,
    all_cases,
    base_tar,
    config_of,
    entries_of_archive,
    history_of,
    layers_of,
)


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("docker", timeout=120)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.fspath(self._path))


class Engine:
    """A Docker Engine at the unix socket ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def ask(self, method: str, url: str, body: bytes = b"") -> bytes:
        connection = _Connection(self.path)
        connection.request(method, url, body, {"Content-Type": "application/x-tar"})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {url}: {data.decode()}")
        return data

    def build(self, case: Case, tag: str) -> str:
        """Build the case's image as ``tag``; return the error, or ""."""
        with tempfile.TemporaryDirectory() as folder:
            case.write_context(Path(folder))
            if case.builder == "classic":
                return self._build_with_command(case, tag, folder)
            query = {
                "t": tag,
                "version": "2",
                "target": case.target,
                "buildargs": json.dumps(dict(case.args)),
                "nocache": "1",
            }
            said = self.ask("POST", f"/build?{urlencode(query)}", _packed(folder))
        for line in said.splitlines():
            if error := json.loads(line).get("error"):
                return str(error)
        return ""

    def _build_with_command(self, case: Case, tag: str, folder: str) -> str:
        command = ["docker", "-H", f"unix://{self.path}", "build", "--no-cache", "-t", tag, folder]
        command += [f"--build-arg={name}={value}" for name, value in case.args]
        command += [f"--target={case.target}"] if case.target else []
        env = {**os.environ, "DOCKER_BUILDKIT": "0"}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        return done.stderr.strip().splitlines()[-1] if done.returncode else ""

    def saved(self, tag: str) -> tuple[dict[str, Any], list[bytes]]:
        """Return the image's configuration and its layers."""
        with tarfile.open(fileobj=io.BytesIO(self.ask("GET", f"/images/{tag}/get"))) as archive:
            (manifest,) = json.loads(_read(archive, "manifest.json"))
            document = json.loads(_read(archive, manifest["Config"]))
            return document, [_read(archive, name) for name in manifest["Layers"]]


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)  # a layer that is there twice is a link
    assert file is not None
    return file.read()


def _packed(folder: str) -> bytes:
    raw = io.BytesIO()
    # BuildKit takes a context that begins with a PAX header for a Dockerfile.
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name in sorted(os.listdir(folder), key=lambda name: name != "Dockerfile"):
            archive.add(os.path.join(folder, name), arcname=name, filter=_as_root)
    return raw.getvalue()


def _as_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    return info


@contextlib.contextmanager
def engine() -> Iterator[Engine]:
    """A daemon of its own, until the end of the block."""
    with tempfile.TemporaryDirectory() as data:
        path = Path(data) / "docker.sock"
        command = [
            "dockerd", f"--data-root={data}/data", f"--exec-root={data}/exec", f"--pidfile={data}/pid",
            f"--host=unix://{path}", "--storage-driver=overlay2", "--iptables=false",
        ]  # fmt: skip
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as daemon:
            try:
                yield _ready(Engine(path))
            finally:
                daemon.terminate()
                daemon.wait()


def _ready(found: Engine) -> Engine:
    deadline = time.monotonic() + 60
    while True:
        try:
            found.ask("GET", "/_ping")
            return found
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def record(found: Engine, case: Case, base_steps: int, base_layers: int) -> dict[str, Any]:
    """Return what the engine makes of a case."""
    tag = f"golden/{case.name}:1"
    if error := found.build(case, tag):
        # Where the engine kept its data says nothing about the build.
        return {"error": re.sub(r"/\S*/overlay2/\w+/merged", "MERGED", error)}
    document, archives = found.saved(tag)
    layers = [entries_of_archive(data) for data in archives]
    if case.builder == "classic":  # its settings and history are of another age
        return {"layers": layers_of(layers, has_base=False)}
    is_on_base = document["rootfs"]["diff_ids"][:base_layers] == _BASE_LAYERS
    return {
        "config": config_of(document),
        "history": history_of(document, base_steps if is_on_base else 0),
        "layers": layers_of(layers[base_layers if is_on_base else 0 :], has_base=is_on_base),
    }


_BASE_LAYERS: list[str] = []


def expected_text(expected: dict[str, Any]) -> str:
    """Return an expectation as it stands in a case: one line for each small thing."""
    return json.dumps(expected, indent=1, ensure_ascii=False) + "\n"


def main(names: list[str]) -> None:
    with engine() as found:
        name, tag = BASE.split(":")
        found.ask("POST", f"/images/create?fromSrc=-&repo={name}&tag={tag}", base_tar())
        document, layers = found.saved(BASE)
        _BASE_LAYERS[:] = document["rootfs"]["diff_ids"]
        for case in all_cases():
            if case.builder == "reference" or (names and case.name not in names):
                continue
            made = record(found, case, len(document.get("history", [])), len(layers))
            text = f"{case.head}\n=== expected\n{expected_text(made)}"
            (CASES / f"{case.name}.case").write_bytes(text.encode())
            print(case.name, "error: " + made["error"] if "error" in made else f"{len(made['layers'])} layers")


if __name__ == "__main__":
    main(sys.argv[1:])
