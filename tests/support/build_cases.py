"""Small builds with what a Docker Engine makes of them: the files below ``tests/golden/build/cases``.

A case is one text file. At its top stand lines ``key: value``:

    about      the claim
    builder    who made the expectation: buildkit, classic (both of a real engine), or reference (written by hand)
    arg        NAME=VALUE, a build argument; may be repeated
    target     the stage to build

Then come sections, ``=== NAME`` and its lines: the files of the build context, and last ``expected``.

    === Dockerfile              a file, mode 0644
    === bin/tool 4755           a file with its mode
    === "a b"                   names with blanks are quoted
    === folder/ 0750            a folder
    === name -> target          a symbolic link
    === name => other           a hard link to a file above
    === name fifo               a named pipe
    === x.tar.gz archive        an archive of the kind its name says; its lines are sections of one line each:
                                ``NAME [MODE] [UID:GID] [= CONTENT]``, ``NAME/ …``, ``NAME -> TARGET``
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import shlex
import stat
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CASES = Path(__file__).parents[1] / "golden/build/cases"
BASE = "busybox:golden"
_TIME = 1_000_000_000  # of every file of a context: what a command touches is another file
BUSYBOX = Path("/bin/busybox")
APPLETS = "sh echo cat ls mkdir touch chmod chown ln rm mv cp id env pwd mkfifo".split()
_PASSWD = "root:x:0:0:root:/root:/bin/sh\njoe:x:1001:50:joe:/home/joe:/bin/sh\n"
_GROUP = "root:x:0:\nstaff:x:50:\nwheel:x:60:joe\n"
_FOLDERS = {
    "bin": 0o755, "dev": 0o755, "etc": 0o755, "home": 0o755, "home/joe": 0o755, "proc": 0o555, "root": 0o700,
    "sys": 0o555, "tmp": 0o1777, "var": 0o755,
}  # fmt: skip
_FILES = {"etc/passwd": _PASSWD, "etc/group": _GROUP, "etc/hosts": "", "etc/hostname": "", "etc/resolv.conf": ""}
_CONFIG = "User ExposedPorts Env Entrypoint Cmd Volumes WorkingDir Labels StopSignal Healthcheck OnBuild Shell".split()


@dataclass(frozen=True, slots=True)
class Section:
    name: str
    kind: str
    mode: int
    lines: str
    target: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    about: str
    builder: str
    args: tuple[tuple[str, str], ...]
    target: str
    files: tuple[Section, ...]
    head: str
    expected: dict[str, Any]

    def write_context(self, folder: Path) -> None:
        """Make the context's files in the empty ``folder``."""
        for section in self.files:
            path = folder / section.name
            path.parent.mkdir(parents=True, exist_ok=True)
            match section.kind:
                case "folder":
                    path.mkdir(exist_ok=True)
                case "symlink":
                    path.symlink_to(section.target)
                case "hardlink":
                    path.hardlink_to(folder / section.target)
                case "fifo":
                    os.mkfifo(path)
                case "archive":
                    path.write_bytes(_archive(section))
                case _:
                    path.write_bytes(section.lines.encode())
        for section in reversed(self.files):  # a folder may be without rights: its files come first
            if section.kind not in ("symlink", "hardlink"):
                (folder / section.name).chmod(section.mode)
            os.utime(folder / section.name, (_TIME, _TIME), follow_symlinks=False)


def all_cases() -> list[Case]:
    """Read every case, sorted by name."""
    return [read_case(path) for path in sorted(CASES.glob("*.case"))]


def read_case(path: Path) -> Case:
    head, *texts = path.read_bytes().decode().split("\n=== ")
    keys = [line.partition(": ")[::2] for line in head.splitlines()]
    sections = []
    expected: dict[str, Any] = {}
    for text in texts:
        title, _, lines = text.partition("\n")
        if title == "expected":
            expected = json.loads(lines)
        else:
            sections.append(_section(title, lines + "\n" if lines else ""))
    known = dict(keys)
    args = [(value.partition("=")[0], value.partition("=")[2]) for key, value in keys if key == "arg"]
    whole = "\n=== ".join([head, *(text for text in texts if not text.startswith("expected\n"))])
    return Case(
        path.stem,
        known["about"],
        known["builder"],
        tuple(args),
        known.get("target", ""),
        tuple(sections),
        whole,
        expected,
    )


def _section(title: str, lines: str) -> Section:
    for arrow, kind in ((" -> ", "symlink"), (" => ", "hardlink")):
        if arrow in title:
            name, _, target = title.partition(arrow)
            return Section(name, kind, 0o777, "", target)
    name, *more = shlex.split(title)
    kind = "folder" if name.endswith("/") else "file"
    mode = 0o755 if name.endswith("/") else 0o644
    for word in more:
        if word in ("fifo", "archive"):
            kind = word
        else:
            mode = int(word, 8)
    return Section(name.rstrip("/"), kind, mode, lines)


def _archive(section: Section) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for line in section.lines.splitlines():
            archive.addfile(*_member(line))
    suffix = section.name.rpartition(".")[2]
    pack = {"gz": lambda data: gzip.compress(data, mtime=0), "bz2": bz2.compress, "xz": lzma.compress}.get(suffix)
    return pack(raw.getvalue()) if pack is not None else raw.getvalue()


def _member(line: str) -> tuple[tarfile.TarInfo, io.BytesIO | None]:
    if " -> " in line:
        name, _, target = line.partition(" -> ")
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, target, 0o777
        return info, None
    title, _, content = line.partition(" = ")
    name, *more = title.split()
    info = tarfile.TarInfo(name.rstrip("/"))
    info.mode = 0o755 if name.endswith("/") else 0o644
    for word in more:
        if ":" in word:
            info.uid, info.gid = (int(number) for number in word.split(":"))
        else:
            info.mode = int(word, 8)
    if name.endswith("/"):
        info.type = tarfile.DIRTYPE
        return info, None
    data = (content + "\n").encode() if content else b""
    info.size = len(data)
    return info, io.BytesIO(data)


