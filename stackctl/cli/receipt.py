"""The receipt gate: an `up` of which nothing has changed is answered before anything else is imported.

A receipt is what an `up` that left nothing to do wrote down: all that it consulted, and what it said. If every fact
still holds the answer is the same. If one does not, or anything is odd, the gate does not know, and the full path is
taken: it can never say that something *has* changed. Written by ``receipt_writing``.

Nothing but ``os`` and ``sys`` is imported: ``json``, ``re``, ``typing`` and ``hashlib`` would cost as much as all
of this.
"""

from __future__ import annotations

import os
import sys

from stackctl import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

DEFAULT_ROOT = "/var/lib/stackctl"
RUN_PARENT = "/run/stackctl"
MAGIC = "stackctl receipt 1"
# Variables that decide how commands behave, set or not, whether or not a stack file names them.
PREFIXES = ("COMPOSE_", "STACKCTL_", "DOCKER_")
ALWAYS = ("HOME", "NO_COLOR", "TERM", "PYTHONIOENCODING", "LANG", "LC_ALL", "LC_CTYPE")
_SEPARATOR = "\0"
_LARGEST_BYTES = 16 << 20


def answer(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Say what the receipt of this very command says, if there is one and it holds; else return False."""
    if "up" not in arguments or environment.get("STACKCTL_NO_RECEIPT"):
        return False
    try:
        run = run_folder(environment)
        found = read(f"{run}/{receipt_name(arguments, os.getcwd())}")
        if found is None or not _holds(found, run, environment):
            return False
    except (OSError, ValueError, IndexError, KeyError):
        return False
    sys.stderr.write(found["error_text"][0])
    sys.stdout.write(found["output_text"][0])
    return True


def run_folder(environment: Mapping[str, str]) -> str:
    """Return the live folder of the engine that the environment names. Raises OSError where there never was one."""
    root = os.path.realpath(environment.get("STACKCTL_ROOT") or DEFAULT_ROOT)
    with open(f"{root}/engine-id", encoding="ascii") as file:
        return f"{RUN_PARENT}/{file.read().strip()}"


def receipt_name(arguments: Sequence[str], cwd: str) -> str:
    """Return the name of the receipt for a command, typed here, shown here, by this version."""
    shown_on = "".join(str(int(os.isatty(fd))) for fd in (1, 2))
    facts = (MAGIC, __version__, sys.version, cwd, shown_on, *arguments)
    return f"receipt-{digest(_SEPARATOR.join(facts).encode(errors='surrogateescape'))}"


def digest(content: bytes) -> str:
    """Return a digest that two different contents never share."""
    try:
        from _blake2 import blake2b  # hashlib would load OpenSSL: 3 ms
    except ImportError:
        from hashlib import blake2b
    return blake2b(content, digest_size=32).hexdigest()


def variables_digest(names: Iterable[str], environment: Mapping[str, str]) -> str:
    """Return a digest of the values of these variables and of those always consulted; unset is a value."""
    own = (name for name in environment if name.startswith(PREFIXES))
    lines = []
    for name in sorted({*names, *own, *ALWAYS}):
        value = environment.get(name)
        lines.append(name if value is None else f"{name}={value}")
    return digest(_SEPARATOR.join(lines).encode(errors="surrogateescape"))


def pack(sections: Mapping[str, Sequence[str]]) -> bytes:
    """Return a receipt's text: for each section its name, its number of values, the values."""
    parts = [MAGIC]
    for name, values in sections.items():
        if any(_SEPARATOR in value for value in values):
            raise ValueError(f"a value of {name} cannot be written down")
        parts += [name, str(len(values)), *values]
    return _SEPARATOR.join(parts).encode(errors="surrogateescape")


def unpack(text: bytes) -> dict[str, list[str]] | None:
    """Return the sections of a receipt, None when it is of another version. Raises ValueError, IndexError."""
    parts = text.decode(errors="surrogateescape").split(_SEPARATOR)
    if parts[0] != MAGIC:
        return None
    sections, at = {}, 1
    while at < len(parts):
        end = at + 2 + int(parts[at + 1])
        if end > len(parts):
            return None
        sections[parts[at]] = parts[at + 2 : end]
        at = end
    return sections


def read(path: str) -> dict[str, list[str]] | None:
    """Return the sections of a file that ``pack`` made, None if it is not ours.

    Raises OSError, ValueError, IndexError.
    """
    with open(path, "rb") as file:
        # Whoever else could write it could make us say anything.
        if os.fstat(file.fileno()).st_uid != os.geteuid():
            return None
        return unpack(file.read(_LARGEST_BYTES))


def _holds(found: Mapping[str, Sequence[str]], run: str, environment: Mapping[str, str]) -> bool:
    return (
        _is_same_engine(found, run)
        and facts_hold(found, environment)
        # Order: last, so that nothing looked at above is older than the engine's word.
        and _text(f"{run}/stamp-{found['project'][0]}") == found["stamp"][0]
    )


def facts_hold(found: Mapping[str, Sequence[str]], environment: Mapping[str, str]) -> bool:
    """Whether files and variables are as they were: what was read, what was there, and what was not."""
    return (
        variables_digest(found["variables"], environment) == found["values"][0]
        and not any(os.path.lexists(path) for path in found["absent"])
        and all(os.path.exists(path) for path in found["found"])
        and all(_file_digest(path) == known for path, known in zip(found["files"], found["digests"], strict=True))
    )


def _is_same_engine(found: Mapping[str, Sequence[str]], run: str) -> bool:
    """Whether the supervisor that gave the stamp lives, and the daemon that planned by it."""
    if _text(f"{run}/processes.json") != found["processes"][0]:
        return False
    pid, ticks, _ = found["stamp"][0].split(" ")
    return _text(f"/proc/{pid}/stat").rpartition(")")[2].split()[19] == ticks


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def _file_digest(path: str) -> str:
    with open(path, "rb") as file:
        return digest(file.read())
