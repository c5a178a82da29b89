"""What the YAML parser's complaints mean, in plain words."""

from __future__ import annotations

import re

from stackctl.stackfile.node import Mark

_TAB = (r"found character '\\t'", "A tab cannot be used for indentation.", "use spaces")
_RULES: tuple[tuple[str, str, str], ...] = (
    (
        r"found character '(?P<char>.+)' that cannot start any token",
        "A value cannot start with `{char}`.",
        "put the value in quotes",
    ),
    (
        r"mapping values are not allowed here",
        "This `: ` cannot start another value: what stands before it is a value already.",
        "put a value that contains `: ` in quotes, or mend the indentation",
    ),
    (
        r"could not find expected ':'",
        "This line is neither a list item nor a `key: value` pair.",
        "add the `:` after the key, or indent the line under the key it belongs to",
    ),
    (
        r"expected <block end>, but found '<block (mapping|sequence) start>'",
        "This line is indented differently from its neighbours.",
        "lines of one mapping or list must start in the same column",
    ),
    (
        r"expected <block end>, but found '-'",
        "A list item stands where a `key: value` pair is expected.",
        "indent the item under the key it belongs to",
    ),
    (
        r"expected <block end>, but found '<scalar>'",
        "Text stands where the next `key: value` pair or list item is expected.",
        "if it continues the value before it, put the whole value in quotes",
    ),
    (r"found unexpected end of stream", "The quoted text that starts here never ends.", "close the quote"),
    (
        r"expected the node content, but found '<stream end>'",
        "The `[` or `{{` list or mapping never ends.",
        "close the bracket",
    ),
    (
        r"expected ',' or '(?P<char>[\]}}])', but got",
        "A `,` or `{char}` is missing before this.",
        "separate the items with commas and close the bracket",
    ),
    (
        r"found unknown escape character '(?P<char>.+)'",
        "`\\{char}` is not an escape that YAML knows.",
        "double the backslash, or use single quotes",
    ),
    (
        r"expected '<document start>', but found",
        "The text goes on after the end of the document.",
        "put the whole value in quotes, or start a new document with `---`",
    ),
    (
        r"expected alphabetic or numeric character, but found",
        "A value that starts with `*` or `&` names an alias or an anchor, and the name is missing.",
        "put the value in quotes",
    ),
    (
        r"found undefined tag handle",
        "The tag's prefix is not declared.",
        "only `!reset` and `!override` are used",
    ),
)


def explain(wrong: Exception, *, file: str, lines: list[str]) -> tuple[list[Mark], str, str]:
    """Return where ``wrong`` points, what it means and how to mend it."""
    problem = str(getattr(wrong, "problem", None) or wrong).splitlines()[0]
    context = str(getattr(wrong, "context", None) or "")
    place = getattr(wrong, "problem_mark", None)
    if "quoted scalar" in context and "end of stream" in problem:
        place = getattr(wrong, "context_mark", None) or place
    if "found character '\\t'" in problem:
        return _marks(place, file, lines), _TAB[1], _TAB[2]
    bare = _line_without_colon(problem, place, lines)
    if bare is not None:
        text = lines[bare].strip()
        column = len(lines[bare]) - len(lines[bare].lstrip()) + 1
        mark = Mark(file, bare + 1, column, column + len(text))
        if ":" in text:
            key, _, value = text.partition(":")
            return [mark], "No space stands after the `:` of this line.", f"write `{key}: {value}`"
        return [mark], "This line has no `:` after its key.", "write `key: value`"
    for pattern, detail, hint in _RULES:
        match = re.search(pattern.replace("}}", "}"), problem)
        if match is not None:
            return _marks(place, file, lines), detail.format(**match.groupdict()), hint
    return _marks(place, file, lines), f"{problem[:1].upper()}{problem[1:]}.", ""


def _line_without_colon(problem: str, place: object, lines: list[str]) -> int | None:
    """Return the line before the one complained about if that one, at the same indentation, lacks its colon."""
    number = getattr(place, "line", 0)
    if "mapping values are not allowed" not in problem or not 0 < number < len(lines):
        return None
    before, after = lines[number - 1], lines[number]
    is_level = len(before) - len(before.lstrip(" ")) == len(after) - len(after.lstrip(" "))
    is_bare = re.fullmatch(r" *[A-Za-z_][\w.-]*( +\S+|:\S+)?", before) is not None
    return number - 1 if is_level and is_bare else None


def _marks(place: object, file: str, lines: list[str]) -> list[Mark]:
    line, column = getattr(place, "line", None), getattr(place, "column", None)
    if not isinstance(line, int) or not isinstance(column, int):
        return [Mark(file, 1)]
    while line > 0 and (line >= len(lines) or (not lines[line].strip() and column == 0)):
        line -= 1
        column = len(lines[line].rstrip())
    column = min(column, len(lines[line]) if line < len(lines) else 0)
    return [Mark(file, line + 1, column + 1, column + 2)]