def base_tar() -> bytes:
    """Return the root tar of ``busybox:golden``: the machine's static busybox, its links, users, the usual folders."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, mode in _FOLDERS.items():
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, mode
            if name == "home/joe":
                info.uid, info.gid = 1001, 50
            archive.addfile(info)
        for name, content in [("bin/busybox", BUSYBOX.read_bytes()), *((n, c.encode()) for n, c in _FILES.items())]:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755 if name == "bin/busybox" else 0o644
            archive.addfile(info, io.BytesIO(content))
        for name in APPLETS:
            info = tarfile.TarInfo(f"bin/{name}")
            info.type, info.linkname, info.mode = tarfile.SYMTYPE, "/bin/busybox", 0o777
            archive.addfile(info)
    return raw.getvalue()


def base_entries() -> dict[str, str]:
    """Return what ``entries`` tells of the base, by path."""
    with tarfile.open(fileobj=io.BytesIO(base_tar())) as archive:
        return dict(entries(archive))


def entries(archive: tarfile.TarFile) -> Iterator[tuple[str, str]]:
    """Yield each member's path, and all that is compared of it as one text. Times are left out."""
    for member in archive:
        path = member.name.strip("/").removeprefix("./")
        folder, _, name = path.rpartition("/")
        if not path or path == ".":
            continue
        owner = f"{member.mode & 0o7777:o} {member.uid}:{member.gid}"
        if name == ".wh..wh..opq":
            yield path, f"opaque {folder}"
        elif name.startswith(".wh."):
            yield path, f"gone {os.path.join(folder, name[4:])}"
        elif member.isdir():
            yield path, f"dir {owner} {path}"
        elif member.issym():
            yield path, f"link {owner} {path} -> {member.linkname}"
        elif member.islnk():
            yield path, f"hard {path} => {member.linkname.strip('/')}"
        elif member.isfifo():
            yield path, f"fifo {owner} {path}"
        else:
            source = archive.extractfile(member)
            content = source.read() if source is not None else b""
            yield path, f"file {owner} {member.size} {zlib.crc32(content):08x} {path}"


def entries_of_archive(data: bytes) -> dict[str, str]:
    """Return what ``entries`` tells of a layer's tar, by path."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return dict(entries(archive))


def entries_of_folder(top: str) -> dict[str, str]:
    """Return the same of a layer as an overlay has it in a folder, hard links named by their first path."""
    found: dict[str, str] = {}
    inodes: dict[int, str] = {}
    paths = sorted(os.path.relpath(path, top) for path in Path(top).rglob("*"))
    for path in paths:
        full = os.path.join(top, path)
        status = os.lstat(full)
        owner = f"{stat.S_IMODE(status.st_mode):o} {status.st_uid}:{status.st_gid}"
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
            found[path] = f"gone {path}"
        elif stat.S_ISDIR(status.st_mode):
            found[path] = f"dir {owner} {path}"
            if "trusted.overlay.opaque" in os.listxattr(full):
                found[f"{path}/.wh..wh..opq"] = f"opaque {path}"
        elif stat.S_ISLNK(status.st_mode):
            found[path] = f"link {owner} {path} -> {os.readlink(full)}"
        elif status.st_ino in inodes:
            found[path] = f"hard {path} => {inodes[status.st_ino]}"
        elif stat.S_ISFIFO(status.st_mode):
            found[path] = f"fifo {owner} {path}"
        else:
            content = Path(full).read_bytes()
            found[path] = f"file {owner} {len(content)} {zlib.crc32(content):08x} {path}"
        inodes.setdefault(status.st_ino, path)
    return found


def layers_of(layers: list[dict[str, str]], *, has_base: bool) -> list[list[str]]:
    """Return the entries of layers, above the base if ``has_base``.

    Folders that are as they were below are left out, and so are layers in which nothing is left. An opaque folder is
    told as what it hides, however the layer says so.
    """
    below = base_entries() if has_base else {}
    found = []
    for members in layers:
        kept = [text for path, text in members.items() if not (text[:3] == "dir" and below.get(path) == text)]
        hidden = [path for text in kept if text.startswith("opaque ") for path in _hidden(text[7:], members, below)]
        kept = sorted({text for text in kept if not text.startswith("opaque ")} | {f"gone {path}" for path in hidden})
        for path in [text[5:] for text in kept if text.startswith("gone ")]:
            for known in [known for known in below if known == path or known.startswith(f"{path}/")]:
                del below[known]
        below.update({path: text for path, text in members.items() if text.split()[0] not in ("gone", "opaque")})
        if kept:
            found.append(kept)
    return found


def _hidden(folder: str, members: Mapping[str, str], below: Mapping[str, str]) -> list[str]:
    """Return what an opaque folder hides of what lies below, the tops of what is gone alone."""
    return [
        path
        for path in below
        if path.startswith(f"{folder}/")
        and path not in members
        and (os.path.dirname(path) == folder or members.get(os.path.dirname(path), "").startswith("dir "))
    ]


def config_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is compared of an image's configuration; what is empty is left out."""
    config = document.get("config") or {}
    return {key: config[key] for key in _CONFIG if config.get(key)}


def history_of(document: Mapping[str, Any], base_steps: int) -> list[str]:
    """Return the history above the base's, one text a step."""
    return [str(step.get("created_by", "")) for step in document.get("history", [])[base_steps:]]
