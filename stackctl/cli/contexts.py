"""Contexts of builds: what the user's folders hold, less what ``.dockerignore`` names, and sending it."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stackctl.errors import ImageError
from stackctl.images import tar_writer
from stackctl.images.dockerfile.ignore import Ignore
from stackctl.images.tar_reader import Kind, TarEntry
from stackctl.model.build import BuildInputs

if TYPE_CHECKING:
    from stackctl.cli.settings import Settings
    from stackctl.diagnostics import Diagnostic

_PIECE: Final = 1 << 18
_DOCKERIGNORE: Final = ".dockerignore"
_KINDS: Final = {stat.S_IFIFO: Kind.FIFO, stat.S_IFCHR: Kind.CHAR, stat.S_IFBLK: Kind.BLOCK}


class Entry(NamedTuple):
    """Something in a context, by its path in it."""

    path: str
    status: os.stat_result


class Context(NamedTuple):
    """A folder as the builder will see it, with its Dockerfile and what that is called in messages.

    ``extra`` are files that are sent along: paths and contents. ``warnings`` are about .dockerignore.
    """

    folder: str
    dockerfile: str
    dockerfile_at: str
    shown: str
    entries: tuple[Entry, ...]
    extra: tuple[tuple[str, bytes], ...] = ()
    warnings: tuple[Diagnostic, ...] = ()

    def check(self) -> tuple[Diagnostic, ...]:
        """Return what is worth a warning. Raises DockerfileError with all that is wrong with the Dockerfile."""
        from stackctl.images.dockerfile.parse import parse  # 15 ms: only what is about to be built

        read = parse(self.dockerfile.encode("utf-8", "surrogateescape"), self.shown)
        return (*self.warnings, *read.warnings)

    def inputs(self) -> BuildInputs:
        """Return what the engine compares. Reads every file. Raises ImageError.

        The Dockerfile is compared as such, also where it is a file of the context.
        """
        return BuildInputs(dockerfile=self.dockerfile, path=self.shown, files=dict(_facts(self)))


def find_context(settings: Settings, service: str, build: Mapping[str, Any]) -> Context:
    """Look at the context of ``build:``, in its long form. Raises ImageError for what cannot be read."""
    folder = str(build.get("context") or ".")
    inline = str(build.get("dockerfile_inline") or "")
    if inline:
        return read_context(settings, folder, "", inline=inline, shown=f"{service}.build.dockerfile_inline")
    return read_context(settings, folder, str(build.get("dockerfile") or "Dockerfile"))


def read_context(settings: Settings, folder: str, dockerfile: str, *, inline: str = "", shown: str = "") -> Context:
    """Look at a folder and the Dockerfile in it, or elsewhere. Raises ImageError for what cannot be read."""
    if not os.path.isdir(folder):
        raise ImageError(f"the build context {folder} is no folder", code="build-context")
    path = os.path.join(folder, dockerfile) if dockerfile else ""
    text = inline or _read(path, "the Dockerfile", hint="name it with `dockerfile:`, or --file")
    ignore = _ignore(folder, path, settings.cwd)
    entries = tuple(_walk(folder, "", ignore))
    at = os.path.relpath(path, folder) if path else ""
    shown = shown or _as_typed(path, settings.cwd)
    return Context(folder, text, at, shown, entries, warnings=ignore.warnings)


def with_dockerfile(context: Context) -> tuple[Context, str]:
    """Return the context with its Dockerfile among what is sent, wherever it is, and the path under which it is."""
    if any(entry.path == context.dockerfile_at for entry in context.entries):
        return context, context.dockerfile_at
    name = f".dockerfile.{hashlib.sha256(context.dockerfile.encode(errors='surrogateescape')).hexdigest()[:20]}"
    content = context.dockerfile.encode("utf-8", "surrogateescape")
    left_out = f"{name}\n{_DOCKERIGNORE}\n".encode()
    return context._replace(extra=((name, content), (_DOCKERIGNORE, left_out))), name


def _as_typed(path: str, cwd: str) -> str:
    relative = os.path.relpath(path, cwd)
    return path if relative.startswith("../..") else relative


def _read(path: str, what: str, *, hint: str = "") -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except OSError as error:
        raise ImageError(f"{what} {path} cannot be read: {error.strerror}", code="build-context", hint=hint) from error


def _ignore(folder: str, dockerfile: str, cwd: str) -> Ignore:
    for path in (f"{dockerfile}.dockerignore" if dockerfile else "", os.path.join(folder, _DOCKERIGNORE)):
        if path and os.path.isfile(path):
            return Ignore.parse(_read(path, "the file"), _as_typed(path, cwd))
    return Ignore()


def _walk(folder: str, path: str, ignore: Ignore) -> Iterator[Entry]:
    where = os.path.join(folder, path) if path else folder
    try:
        found = sorted(os.scandir(where), key=lambda entry: os.fsencode(entry.name))
        statuses = [entry.stat(follow_symlinks=False) for entry in found]
    except OSError as error:
        raise _unreadable(error) from error
    for entry, status in zip(found, statuses, strict=True):
        own = f"{path}/{entry.name}" if path else entry.name
        is_folder = stat.S_ISDIR(status.st_mode)
        is_left_out = ignore.excludes(own, is_folder)
        if stat.S_ISSOCK(status.st_mode) or (is_left_out and not (is_folder and ignore.may_descend)):
            continue
        below = _walk(folder, own, ignore) if is_folder else iter(())
        if is_left_out:
            # A folder that is left out is there all the same for what is let in again below it.
            first = next(below, None)
            if first is None:
                continue
            yield Entry(own, status)
            yield first
        else:
            yield Entry(own, status)
        yield from below


def _facts(context: Context) -> Iterator[tuple[str, str]]:
    for path, status in context.entries:
        if path == context.dockerfile_at:
            continue
        mode = stat.S_IMODE(status.st_mode)
        where = os.path.join(context.folder, path)
        try:
            if stat.S_ISREG(status.st_mode):
                with open(where, "rb") as file:
                    yield path, f"{mode:o} {hashlib.file_digest(file, 'sha256').hexdigest()}"
            elif stat.S_ISLNK(status.st_mode):
                yield path, f"-> {os.readlink(where)}"
            else:
                yield path, f"{stat.S_IFMT(status.st_mode):o} {mode:o}"
        except OSError as error:
            raise _unreadable(error) from error


def _unreadable(error: OSError) -> ImageError:
    return ImageError(
        f"the build context cannot be read: {error.strerror}: {error.filename}",
        code="build-context",
        hint="name in .dockerignore what the build does not need",
    )


class ContextTar:
    """A context as a tar to read from. Files belong to nobody in particular: Docker sends them so, too."""

    def __init__(self, context: Context) -> None:
        self._pieces = _tar(context)
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, b"" at the end. Raises ImageError."""
        while not self._rest:  # a piece may be empty: what pads a file of whole blocks is
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = piece
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def _tar(context: Context) -> Iterator[bytes]:
    first: dict[tuple[int, int], bytes] = {}
    for path, status in context.entries:
        name, where = os.fsencode(path), os.path.join(context.folder, path)
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            known = first.setdefault((status.st_dev, status.st_ino), name)
            if known != name:
                yield tar_writer.header(_entry(name, Kind.HARD_LINK, status)._replace(link=known))
                continue
        if stat.S_ISREG(status.st_mode):
            yield from _file(name, where, status)
        elif stat.S_ISDIR(status.st_mode):
            yield tar_writer.header(_entry(name, Kind.FOLDER, status))
        elif stat.S_ISLNK(status.st_mode):
            yield tar_writer.header(_entry(name, Kind.SYMLINK, status)._replace(link=os.readlink(os.fsencode(where))))
        else:
            kind = _KINDS[stat.S_IFMT(status.st_mode)]
            device = (os.major(status.st_rdev), os.minor(status.st_rdev)) if kind is not Kind.FIFO else (0, 0)
            yield tar_writer.header(_entry(name, kind, status)._replace(device=device))
    for path, content in context.extra:
        entry = TarEntry(os.fsencode(path), Kind.FILE, 0o644, 0, 0, len(content), 0, b"", (0, 0), (), None)
        yield tar_writer.header(entry) + content + tar_writer.padding(len(content))
    yield tar_writer.end()


def _file(name: bytes, where: str, status: os.stat_result) -> Iterator[bytes]:
    try:
        with open(where, "rb") as file:
            yield tar_writer.header(_entry(name, Kind.FILE, status)._replace(size=status.st_size))
            left = status.st_size
            while left and (piece := file.read(min(left, _PIECE))):
                left -= len(piece)
                yield piece
    except OSError as error:
        raise _unreadable(error) from error
    if left:
        raise ImageError(f"{where} has become shorter while it was read", code="build-context")
    yield tar_writer.padding(status.st_size)


def _entry(name: bytes, kind: Kind, status: os.stat_result) -> TarEntry:
    return TarEntry(name, kind, stat.S_IMODE(status.st_mode), 0, 0, 0, status.st_mtime_ns, b"", (0, 0), (), None)
