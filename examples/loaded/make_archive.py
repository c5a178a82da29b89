"""Write image.tar, an image as `docker save` writes it: two layers, a configuration, a name."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from python_root import write_root

HERE = Path(__file__).resolve().parent
NAME = "example/counter:1"
CONFIG = {
    "Entrypoint": ["/usr/bin/python3", "-u", "/app/counter.py"],
    "Cmd": ["8000"],
    "Env": ["PATH=/usr/bin", "GREETING=Hello from a loaded image"],
    "ExposedPorts": {"8000/tcp": {}},
    "Healthcheck": {
        "Test": [
            "CMD",
            "/usr/bin/python3",
            "-c",
            "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health')",
        ],
        "Interval": 2_000_000_000,
        "Retries": 10,
    },
    "StopSignal": "SIGINT",
    "User": "app",
    "WorkingDir": "/app",
}


def main(target: Path) -> None:
    """Write the archive: an OCI layout, and the manifest.json that `docker load` reads."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "root.tar")
        write_root(root)
        layers = [root.read_bytes(), app_layer()]
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine),
        "config": CONFIG,
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
    }
    blobs = [gzip.compress(layer, 1, mtime=0) for layer in layers]
    members: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}
    kind = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.manifest.v1+json",
        "config": blob(members, json.dumps(config).encode(), f"{kind}.config.v1+json"),
        "layers": [blob(members, content, f"{kind}.layer.v1.tar+gzip") for content in blobs],
    }
    entry = blob(members, json.dumps(manifest).encode(), f"{kind}.manifest.v1+json")
    entry["annotations"] = {"io.containerd.image.name": NAME}
    members["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    paths = [f"blobs/sha256/{item['digest'][7:]}" for item in (manifest["config"], *manifest["layers"])]
    old = [{"Config": paths[0], "RepoTags": [NAME], "Layers": paths[1:]}]
    members["manifest.json"] = json.dumps(old).encode()
    with tarfile.open(target, "w") as tar:
        for name, content in members.items():
            add(tar, name, content)


def app_layer() -> bytes:
    """Return the tar with the program."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        add(tar, "app/counter.py", (HERE / "counter.py").read_bytes())
    return buffer.getvalue()


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def blob(members: dict[str, bytes], content: bytes, kind: str) -> dict[str, object]:
    """Put a blob into the archive; return its descriptor."""
    members[f"blobs/sha256/{digest(content)[7:]}"] = content
    return {"mediaType": kind, "digest": digest(content), "size": len(content)}


def digest(content: bytes) -> str:
    """Return ``sha256:HEX``."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


main(Path(sys.argv[1] if len(sys.argv) > 1 else "image.tar"))
