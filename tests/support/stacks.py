"""Stack files as text, loaded and decoded without an engine."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stackctl.diagnostics import Diagnostic, render
from stackctl.model.stack import Service, Stack
from stackctl.stackfile.decode import decode
from stackctl.stackfile.load import Loaded, LoadRequest, load

FOLDER = "/srv/shop"


def loaded(text: str, *, env: Mapping[str, str] | None = None, **request: Any) -> Loaded:
    """Load one file, ``/srv/shop/compose.yaml``, that need not be on the disk; nothing else is there."""
    content = textwrap.dedent(text).encode("utf-8", "surrogatepass")

    def read(path: str) -> bytes:
        if path == f"{FOLDER}/compose.yaml":
            return content
        raise FileNotFoundError(2, "No such file or directory", path)

    environment = {"HOME": "/home/me", **(env or {})}
    return load(LoadRequest(cwd=FOLDER, files=("compose.yaml",), environment=environment, **request), read=read)


def loaded_from(folder: Path, *files: str, env: Mapping[str, str] | None = None, **request: Any) -> Loaded:
    """Load files that lie in ``folder``, as a user there does."""
    environment = {"HOME": "/home/me", **(env or {})}
    return load(LoadRequest(cwd=str(folder), files=files, environment=environment, **request))


def decoded(found: Loaded) -> tuple[Stack | None, tuple[Diagnostic, ...]]:
    """Return the stack, if there is one, and everything said about it by loading and decoding."""
    if found.document is None:
        return None, found.diagnostics
    stack, said = decode(found.document)
    return stack, (*found.diagnostics, *said)


def stack_of(found: Loaded) -> Stack:
    """Return the stack of what was loaded; an error fails the test, shown as a user would see it."""
    stack, said = decoded(found)
    assert stack is not None, shown(found, said)
    return stack


def service(keys: str, *, top: str = "", others: str = "", name: str = "web", **options: Any) -> Service:
    """Return a service of a stack whose ``web`` has these keys (YAML, at any indentation).

    ``top`` stands beside ``services``; ``others`` beside ``web``.
    """
    body = textwrap.indent(textwrap.dedent(keys).strip("\n"), "    ")
    image = "" if "image:" in keys else "    image: nginx\n"
    text = f"services:\n  web:\n{image}{body}\n  {others}\n{textwrap.dedent(top)}"
    return stack_of(loaded(text, **options)).services[name]


def shown(found: Loaded, said: tuple[Diagnostic, ...] | None = None) -> str:
    """Return diagnostics as the terminal shows them."""
    lines = dict(found.lines)
    return "\n\n".join(render(one, text_of_line=lines) for one in (found.diagnostics if said is None else said))


def codes(said: tuple[Diagnostic, ...]) -> list[str]:
    """Return the codes of diagnostics, in order."""
    return [one.code for one in said]
