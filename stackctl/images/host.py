"""The built-in image ``host``: a private root over this machine's own ``/usr``.

Nothing is downloaded and nothing secret shows: the root is a generated skeleton under the container's own
overlay, and programs come from read-only binds of the host. It is made for this machine alone, so it can
neither be pushed nor saved.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from typing import Final

from stackctl.errors import ImageError
from stackctl.images import disk
from stackctl.images.config import StoredImage, config_document, rfc3339
from stackctl.images.disk import StoreFiles
from stackctl.images.host_skeleton import SKELETON_VERSION, fill_skeleton, skeleton_inputs
from stackctl.images.incoming import digest_of
from stackctl.images.platform import host_platform
from stackctl.model.image import HOST_IMAGE, ImageConfig
from stackctl.model.root import HostBind, HostRoot

_DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TOP_FOLDERS: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "libo32")
_STORES: Final = ("/nix/store", "/gnu/store")
_CELLAR: Final = "/Cellar/"


@dataclass(frozen=True, slots=True)
class HostLayout:
    """What the host's programs need: ``links`` of the root as (name, target), and read-only binds."""

    links: tuple[tuple[str, str], ...]
    binds: tuple[HostBind, ...]
    python_bin: str


def host_layout(*, top: str = "", base_prefix: str = "") -> HostLayout:
    """Look at the host whose root is ``top`` ("" for this one's) and whose Python is in ``base_prefix``."""
    base_prefix = base_prefix or sys.base_prefix
    links = []
    binds = [HostBind(f"{top}/usr", "/usr")]
    for name in _TOP_FOLDERS:
        path = f"{top}/{name}"
        if os.path.islink(path):
            links.append((name, os.readlink(path)))
        elif os.path.isdir(path):
            binds.append(HostBind(path, f"/{name}"))
    binds += [HostBind(f"{top}{store}", store) for store in _STORES if os.path.isdir(f"{top}{store}")]
    current_system = f"{top}/run/current-system"
    if os.path.islink(current_system):
        links.append(("run/current-system", os.readlink(current_system)))
    binds += _python_binds(base_prefix, tuple(bind.target for bind in binds))
    is_seen = _is_below(base_prefix, ("/usr",)) or base_prefix == "/"
    return HostLayout(tuple(links), tuple(binds), "" if is_seen else f"{base_prefix}/bin")


def _python_binds(base_prefix: str, seen: tuple[str, ...]) -> list[HostBind]:
    # Homebrew's Python needs the libraries beside its cellar.
    prefix = base_prefix.partition(_CELLAR)[0]
    real = os.path.realpath(prefix)
    binds = []
    for target in dict.fromkeys((real, prefix)):
        if target != "/" and os.path.isdir(real) and not _is_below(target, seen):
            binds.append(HostBind(real, target))
    return binds


def _is_below(path: str, folders: tuple[str, ...]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def host_image(layout: HostLayout, *, top: str = "") -> StoredImage:
    """Return the built-in image as it is now. Its id is the same while the host is. Raises OSError."""
    usr_ns = os.stat(f"{top}/usr").st_mtime_ns
    platform = host_platform()
    path = _DEFAULT_PATH
    if dict(layout.links).get("run/current-system"):
        path = f"/run/current-system/sw/bin:{path}"
    if layout.python_bin:
        path = f"{layout.python_bin}:{path}"
    config = ImageConfig(
        cmd=("/bin/sh",),
        env=(f"PATH={path}",),
        os=platform.os,
        architecture=platform.architecture,
        variant=platform.variant,
    )
    facts = {
        "binds": [[bind.source, bind.target] for bind in layout.binds],
        "links": layout.links,
        "os-release": _os_release(top),
        "skeleton": SKELETON_VERSION,
    }
    comment = f"stackctl host image {_short_digest(facts)}"
    history = [{"created": rfc3339(usr_ns), "comment": comment}]
    document = config_document(config, (), created=rfc3339(usr_ns), history=history)
    return StoredImage(
        id=digest_of(document),
        tags=(f"{HOST_IMAGE}:latest",),
        digests=(),
        size_bytes=0,
        tagged_ns=0,
        document=document,
        is_builtin=True,
    )


def host_root(files: StoreFiles, layout: HostLayout, *, top: str = "") -> HostRoot:
    """Return the root of the built-in image, making its skeleton when there is none for the host as it is.

    A skeleton never changes: when what it was copied from has, a new one is made, and containers that have
    the old one keep it. Raises ImageError.
    """
    inputs = skeleton_inputs(top)
    key = _short_digest({"layout": [layout.links, [bind.target for bind in layout.binds]], "inputs": inputs})
    path = f"{files.top}/host-{key}"
    try:
        if not os.path.isdir(path):
            _make(files, path, layout, inputs, top)
    except OSError as error:
        raise ImageError(f"the host image cannot be made: {error}", code="host-image") from error
    return HostRoot(path, layout.binds)


def _make(files: StoreFiles, path: str, layout: HostLayout, inputs: dict[str, tuple[int, int]], top: str) -> None:
    with disk.exclusively(f"{files.locks}/{os.path.basename(path)}"):
        if os.path.isdir(path):
            return
        with disk.temporary_folder(files) as folder:
            skeleton = f"{folder}/skeleton"
            os.mkdir(skeleton)
            targets = tuple((bind.target, os.path.isdir(bind.source)) for bind in layout.binds)
            fill_skeleton(skeleton, links=layout.links, targets=targets, inputs=tuple(inputs), top=top)
            disk.sync_file_system(folder)
            os.rename(skeleton, path)
            disk.sync_folder(files.top)


def _os_release(top: str) -> str:
    for path in ("etc/os-release", "usr/lib/os-release"):
        try:
            with open(f"{top}/{path}", encoding="utf-8", errors="replace") as file:
                return file.read(1024 * 1024)
        except OSError:
            continue
    return ""


def _short_digest(shape: object) -> str:
    return hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()[:16]
