"""Image archives for tests, built with the standard library's ``tarfile``: small, and the same every time."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BUSYBOX = Path("/bin/busybox")
CREATED = "2024-05-06T07:08:09.123456789Z"
APPLETS = """
    sh ash cat cp date dd df echo env false find grep head hostname httpd id ip kill ln ls md5sum mkdir mknod
    mount mv nc nslookup ping printenv printf ps pwd readlink rm sed seq sha256sum sleep sort stat stty tail
    tar tee test timeout touch tr true tty umount uname wc wget which whoami xargs yes
    """.split()
_FILES = {
    "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n",
    "etc/group": b"root:x:0:\nnogroup:x:65534:\n",
}
_FOLDERS = {"bin": 0o755, "etc": 0o755, "home": 0o755, "root": 0o700, "tmp": 0o1777, "var": 0o755, "www": 0o755}


@dataclass(frozen=True)
class Image:
    """An image to be: tars of layers, the lowest first, names, and the ``config`` object."""

    layers: tuple[bytes, ...]
    names: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    architecture: str = "amd64"
    variant: str = ""

    @property
    def document(self) -> bytes:
        """The configuration, as JSON."""
        shape = {
            "architecture": self.architecture,
            "config": dict(self.config),
            "created": CREATED,
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in self.layers]},
        }
        if self.variant:
            shape["variant"] = self.variant
        return json.dumps(shape).encode()

    @property
    def id(self) -> str:
        """The image's id."""
        return digest(self.document)


def digest(content: bytes) -> str:
    """Return ``sha256:HEX``."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def entry(name: str, kind: bytes = tarfile.REGTYPE, *, mode: int = 0o644, **fields: Any) -> tarfile.TarInfo:
    """Return a tar entry, of the year 2020; ``fields`` are attributes of TarInfo."""
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = kind, mode, 1_577_836_800
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def tar_of(
    entries: Sequence[tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]], *, form: int = tarfile.PAX_FORMAT
) -> bytes:
    """Return a tar of entries, each alone or with its content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for item in entries:
            info, content = item if isinstance(item, tuple) else (item, b"")
            if content:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def files_tar(files: Mapping[str, bytes]) -> bytes:
    """Return a tar of plain files."""
    return tar_of([(entry(name), content) for name, content in files.items()])


def busybox_root(files: Mapping[str, bytes] | None = None) -> bytes:
    """Return the tar of a root with busybox, links for its applets, a few folders, and ``files``."""
    entries: list[tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]] = []
    for name, mode in _FOLDERS.items():
        entries.append(entry(name, tarfile.DIRTYPE, mode=mode))
    entries.append((entry("bin/busybox", mode=0o755), BUSYBOX.read_bytes()))
    for applet in APPLETS:
        entries.append(entry(f"bin/{applet}", tarfile.SYMTYPE, linkname="busybox"))
    for name, content in {**_FILES, **(files or {})}.items():
        entries.append((entry(name), content))
    return tar_of(entries)


def busybox_root_tar(path: Path, files: Mapping[str, bytes] | None = None) -> Path:
    """Write the tar of a root with busybox and ``files``: for import."""
    path.write_bytes(busybox_root(files))
    return path


def busybox_image(name: str = "busybox:latest", *, files: Mapping[str, bytes] | None = None, **config: Any) -> Image:
    """Return an image with busybox; ``config`` are keys of its configuration, such as ``Cmd``."""
    settings = {"Cmd": ["sh"], "Env": ["PATH=/bin"], **config}
    return Image((busybox_root(files),), (name,), settings)


def docker_save_archive(path: Path, *images: Image) -> Path:
    """Write what ``docker save`` of 25 and later writes: an OCI layout and ``manifest.json``."""
    members: dict[str, bytes] = {}
    manifests = []
    for image in images:
        config = _blob(members, image.document)
        layers = [_blob(members, layer) for layer in image.layers]
        manifests.append({"Config": config, "RepoTags": list(image.names), "Layers": layers})
    members["manifest.json"] = json.dumps(manifests).encode()
    path.write_bytes(files_tar(members))
    return path


def old_docker_save_archive(path: Path, *images: Image) -> Path:
    """Write what ``docker save`` before 25 writes: ``ID/layer.tar``, repeated layers being links."""
    entries: list[tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]] = []
    manifests = []
    first: dict[str, str] = {}
    for number, image in enumerate(images):
        layers = []
        for position, layer in enumerate(image.layers):
            name = f"{digest(f'{number} {position}'.encode())[7:]}/layer.tar"
            layers.append(name)
            if known := first.get(digest(layer)):
                entries.append(entry(name, tarfile.SYMTYPE, linkname=f"../{known}"))
            else:
                first[digest(layer)] = name
                entries.append((entry(name), layer))
        config = f"{image.id[7:]}.json"
        entries.append((entry(config), image.document))
        manifests.append({"Config": config, "RepoTags": list(image.names) or None, "Layers": layers})
    entries.append((entry("manifest.json"), json.dumps(manifests).encode()))
    path.write_bytes(tar_of(entries))
    return path


def oci_archive(path: Path, *images: Image, compress: Callable[[bytes], bytes] | None = None) -> Path:
    """Write an OCI layout, its layers compressed (gzip unless said), its images in ``index.json`` by their names."""
    members: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    descriptors = []
    for image in images:
        for name in image.names or ("",):
            annotations = {"io.containerd.image.name": name} if name else {}
            descriptors.append(_manifest(members, image, compress or _gzip) | {"annotations": annotations})
    return _write_layout(path, members, descriptors)


def oci_index_archive(path: Path, name: str, *images: Image) -> Path:
    """Write an OCI layout with one name for all ``images``, an index by platform, as buildx does."""
    members: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    inner = []
    for image in images:
        platform = {"os": "linux", "architecture": image.architecture, "variant": image.variant}
        inner.append(_manifest(members, image, _gzip) | {"platform": platform})
    attestation = {"os": "unknown", "architecture": "unknown"}
    marks = {"vnd.docker.reference.type": "attestation-manifest"}
    inner.append(_manifest(members, images[0], _gzip) | {"platform": attestation, "annotations": marks})
    index = json.dumps({"schemaVersion": 2, "manifests": inner}).encode()
    descriptor = {
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "digest": _blob(members, index).replace("blobs/sha256/", "sha256:"),
        "size": len(index),
        "annotations": {"io.containerd.image.name": name},
    }
    return _write_layout(path, members, [descriptor])


def _write_layout(path: Path, members: dict[str, bytes], descriptors: list[dict[str, Any]]) -> Path:
    members["index.json"] = json.dumps({"schemaVersion": 2, "manifests": descriptors}).encode()
    path.write_bytes(files_tar(members))
    return path


def _gzip(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def _manifest(members: dict[str, bytes], image: Image, compress: Callable[[bytes], bytes]) -> dict[str, Any]:
    layers = [compress(layer) for layer in image.layers]
    shape = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _descriptor(members, image.document, "application/vnd.oci.image.config.v1+json"),
        "layers": [_descriptor(members, layer, "application/vnd.oci.image.layer.v1.tar+gzip") for layer in layers],
    }
    text = json.dumps(shape).encode()
    return _descriptor(members, text, "application/vnd.oci.image.manifest.v1+json")


def _descriptor(members: dict[str, bytes], content: bytes, kind: str) -> dict[str, Any]:
    _blob(members, content)
    return {"mediaType": kind, "digest": digest(content), "size": len(content)}


def _blob(members: dict[str, bytes], content: bytes) -> str:
    name = f"blobs/sha256/{digest(content)[7:]}"
    members[name] = content
    return name
