"""`ps` in its plain forms, without click: half of what it costs would be the command line's own imports.

Takes a few options, understands them as the full command does, and leaves everything else, errors too, to that one.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence

from stackctl.cli.receipt import run_folder

_WITH_VALUE = {"-f": "file", "--file": "file", "-p": "project", "--project-name": "project", "--format": "format"}
_FLAGS = {"-a": "all", "--all": "all", "-q": "quiet", "--quiet": "quiet", "--no-trunc": "whole"}
_BEFORE, _AFTER = ("file", "project"), ("format", *_FLAGS.values())


def answer(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Do what this `ps` asks for, and return True; False, having done nothing, unless all of it is plain."""
    options = _options(arguments)
    if options is None or options.get("format", ["table"])[-1] not in ("table", "json"):
        return False
    from stackctl.errors import StackctlError

    try:
        text = _text(options, environment)
    except (OSError, StackctlError):
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
    if any(environment.get(name) for name in ("COMPOSE_PROGRESS", "COMPOSE_ANSI", "STACKCTL_DEBUG")):
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
    from stackctl import labels
    from stackctl.cli.containers import in_order
    from stackctl.client.engine_client import EngineClient

    engine = EngineClient(f"unix://{run_folder(environment)}/api.sock")
    entries = engine.containers(all=True, labels=[f"{labels.PROJECT}={project}"])
    found = [c for c in in_order(entries) if "all" in options or (c.is_running and not c.is_oneoff)]
    if "quiet" in options:
        return "".join(f"{container.id}\n" for container in found)
    from stackctl.cli.render.ps import ps_text

    form = options.get("format", ["table"])[-1]
    return ps_text(found, form, now_s=time.time(), is_truncated="whole" not in options)
