"""A root file system made of this machine's own Python: for examples that need an image and may not download one.

``write_root(path)`` writes a tar with the interpreter that runs this, its standard library, the shared libraries
they need, and a minimal /etc. Nothing else of the machine goes in.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path

_LEFT_OUT = {"__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "ensurepip"}
_LIBRARY = re.compile(r"(/\S+)(?= \(0x)")
_ETC = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/false\napp:x:1000:1000:app:/:/bin/false\n",
    "etc/group": "root:x:0:\napp:x:1000:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
}


def write_root(path: Path) -> None:
    """Write the tar. The interpreter is ``/usr/bin/python3`` in it, wherever it is here."""
    interpreter = Path(os.path.realpath(sys.executable))
    library = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix}))
    files = sorted(_files(library))
    with tarfile.open(path, "w") as tar:
        # /root is on the way to a Python that pyenv or uv built for root: not everybody may look, all may pass.
        for folder, mode in (("tmp", 0o1777), ("root", 0o711), ("proc", 0o555), ("sys", 0o555), ("dev", 0o755)):
            _add(tar, folder, tarfile.DIRTYPE, mode)
        for name, text in _ETC.items():
            _add(tar, name, content=text.encode())
        _add(tar, "usr/bin/python3", tarfile.SYMTYPE, link=str(interpreter))
        for file in dict.fromkeys([interpreter, *files, *_libraries([interpreter, *files])]):
            tar.add(os.path.realpath(file), arcname=str(file).lstrip("/"), recursive=False, filter=_plain)


def _files(folder: Path) -> Iterator[Path]:
    for top, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _LEFT_OUT and not name.startswith("config-")]
        yield from (Path(top, name) for name in names)


def _libraries(files: list[Path]) -> list[Path]:
    """Return what the dynamic loader brings in for programs and extension modules, the loader included."""
    programs = [str(file) for file in files if ".so" in file.suffixes or file.parent.name == "bin"]
    shown = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False).stdout
    return [Path(found) for found in sorted(set(_LIBRARY.findall(shown)))]


def _add(
    tar: tarfile.TarFile,
    name: str,
    kind: bytes = tarfile.REGTYPE,
    mode: int = 0o644,
    *,
    content: bytes = b"",
    link: str = "",
) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.size, info.linkname = kind, mode, len(content), link
    tar.addfile(info, io.BytesIO(content))


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Every file is root's, and readable by all: whoever unpacked the interpreter here does not matter there."""
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mode = 0o755 if info.mode & 0o100 else 0o644
    if info.islnk():
        info.type = tarfile.REGTYPE
    return info
