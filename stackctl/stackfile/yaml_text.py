"""YAML text to nodes.

Events come from the C parser of ruamel.yaml; values and places are made here, so that YAML means what it
means to Compose (see ``scalar``) and every error has a place. The C parser is an old libyaml that refuses
some valid YAML (``[a:b]``), so what it refuses is read again by the pure Python parser, whose word is final.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from stackctl.stackfile.node import Mark, Node
from stackctl.stackfile.problems import Problems
from stackctl.stackfile.yaml_compose import SYNTAX, Composer, Unreadable
from stackctl.stackfile.yaml_errors import explain

# What YAML calls unprintable. Not as "none of the printable": a set with wide ranges takes 12 ms to compile.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")


def lines_of(text: str) -> list[str]:
    """Return the lines of ``text``, split where YAML ends a line."""
    return _LINE_BREAK.split(text)


def decode_text(content: bytes, *, file: str, problems: Problems) -> str | None:
    """Return ``content`` as text without a byte order mark, or None when it is not Unicode text."""
    encoding = "utf-8-sig"
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as wrong:
        before = content[: wrong.start].decode("utf-8", "replace")
        lines = lines_of(before)
        mark = Mark(file, len(lines), len(lines[-1]) + 1, len(lines[-1]) + 2)
        byte = content[wrong.start : wrong.start + 1].hex()
        problems.error(
            "yaml-syntax",
            SYNTAX,
            mark,
            detail=f"The byte 0x{byte} here is not valid UTF-8.",
            hint="save the file as UTF-8",
        )
        return None


def read_yaml(text: str, *, file: str, problems: Problems) -> list[Node]:
    """Return the documents of ``text``; those before a syntax error are lost with it.

    Total: whatever ``text`` is, problems become diagnostics and the result is then empty.
    """
    text = text.removeprefix("\ufeff")
    bad = _UNPRINTABLE.search(text)
    if bad is not None:
        _report_unprintable(text, bad, file=file, problems=problems)
        return []
    found = Problems()
    try:
        documents = _build(_native_events(text), file=file, problems=found)
    except Unreadable:
        problems.extend(found.all())
        return []
    except _yaml_error():
        return _read_pure(text, file=file, problems=problems)
    problems.extend(found.all())
    return documents


def _read_pure(text: str, *, file: str, problems: Problems) -> list[Node]:
    found = Problems()
    try:
        documents = _build(_pure_events(text), file=file, problems=found)
    except Unreadable:
        documents = []
    except (_yaml_error(), ValueError, OverflowError) as wrong:
        documents = []
        mark, detail, hint = explain(wrong, file=file, lines=lines_of(text))
        problems.error("yaml-syntax", SYNTAX, *mark, detail=detail, hint=hint)
    problems.extend(found.all())
    return documents


def _yaml_error() -> type[Exception]:
    from ruamel.yaml.error import YAMLError

    return YAMLError


def _native_events(text: str) -> Iterator[Any]:
    try:
        from _ruamel_yaml import CParser  # type: ignore[import-not-found]  # has no stubs
    except ImportError:  # no compiled parser for this platform
        yield from _pure_events(text)
        return
    parser = CParser(text)
    while (event := parser.get_event()) is not None:
        yield event


def _pure_events(text: str) -> Iterator[Any]:
    from ruamel.yaml import YAML

    yield from YAML(typ="safe", pure=True).parse(text)


def _report_unprintable(text: str, bad: re.Match[str], *, file: str, problems: Problems) -> None:
    lines = lines_of(text[: bad.start()])
    column = len(lines[-1]) + 1
    name = "NUL" if bad[0] == "\0" else f"U+{ord(bad[0]):04X}"
    problems.error(
        "yaml-syntax",
        SYNTAX,
        Mark(file, len(lines), column, column + 1),
        detail=f"The control character {name} is not allowed in YAML.",
        hint='remove it, or write it as an escape in a double-quoted string, such as "\\x1b"',
    )


def _build(events: Iterator[Any], *, file: str, problems: Problems) -> list[Node]:
    builder = Composer(file, problems)
    for event in events:
        builder.add(event)
    return builder.documents
