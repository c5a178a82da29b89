"""Events of a YAML parser to nodes, without recursion."""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Any, NamedTuple

from stackctl.stackfile.node import Atom, Mapping, Mark, Node, Scalar, Sequence
from stackctl.stackfile.problems import Problems
from stackctl.stackfile.scalar import resolve_plain

MAX_DEPTH = 60
MAX_ALIASED_NODES = 100_000
MAX_NODES = 1_000_000
SYNTAX = "Invalid YAML"
_YAML = "tag:yaml.org,2002:"
_OWN_TAGS = ("!reset", "!override")


class Unreadable(Exception):
    """The text cannot be read any further; a diagnostic has been made."""


class _Anchored(NamedTuple):
    node: Node
    size: int
    height: int


class _Frame:
    """A collection being read."""

    __slots__ = ("anchor", "height", "items", "key", "key_mark", "keys", "mark", "merges", "size", "tag")

    def __init__(self, mark: Mark, tag: str, anchor: str | None, *, is_mapping: bool) -> None:
        self.mark = mark
        self.tag = tag
        self.anchor = anchor
        self.items: list[Node] | dict[str, Node] = {} if is_mapping else []
        self.keys: dict[str, Mark] = {}
        self.merges: list[Node] = []
        self.key: str | None = None
        self.key_mark = mark
        self.size = 1
        self.height = 1


_MERGE = "\0merge"


