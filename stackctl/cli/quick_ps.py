"""`ps` in its plain forms, without click: half of what it costs would be the command line's own imports.

Takes a few options, understands them as the full command does, and leaves everything else, errors too, to that one.
"""

from __future__ import annotations

import _socket  # without the 6 ms of what socket adds to it
import os
import sys
import time
from collections.abc import Mapping, Sequence

from stackctl.cli.receipt import DEFAULT_ROOT, run_folder
from stackctl.wire.protocol import HEADER, PROTOCOL

_WITH_VALUE = {"-f": "file", "--file": "file", "-p": "project", "--project-name": "project", "--format": "format"}
_FLAGS = {"-a": "all", "--all": "all", "-q": "quiet", "--quiet": "quiet", "--no-trunc": "whole"}
_ANSWER_S = 3.0  # then the full command asks: it tells who does not answer
_REQUEST = (
    "GET /containers/json?all=1&filters=%7B%22label%22%3A%5B%22com.docker.compose.project%3D{project}%22%5D%7D"
    " HTTP/1.1\r\n"
    "Host: stackctl\r\nUser-Agent: stackctl\r\nConnection: close\r\nContent-Length: 0\r\n"
    f"{HEADER}: {PROTOCOL}\r\n\r\n"
)
_NOT_PLAIN = ("COMPOSE_PROGRESS", "COMPOSE_ANSI", "STACKCTL_DEBUG", "STACKCTL_TIMEOUT", "STACKCTL_ENGINE")
_BEFORE, _AFTER = ("file", "project"), ("format", *_FLAGS.values())


def answer(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Do what this `ps` asks for, and return True; False, having done nothing, unless all of it is plain."""
    options = _options(arguments)
    if options is None or options.get("format", ["table"])[-1] not in ("table", "json"):
        return False
    try:
        text = _text(options, environment)
    except (OSError, ValueError):
        return False
    if text is None:
        return False
    sys.stdout.write(text)
    return True


def _options(arguments: Sequence[str]) -> dict[str, list[str]] | None:
    """Return option → values as given, None for anything but plain `ps`."""
    found: dict[str, list[str]] = {}
    at, is_before = 0, True
    while at < len(arguments):
        word = arguments[at]
        name = _WITH_VALUE.get(word) or _FLAGS.get(word, "")
        if word == "ps" and is_before:
            is_before = False
        elif name not in (_BEFORE if is_before else _AFTER):
            return None
        elif word in _WITH_VALUE:
            at += 1
            if at == len(arguments) or not arguments[at] or arguments[at].startswith("-"):
                return None
            found.setdefault(name, []).append(arguments[at])
        else:
            found[name] = []
        at += 1
    return None if is_before else found


def _text(options: Mapping[str, list[str]], environment: Mapping[str, str]) -> str | None:
    from stackctl.cli.quick_name import quick_name

    # These decide how things are said, or fail; the full command knows how.
    if any(environment.get(name) for name in _NOT_PLAIN):
        return None
    project = quick_name(
        files=tuple(options.get("file", ())),
        project_name=options.get("project", [""])[-1],
        project_directory="",
        env_files=(),
        environment=environment,
        cwd=os.getcwd(),
    )
    if project is None:
        return None
    if "all" in options and os.path.exists(f"{environment.get('STACKCTL_ROOT') or DEFAULT_ROOT}/set-aside"):
        return None  # there is more to tell
    sock = _asked(f"{run_folder(environment)}/api.sock", project)
    # While the engine answers: the rest of the imports.
    import json

    from stackctl.cli.containers import in_order
    from stackctl.cli.render.ps import ps_text

    body = _answer(sock)
    if body is None:
        return None
    found = [c for c in in_order(json.loads(body)) if "all" in options or (c.is_running and not c.is_oneoff)]
    if "quiet" in options:
        return "".join(f"{container.id}\n" for container in found)
    form = options.get("format", ["table"])[-1]
    return ps_text(found, form, now_s=time.time(), is_truncated="whole" not in options)


def _asked(path: str, project: str) -> _socket.socket:
    """Ask the engine for the containers of a project, whose name needs no quoting. Raises OSError."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    sock.settimeout(_ANSWER_S)
    sock.connect(path)
    request = _REQUEST.format(project=project).encode("ascii")
    while request:
        request = request[sock.send(request) :]
    return sock


def _answer(sock: _socket.socket) -> bytes | None:
    """Return the body of the answer, None when it is not one plain and whole body. Raises OSError."""
    pieces = []
    while piece := sock.recv(1 << 18):
        pieces.append(piece)
    head, _, body = b"".join(pieces).partition(b"\r\n\r\n")
    is_whole = b"\r\ncontent-length: %d\r\n" % len(body) in head.lower() + b"\r\n"
    return body if head.startswith(b"HTTP/1.1 200 ") and is_whole else None
