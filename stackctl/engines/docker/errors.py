"""What a Docker Engine says went wrong, as our own errors with their codes. Pure.

Source: the messages of moby 20.10 to 28 (errors.go of daemon and libnetwork, and what runc says).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from stackctl.errors import Conflict, ContainerError, EngineError, ImageError, NotFound, kind_of


class _Known(NamedTuple):
    """What a message matches, and what it means. ``field`` may use the pattern's groups."""

    pattern: re.Pattern[str]
    kind: type[EngineError] | type[ImageError]
    code: str
    field: str = ""
    hint: str = ""


def _known(
    pattern: str, kind: type[EngineError] | type[ImageError], code: str, field: str = "", hint: str = ""
) -> _Known:
    return _Known(re.compile(pattern, re.IGNORECASE), kind, code, field, hint)


_READ_ONLY_HINT: Final = "leave read_only out, or give each config and secret a target in some folder"
_KNOWN: Final = (
    _known(r"name \"?/?\S+\"? is already in use", Conflict, "name-taken", "name"),
    _known(r"invalid container name", ContainerError, "invalid-name", "name"),
    _known(r"no command specified", ContainerError, "no-command", "argv"),
    _known(r"no such container", NotFound, "no-such-container"),
    _known(r"bind for \S*:(\d+) failed|listen \w+ \S*:(\d+): bind", Conflict, "port-taken", "ports.{}"),
    _known(r"failed to bind host port (?:for )?\S*?:(\d+)", Conflict, "port-taken", "ports.{}"),
    _known(r"could not find the file", NotFound, "no-such-path"),
    _known(r"port is already allocated|ports are not available", Conflict, "port-taken", "ports"),
    _known(r"no such image|pull access denied|manifest unknown|manifest for", NotFound, "image-not-found", "image_ref"),
    _known(r"unable to find (?:user|group)|no matching entries in", ContainerError, "user-not-found", "user"),
    _known(r"exec: .*no such file or directory", ContainerError, "command-not-found", "argv.0"),
    _known(r"executable file not found", ContainerError, "command-not-found", "argv.0"),
    _known(r"exec:? .*(?:permission denied|is a directory)", ContainerError, "command-not-executable", "argv.0"),
    _known(r"exec format error", ContainerError, "command-not-executable", "argv.0"),
    _known(r"bind source path does not exist", NotFound, "bind-source-missing", "mounts"),
    _known(r"error gathering device information", ContainerError, "device-missing", "devices"),
    _known(r"overlaps with|pool overlaps|conflicts with network", Conflict, "subnet-overlap"),
    _known(r"address already in use", Conflict, "address-taken", "networking"),
    _known(r"invalid address|no configured subnet|does not belong to any", EngineError, "bad-address", "networking"),
    _known(r"active endpoints", Conflict, "network-in-use"),
    _known(r"volume is in use", Conflict, "volume-in-use"),
    _known(r"cannot join .*non running", Conflict, "namespace-owner-not-running", "networking"),
    _known(r"network \S+ not found|no such network|find a network match", NotFound, "no-such-network", "networking"),
    _known(r"invalid signal|not a valid signal", ContainerError, "unknown-signal"),
    _known(r"cannot remove a running container|container is running", Conflict, "container-running"),
    _known(r"is not running", Conflict, "container-not-running"),
    _known(r"unknown capability|invalid cap", ContainerError, "unknown-capability", "cap_add"),
    _known(r"sysctl \"?([\w.]+)\"? (?:is not|not allowed)", ContainerError, "sysctl-not-namespaced", "sysctls.{}"),
    _known(r"memory limit|minimum memory|cpus? are available|pids limit", ContainerError, "limit", "limits"),
    _known(
        r"rootfs is marked read-only", ContainerError, code="read-only-content", field="read_only", hint=_READ_ONLY_HINT
    ),
)
_EMPTY_WORDS: Final = (
    "Error response from daemon: ",
    "failed to create task for container: ",
    "failed to create shim task: ",
    "OCI runtime create failed: ",
)


@contextmanager
def told_by_docker(subject: str = "") -> Iterator[None]:
    """Give what Docker says our code, our kind and, before its words, the subject. Our own errors stay as they are."""
    try:
        yield
    except (EngineError, ImageError) as error:
        if not _is_plain(error):
            raise
        raise translated(error, subject) from error


def translated(error: EngineError | ImageError, subject: str = "") -> EngineError | ImageError:
    """Return the error that Docker's message stands for; one nobody knows only gets the subject."""
    message = _shortened(error.message)
    text = f"{subject}: {message}" if subject else message
    for known in _KNOWN:
        if (found := known.pattern.search(message)) is not None:
            groups = [group for group in found.groups() if group]
            field = known.field.format(*groups) if "{}" not in known.field or groups else known.field.partition(".")[0]
            return known.kind(text, code=known.code, hint=known.hint or error.hint, field=field)
    return type(error)(text, code=error.code, hint=error.hint, field=error.field)


def _is_plain(error: EngineError | ImageError) -> bool:
    """Whether nobody of ours has given the error a code yet: it is that of its kind."""
    kinds = {"EngineError", "NotFound", "Conflict", "TransientError", "PrivilegeError", "ImageError", "ContainerError"}
    return kind_of(error) in kinds and error.code == type(error).code


def _shortened(message: str) -> str:
    """Return the message without what every failed start begins with."""
    for words in _EMPTY_WORDS:
        message = message.replace(words, "")
    return message.strip().removesuffix(": unknown")