class Composer:
    """Turns events into nodes without recursion."""

    def __init__(self, file: str, problems: Problems) -> None:
        self.documents: list[Node] = []
        self._file = file
        self._problems = problems
        self._stack: list[_Frame] = []
        self._anchors: dict[str, _Anchored] = {}
        self._open_anchors: list[str] = []
        self._aliased = 0
        self._nodes = 0
        self._steps = {
            "ScalarEvent": self._scalar,
            "MappingStartEvent": self._start_mapping,
            "SequenceStartEvent": self._start_sequence,
            "MappingEndEvent": self._end_mapping,
            "SequenceEndEvent": self._end_sequence,
            "AliasEvent": self._alias,
            "DocumentStartEvent": self._start_document,
        }

    def add(self, event: Any) -> None:
        """Take the next event."""
        step = self._steps.get(type(event).__name__)
        if step is not None:
            step(event)

    def _mark(self, event: Any) -> Mark:
        start, end = event.start_mark, event.end_mark
        column = start.column + 1
        end_column = end.column + 1 if end.line == start.line else column + 1
        return Mark(self._file, start.line + 1, column, max(end_column, column))

    def _start_document(self, _: Any) -> None:
        self._anchors.clear()

    def _scalar(self, event: Any) -> None:
        mark = self._mark(event)
        tag: str | None = event.tag
        plain = event.implicit[0] and not event.style
        frame = self._stack[-1] if self._stack else None
        if frame is not None and isinstance(frame.items, dict) and frame.key is None:
            self._key(frame, event.value, mark, is_plain=plain, tag=tag)
            return
        value: Atom = resolve_plain(event.value) if plain else event.value
        if tag is not None and tag not in _OWN_TAGS:
            value = self._tagged(tag, event.value, mark, is_plain=not event.style)
        self._check_value(value, mark)
        self._attach(Scalar(value, mark, tag if tag in _OWN_TAGS else ""), event.anchor)

    def _check_value(self, value: Atom, mark: Mark) -> None:
        if isinstance(value, float) and not math.isfinite(value):
            self._problems.error(
                "bad-value",
                "Value not allowed",
                mark,
                detail="Infinity and NaN are not allowed in a stack file.",
                hint="put the value in quotes if text is meant",
            )
        elif isinstance(value, str) and not value.isascii() and re.search("[\ud800-\udfff]", value):
            self._problems.error("yaml-syntax", SYNTAX, mark, detail="The escape here is half of a surrogate pair.")
            raise Unreadable

    def _tagged(self, tag: str, text: str, mark: Mark, *, is_plain: bool) -> Atom:
        kind = tag.removeprefix(_YAML)
        value = resolve_plain(text) if text else None
        right = {
            "null": value is None,
            "bool": isinstance(value, bool),
            "int": isinstance(value, int) and not isinstance(value, bool),
            "float": isinstance(value, int | float) and not isinstance(value, bool),
        }
        if kind == tag or kind in ("str", "timestamp"):
            return text
        if kind == "binary":
            return self._binary(text, mark)
        if right.get(kind, True):
            return value if is_plain or kind in right else text
        self._problems.error("bad-value", "Value not allowed", mark, detail=f"`{text}` cannot be read as `!!{kind}`.")
        return text

    def _binary(self, text: str, mark: Mark) -> str:
        try:
            return base64.b64decode("".join(text.split()), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            self._problems.error(
                "bad-value",
                "Value not allowed",
                mark,
                detail="The value of `!!binary` must be base64 of UTF-8 text.",
            )
            return text

    def _key(self, frame: _Frame, text: str, mark: Mark, *, is_plain: bool, tag: str | None) -> None:
        if is_plain and text == "<<":
            self._check_twice(frame, text, mark)
            frame.keys[text] = mark
            frame.key, frame.key_mark = _MERGE, mark
            return
        value = resolve_plain(text) if is_plain else text
        if not isinstance(value, str) and tag is None:
            self._problems.error(
                "non-string-key",
                "Key is not a string",
                mark,
                detail=f"The key `{text}` is read as {_what(value)}, and keys must be strings.",
                hint=f'put it in quotes: "{text}"' if text else "give the value a key",
            )
        key = text if is_plain or isinstance(value, str) else str(value)
        self._check_twice(frame, key, mark)
        frame.key, frame.key_mark = key, mark

    def _check_twice(self, frame: _Frame, key: str, mark: Mark) -> None:
        if key in frame.keys:
            self._problems.error(
                "duplicate-key",
                "Key written twice",
                mark,
                frame.keys[key],
                detail=f"`{key}` already stands at line {frame.keys[key].line} of the same mapping.",
                hint="keep one of the two" if key != "<<" else "write one `<<` with a list: `<<: [*a, *b]`",
            )

    def _start_mapping(self, event: Any) -> None:
        self._start(event, is_mapping=True)

    def _start_sequence(self, event: Any) -> None:
        self._start(event, is_mapping=False)

    def _start(self, event: Any, *, is_mapping: bool) -> None:
        mark = self._mark(event)
        self._check_depth(mark, 1)
        if self._stack and self._is_key_position():
            self._complex_key(mark)
        tag = event.tag if event.tag in _OWN_TAGS else ""
        self._stack.append(_Frame(mark, tag, event.anchor, is_mapping=is_mapping))

    def _is_key_position(self) -> bool:
        frame = self._stack[-1]
        return isinstance(frame.items, dict) and frame.key is None

    def _complex_key(self, mark: Mark) -> None:
        self._problems.error(
            "non-string-key",
            "Key is not a string",
            mark,
            detail="A list or mapping cannot be a key here.",
            hint="if text is meant, put it in quotes; `{{…}}` of a template needs quotes too",
        )
        raise Unreadable

    def _check_depth(self, mark: Mark, height: int) -> None:
        if len(self._stack) + height > MAX_DEPTH:
            self._problems.error(
                "yaml-syntax",
                SYNTAX,
                mark,
                detail=f"Values are nested more than {MAX_DEPTH} levels deep here.",
            )
            raise Unreadable

    def _end_sequence(self, _: Any) -> None:
        frame = self._stack.pop()
        assert isinstance(frame.items, list)
        self._close(frame, Sequence(tuple(frame.items), frame.mark, frame.tag))

    def _end_mapping(self, _: Any) -> None:
        frame = self._stack.pop()
        assert isinstance(frame.items, dict)
        if "<<" not in frame.items:
            frame.keys.pop("<<", None)
        for source in frame.merges:
            self._merge(frame, source)
        self._close(frame, Mapping(frame.items, frame.keys, frame.mark, frame.tag))

    def _merge(self, frame: _Frame, source: Node) -> None:
        """Apply ``<<``: what is there already wins, so an earlier entry of a list wins too."""
        parts = source.items if isinstance(source, Sequence) else (source,)
        assert isinstance(frame.items, dict)
        for part in parts:
            if not isinstance(part, Mapping):
                self._problems.error(
                    "bad-merge-key",
                    "`<<` can only merge mappings",
                    part.mark,
                    detail="The value of `<<` must be a mapping, an alias of one, or a list of those.",
                )
                continue
            for key, entry in part.entries.items():
                if key not in frame.items:
                    frame.items[key] = entry
                    frame.keys[key] = part.keys[key]

    def _close(self, frame: _Frame, node: Node) -> None:
        self._attach(node, frame.anchor, size=frame.size, height=frame.height + 1)

    def _alias(self, event: Any) -> None:
        mark = self._mark(event)
        anchored = self._anchors.get(event.anchor)
        if anchored is None:
            inside = any(frame.anchor == event.anchor for frame in self._stack)
            why = "stands inside the value it names" if inside else "has no anchor before it"
            self._problems.error(
                "unknown-anchor",
                "Alias of nothing",
                mark,
                detail=f"The alias `*{event.anchor}` {why}.",
                hint=f"write `&{event.anchor}` in front of the value to be repeated",
            )
            raise Unreadable
        if self._stack and self._is_key_position():
            self._alias_key(anchored.node, mark)
            return
        self._aliased += anchored.size
        if self._aliased > MAX_ALIASED_NODES:
            self._problems.error(
                "yaml-syntax",
                SYNTAX,
                mark,
                detail=f"Aliases repeat more than {MAX_ALIASED_NODES} values in this file.",
                hint="aliases of aliases multiply; write such values out",
            )
            raise Unreadable
        self._check_depth(mark, anchored.height)
        self._attach(anchored.node, None, size=anchored.size, height=anchored.height)

    def _alias_key(self, node: Node, mark: Mark) -> None:
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            self._complex_key(mark)
        assert isinstance(node, Scalar)
        self._key(self._stack[-1], str(node.value), mark, is_plain=False, tag=None)

    def _report_too_many(self, mark: Mark) -> None:
        self._problems.error(
            "yaml-syntax",
            SYNTAX,
            mark,
            detail=f"The file holds more than {MAX_NODES} values.",
            hint="split it into several stacks",
        )
        raise Unreadable

    def _attach(self, node: Node, anchor: str | None, *, size: int = 1, height: int = 1) -> None:
        if anchor:
            self._anchors[anchor] = _Anchored(node, size, height)
        if not self._stack:
            self.documents.append(node)
            return
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._report_too_many(node.mark)
        frame = self._stack[-1]
        frame.size += size
        frame.height = max(frame.height, height)
        if isinstance(frame.items, list):
            frame.items.append(node)
            return
        key, frame.key = frame.key, None
        if key == _MERGE:
            frame.merges.append(node)
        elif key is not None:
            frame.items[key] = node
            frame.keys[key] = frame.key_mark


def _what(value: Atom) -> str:
    if value is None:
        return "null"
    return "a boolean" if isinstance(value, bool) else "a number"
