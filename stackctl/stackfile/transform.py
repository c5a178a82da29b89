"""Small building blocks that turn the short form of a value into its long form.

Every transform is total: a value of the wrong shape is returned as it is, because the schema has already
reported it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from stackctl.model.path import Path
from stackctl.stackfile.node import Mapping, Mark, Node, Scalar, Sequence, text_of, with_entries
from stackctl.stackfile.problems import Problems, did_you_mean, dotted
from stackctl.stackfile.scalar import text_form
from stackctl.stackfile.units import duration_text, parse_bytes, parse_duration_ns
from stackctl.stackfile.words import split_words


class Context(NamedTuple):
    """What transforms need to know. ``base_dir`` None leaves relative paths as they are."""

    problems: Problems
    base_dir: str | None
    home: str


Transform: TypeAlias = Callable[[Node, Context, Path], Node]


def bad_value(context: Context, path: Path, mark: Mark, *, why: str, hint: str = "") -> None:
    """Report a value whose text cannot be understood."""
    detail = f"`{dotted(path)}` {why}."
    context.problems.error("bad-value", "Value not allowed", mark, detail=detail, hint=hint)


def each_entry(node: Node, rules: dict[str, Transform], context: Context, path: Path) -> Node:
    """Apply ``rules`` to the entries of a mapping; other entries stay."""
    if not isinstance(node, Mapping):
        return node
    entries = {
        key: rules[key](entry, context, (*path, key)) if key in rules else entry for key, entry in node.entries.items()
    }
    return with_entries(node, entries)


def entries_of(rules: dict[str, Transform]) -> Transform:
    """Return a transform for a mapping with these rules for its entries."""
    return lambda node, context, path: each_entry(node, rules, context, path)


def items_of(rule: Transform) -> Transform:
    """Return a transform that applies ``rule`` to each item of a list."""

    def apply(node: Node, context: Context, path: Path) -> Node:
        if not isinstance(node, Sequence):
            return node
        items = tuple(rule(item, context, (*path, at)) for at, item in enumerate(node.items))
        return Sequence(items, node.mark, node.tag)

    return apply


def values_of(rule: Transform) -> Transform:
    """Return a transform that applies ``rule`` to each value of a mapping."""

    def apply(node: Node, context: Context, path: Path) -> Node:
        if not isinstance(node, Mapping):
            return node
        entries = {key: rule(entry, context, (*path, key)) for key, entry in node.entries.items()}
        return with_entries(node, entries)

    return apply


def text_list(node: Node, _: Context, __: Path) -> Node:
    """``x`` or ``[x]`` to ``[x]``. Numbers become text, doubles go."""
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return Sequence((node._replace(tag=""),), node.mark, node.tag)
    if not isinstance(node, Sequence):
        return node
    kept: dict[object, Node] = {}
    for item in node.items:
        if isinstance(item, Scalar) and isinstance(item.value, int | float):
            item = Scalar(text_form(item.value), item.mark)
        kept.setdefault(item.value if isinstance(item, Scalar) else id(item), item)
    return Sequence(tuple(kept.values()), node.mark, node.tag)


def once_each(rule: Transform) -> Transform:
    """Return ``rule`` for a value that, written as a list, may not hold the same text twice."""

    def apply(node: Node, context: Context, path: Path) -> Node:
        if isinstance(node, Sequence):
            unique(node, context, path)
        return rule(node, context, path)

    return apply


def unique(node: Node, context: Context, path: Path) -> Node:
    """A list of texts, none of which may be written twice in one file. Numbers become text."""
    seen: dict[object, Mark] = {}
    for item in node.items if isinstance(node, Sequence) else ():
        key = item.value if isinstance(item, Scalar) else id(item)
        if key in seen:
            context.problems.error(
                "duplicate-item",
                "Item written twice",
                item.mark,
                seen[key],
                detail=f"`{dotted(path)}` may hold `{key}` only once.",
                hint="keep one of the two",
            )
        seen.setdefault(key, item.mark)
    return items_of(as_text)(node, context, path)


def as_text(node: Node, _: Context, __: Path) -> Node:
    """Make a number or boolean text."""
    if isinstance(node, Scalar) and isinstance(node.value, int | float):
        return Scalar(text_form(node.value), node.mark, node.tag)
    return node


def key_values(node: Node, context: Context, path: Path) -> Node:
    """``[A=1, B]`` or a mapping to a mapping of text; a key without a value stays null."""
    if isinstance(node, Sequence):
        entries: dict[str, Node] = {}
        for item in node.items:
            text = text_of(item)
            if text is None:
                continue
            key, equals, value = text.partition("=")
            entries[key] = Scalar(value if equals else None, item.mark)
        return Mapping(entries, {key: entry.mark for key, entry in entries.items()}, node.mark, node.tag)
    if isinstance(node, Mapping) and "" in node.entries:
        bad_value(context, path, node.keys[""], why="has an entry without a name")
    return values_of(as_text)(node, context, path)


def environment(node: Node, context: Context, path: Path) -> Node:
    """As ``key_values``, of variables: their names do not end in a space."""
    found = key_values(node, context, path)
    for name, mark in found.keys.items() if isinstance(found, Mapping) else ():
        if name != name.rstrip():
            bad_value(context, path, mark, why=f"has the name `{name}`, which ends in a space")
    return found


def key_texts(node: Node, context: Context, path: Path) -> Node:
    """As ``key_values``, but a key without a value has the empty text."""
    return option_texts(key_values(node, context, path), context, path)


def option_texts(node: Node, context: Context, path: Path) -> Node:
    """A mapping to one of text, the empty one for a key without a value."""
    found = values_of(as_text)(node, context, path)
    if not isinstance(found, Mapping):
        return found
    entries: dict[str, Node] = {
        key: Scalar("", entry.mark, entry.tag) if isinstance(entry, Scalar) and entry.value is None else entry
        for key, entry in found.entries.items()
    }
    return with_entries(found, entries)


def command(node: Node, context: Context, path: Path) -> Node:
    """Split a command line into words; a list stays."""
    text = text_of(node)
    if text is None or not isinstance(node, Scalar):
        return node
    found = split_words(text)
    if found is None:
        bad_value(
            context,
            path,
            node.mark,
            why="has a quote, bracket or backslash that is not closed",
            hint='write the command as a list: ["sh", "-c", "…"]',
        )
        return node
    if found.stopped_at:
        context.problems.warning(
            "command-cut",
            "Command is cut off",
            node.mark,
            detail=f"No shell runs `{dotted(path)}`, so everything from `{found.stopped_at}` on is dropped.",
            hint='to use a shell, write ["sh", "-c", "…"]',
        )
    return Sequence(tuple(Scalar(word, node.mark) for word in found.words), node.mark, node.tag)


def duration(node: Node, context: Context, path: Path) -> Node:
    """Write a duration as Go does: ``90s`` becomes ``1m30s``."""
    text = text_of(node)
    if text is None or not isinstance(node, Scalar):
        return node
    nanoseconds = parse_duration_ns(text)
    if nanoseconds is None:
        why = f"must be a duration with a unit, such as `30s` or `1m30s`, not `{text}`"
        bad_value(context, path, node.mark, why=why)
        return node
    return Scalar(duration_text(nanoseconds), node.mark, node.tag)


def size(node: Node, context: Context, path: Path) -> Node:
    """Write a size as the decimal number of bytes, in text; a number with a point is none, as in Compose."""
    if not isinstance(node, Scalar) or node.value is None or isinstance(node.value, bool):
        return node
    if isinstance(node.value, float):
        context.problems.warning(
            "bad-value",
            "Value is ignored",
            node.mark,
            detail=f"`{dotted(path)}` is the number {node.value}, and sizes are whole numbers or text; it is ignored.",
            hint=f"write `{int(node.value)}`, or text with a unit, such as `64m`" if abs(node.value) < 1e18 else "",
        )
        return Scalar("0", node.mark, node.tag)
    found = parse_bytes(text_form(node.value)) if isinstance(node.value, str) else _whole(node.value)
    if found is None:
        bad_value(context, path, node.mark, why=f"must be a size, such as `64m` or `1.5g`, not `{node.value}`")
        return node
    return Scalar(str(found), node.mark, node.tag)


def _whole(value: int | float) -> int | None:
    return int(value) if abs(value) < 1 << 63 else None


def whole_list(rule: Transform) -> Transform:
    """Return ``rule`` for a list of texts, in which numbers must be whole ones."""
    return lambda node, context, path: rule(items_of(no_fraction)(node, context, path), context, path)


def known_keys(node: Node, known: tuple[str, ...], context: Context, path: Path) -> Node:
    """Drop the keys nobody knows, where Compose does so without a word; here they are warned of."""
    if not isinstance(node, Mapping):
        return node
    for key in node.entries:
        if key not in known and not key.startswith("x-"):
            context.problems.warning(
                "unknown-key",
                "Unknown key",
                node.keys[key],
                detail=f"`{dotted(path)}` has no key `{key}`; it is ignored.",
                hint=did_you_mean(key, known),
            )
    return with_entries(node, {key: entry for key, entry in node.entries.items() if key in known})


def number(node: Node, context: Context, path: Path) -> Node:
    """Make text a number, and a number without a fraction a whole one."""
    if isinstance(node, Scalar) and isinstance(node.value, float) and node.value.is_integer():
        return Scalar(int(node.value), node.mark, node.tag)
    text = text_of(node)
    if text is None or not isinstance(node, Scalar):
        return node
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < 1e300:
        bad_value(context, path, node.mark, why=f"must be a number, not `{text}`")
        return node
    return Scalar(int(value) if value.is_integer() else value, node.mark, node.tag)


def file_mode(node: Node, context: Context, path: Path) -> Node:
    """Write permission bits as octal digits after a zero, in text; whether a file can have them is not asked."""
    if not isinstance(node, Scalar) or isinstance(node.value, bool) or node.value is None:
        return node
    value = node.value
    if isinstance(value, str):
        digits = value[1:] if value[:1] in ("+", "-") else value
        is_octal = 0 < len(digits) < 22 and set(digits) <= set("01234567")
        value = int(value, 8) if is_octal else 0.5
    if isinstance(value, float):
        bad_value(context, path, node.mark, why="must be permission bits such as `0440`")
        return node
    return Scalar(f"0{value:o}", node.mark, node.tag)


def no_fraction(node: Node, context: Context, path: Path) -> Node:
    """Refuse a number written with a point, be it ``1.0``, where Compose takes whole numbers only."""
    if isinstance(node, Scalar) and isinstance(node.value, float):
        bad_value(context, path, node.mark, why=f"must be a whole number, not `{node.value}`")
    return node


def local_path(text: str, context: Context, *, of_windows: bool = False) -> str:
    """Return ``text`` made absolute, with ``~`` expanded; an absolute path stays as it is written.

    ``of_windows`` says whether ``c:/x`` is absolute too.
    """
    if context.base_dir is None:
        return text
    if text.startswith("~"):
        return os.path.normpath(f"{context.home}/{text[1:]}")
    if text.startswith("/") or (of_windows and is_drive(text) and text[2:3] in ("/", "\\")):
        return text
    return os.path.normpath(os.path.join(context.base_dir, text))


def is_drive(text: str) -> bool:
    """Say whether ``text`` begins with a drive letter of Windows, as Compose sees it on every system."""
    return text[1:2] == ":" and text[0].isalpha()


def file_path(node: Node, context: Context, _: Path) -> Node:
    """Make a path absolute."""
    text = text_of(node)
    if not text or not isinstance(node, Scalar):
        return node
    return Scalar(local_path(text, context), node.mark, node.tag)


def any_file_path(node: Node, context: Context, _: Path) -> Node:
    """As ``file_path``, where a path of Windows, ``c:/x``, is absolute already, and no path is the folder itself."""
    text = text_of(node)
    if text is None or not isinstance(node, Scalar):
        return node
    return Scalar(local_path(text, context, of_windows=True), node.mark, node.tag)


def build_context(node: Node, context: Context, path: Path) -> Node:
    """Make a path absolute, unless it names something elsewhere."""
    text = text_of(node)
    if text is None or is_remote(text):
        return node
    return file_path(node, context, path)


def is_elsewhere(text: str) -> bool:
    """Say whether the name of a stack file is one of another machine: Git or an OCI registry."""
    return "://" in text or text.startswith(("git@", "github.com/")) or text.partition("#")[0].endswith(".git")


def is_remote(text: str) -> bool:
    """Say whether a build context is no local directory."""
    return "://" in text or text.startswith(("git@", "github.com/", "service:", "target:"))


def names_to_mapping(node: Node, context: Context, path: Path) -> Node:
    """``[a, b]`` to ``{a: null, b: null}``."""
    if not isinstance(node, Sequence):
        return node
    entries: dict[str, Node] = {}
    for item in node.items:
        name = text_of(item)
        if name in entries:
            bad_value(context, path, item.mark, why=f"names `{name}` twice", hint="keep one of the two")
        if name is not None:
            entries[name] = Scalar(None, item.mark)
    return Mapping(entries, {key: entry.mark for key, entry in entries.items()}, node.mark, node.tag)
