"""What `config` said before, said again while all that it was made from is the same: files, variables, the program.

The gate is ``answer``, which imports nothing but what the receipt gate does: no parser, no json. What is kept is a
cache below the user's cache folder, for there need not be any engine. It holds under the same facts as a receipt,
and is kept by ``keep`` alone. See docs/decisions/0014-known-answers.md for what may not be kept.
"""

from __future__ import annotations

import os
import sys

from stackctl.cli import receipt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stackctl.cli.settings import Settings

_MOST = 64
_LONGEST = 1 << 20
_END = ["."]
# Programs give these to every command; a stack file that names them gives nothing away.
_NO_SECRETS = (*receipt.ALWAYS, "COMPOSE_PROJECT_NAME", "PATH", "PWD", "USER", "LOGNAME", "UID", "GID", "HOSTNAME")


def answer(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Say what this very command said last, if nothing of what it was made from has changed; else return False."""
    if environment.get("STACKCTL_NO_RECEIPT"):
        return False
    try:
        found = receipt.read(_path(arguments, os.getcwd(), environment))
        if found is None or found["end"] != _END or not receipt.facts_hold(found, environment):
            return False
    except (OSError, ValueError, LookupError):
        return False
    sys.stderr.write(found["error_text"][0])
    sys.stdout.write(found["output_text"][0])
    return True


def keep(settings: Settings, text: str) -> None:
    """Keep what the command that this process is has said, if it may be kept; nothing depends on it."""
    if tuple(sys.argv[1:]) != settings.arguments or len(text) > _LONGEST or not _may_be_kept(settings):
        return
    from stackctl.cli.receipt_writing import facts_of
    from stackctl.cli.receipt_writing import keep as write

    sections = {
        **facts_of(settings),
        "error_text": ["".join(settings.warned)],
        "output_text": [text],
        "end": _END,
    }

    def made() -> tuple[str, Mapping[str, Sequence[str]]]:
        path = _path(settings.arguments, settings.cwd, settings.environment)
        _make_folder(os.path.dirname(path))
        return path, sections

    write(settings, made)


def _may_be_kept(settings: Settings) -> bool:
    """Whether all is in files that lie there anyway: nothing from a variable, which may be a secret, or typed in."""
    consulted = settings.consulted
    secret = (name for name in consulted.variables if name in settings.environment and name not in _NO_SECRETS)
    return (
        not settings.environment.get("STACKCTL_NO_RECEIPT")
        and not settings.typed_in
        and "" not in consulted.digests.values()
        and not any(secret)
        # What is in a folder is not among the facts, nor that it is one.
        and not any(os.path.isdir(path) for path in consulted.found)
    )


def _path(arguments: Sequence[str], cwd: str, environment: Mapping[str, str]) -> str:
    """Raises OSError where there is no place to keep anything."""
    name = receipt.receipt_name([*arguments, _program()], cwd).replace("receipt", "answer")
    return f"{_folder(environment)}/{name}"


def _folder(environment: Mapping[str, str]) -> str:
    home, folder = environment.get("HOME", ""), environment.get("XDG_CACHE_HOME", "")
    if not folder.startswith("/"):
        # Nothing of root's into the folder of the user who called sudo.
        if not home.startswith("/") or os.stat(home).st_uid != os.geteuid():
            raise FileNotFoundError(home)
        folder = f"{home}/.cache"
    return f"{folder}/stackctl"


def _program() -> str:
    """Return what changes when the program does, be its version the same: it may be a checkout somebody works in."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    newest = size = count = 0
    for part in ("cli", "stackfile"):
        for entry in os.scandir(f"{here}/{part}"):
            if entry.name.endswith(".py"):
                found = entry.stat()
                newest, size, count = max(newest, found.st_mtime_ns), size + found.st_size, count + 1
    return f"{here} {newest} {size} {count}"


def _make_folder(folder: str) -> None:
    """Make the folder, for its owner only, and room in it. Raises OSError if it is anybody else's."""
    os.makedirs(os.path.dirname(folder), mode=0o700, exist_ok=True)
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        found = os.lstat(folder)
        if found.st_uid != os.geteuid() or found.st_mode & 0o170077 != 0o040000:
            raise
    known = [entry for entry in os.scandir(folder) if entry.name.startswith("answer-")]
    if len(known) >= _MOST:
        for entry in sorted(known, key=lambda entry: entry.stat().st_mtime_ns)[: _MOST // 2]:
            os.unlink(entry.path)
