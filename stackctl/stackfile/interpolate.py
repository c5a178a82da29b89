"""Variables in values: ``$NAME``, ``${NAME:-default}`` and the like.

Applied to every string value after parsing, never to keys, so a variable cannot add structure.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as Variables
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from stackctl.stackfile.node import Mapping, Mark, Node, Scalar, Sequence, with_entries
from stackctl.stackfile.problems import Problems
from stackctl.stackfile.sources import Sources

if TYPE_CHECKING:
    from stackctl.stackfile import trace

Lookup: TypeAlias = Callable[[str], str | None]
_OPERATORS = (":-", "-", ":?", "?", ":+", "+")
_MAX_NESTING = 50


class Fault(NamedTuple):
    """What is wrong with one expression. ``kind`` unset is worth a warning, the others are errors."""

    kind: Literal["unset", "required", "syntax"]
    name: str
    message: str
    expression: str


class Use(NamedTuple):
    """One expression that was met."""

    name: str
    operator: str
    argument: str


class Environment:
    """The variables an expression may name; remembers which were asked for."""

    def __init__(self, variables: Variables[str, str]) -> None:
        self.variables = variables
        self.asked: set[str] = set()

    def __call__(self, name: str) -> str | None:
        self.asked.add(name)
        return self.variables.get(name)


def expand(template: str, lookup: Lookup, *, faults: list[Fault], uses: list[Use] | None = None) -> str:
    """Return ``template`` with its expressions replaced; what is wrong is added to ``faults``."""
    return _Expansion(lookup, faults, uses).run(template, 0)


class _Expansion:
    def __init__(self, lookup: Lookup, faults: list[Fault], uses: list[Use] | None) -> None:
        self._lookup = lookup
        self._faults = faults
        self._uses = uses

    def run(self, template: str, depth: int) -> str:
        parts: list[str] = []
        position = 0
        while True:
            dollar = template.find("$", position)
            if dollar < 0:
                parts.append(template[position:])
                return "".join(parts)
            parts.append(template[position:dollar])
            text, position = self._expression(template, dollar, depth)
            parts.append(text)

    def _expression(self, template: str, dollar: int, depth: int) -> tuple[str, int]:
        after = template[dollar + 1 : dollar + 2]
        if after == "$":
            return "$", dollar + 2
        if after == "{":
            return self._braced(template, dollar, depth)
        end = _end_of_name(template, dollar + 1)
        if end == dollar + 1:
            return "$", end
        name = template[dollar + 1 : end]
        return self._plain(name, template[dollar:end]), end

    def _plain(self, name: str, expression: str) -> str:
        self._note(Use(name, "", ""))
        value = self._lookup(name)
        if value is None:
            self._faults.append(Fault("unset", name, "", expression))
            return ""
        return value

    def _braced(self, template: str, dollar: int, depth: int) -> tuple[str, int]:
        close = _closing_brace(template, dollar + 2)
        if close < 0:
            expression = template[dollar:]
            self._faults.append(Fault("syntax", "", "the closing `}` is missing", expression))
            return expression, len(template)
        expression = template[dollar : close + 1]
        inner = template[dollar + 2 : close]
        end = _end_of_name(inner, 0)
        name, rest = inner[:end], inner[end:]
        if not name or "\n" in inner:
            why = "a variable name is expected after `${`" if not name else "it must be on one line"
            self._faults.append(Fault("syntax", name, why, expression))
            return expression, close + 1
        if not rest:
            return self._plain(name, expression), close + 1
        operator = next((known for known in _OPERATORS if rest.startswith(known)), None)
        if operator is None or depth > _MAX_NESTING:
            why = f"`{rest[0]}` cannot follow the name" if operator is None else "it is nested too deeply"
            self._faults.append(Fault("syntax", name, why, expression))
            return expression, close + 1
        argument = rest[len(operator) :]
        return self._operation(name, operator, argument, expression, depth), close + 1

    def _operation(self, name: str, operator: str, argument: str, expression: str, depth: int) -> str:
        self._note(Use(name, operator, argument))
        value = self._lookup(name)
        is_missing = value is None or (operator[0] == ":" and not value)
        match operator[-1]:
            case "-":
                return self.run(argument, depth + 1) if is_missing else value or ""
            case "+":
                return value or "" if is_missing else self.run(argument, depth + 1)
            case _:
                if is_missing:
                    message = self.run(argument, depth + 1)
                    self._faults.append(Fault("required", name, message, expression))
                return value or ""

    def _note(self, use: Use) -> None:
        if self._uses is not None:
            self._uses.append(use)


def _end_of_name(text: str, start: int) -> int:
    end = start
    while end < len(text):
        char = text[end]
        is_name = char == "_" or (char.isascii() and (char.isalpha() or (end > start and char.isdigit())))
        if not is_name:
            break
        end += 1
    return end


def _closing_brace(text: str, start: int) -> int:
    """Find the brace that closes an expression; only ``${`` opens another, as in Compose."""
    depth = 1
    position = start
    while position < len(text):
        if text.startswith("${", position):
            depth += 1
            position += 1
        elif text[position] == "}":
            depth -= 1
            if depth == 0:
                return position
        position += 1
    return -1


class Interpolation:
    """Interpolates whole trees and collects what is wrong, one warning for each unset variable."""

    def __init__(self, environment: Environment, sources: Sources, trace: trace.Trace | None = None) -> None:
        self._trace = trace
        self._environment = environment
        self._sources = sources
        self._unset: dict[str, list[Mark]] = {}
        self._failed: dict[tuple[str, str, str], list[Mark]] = {}

    def tree(self, node: Node) -> Node:
        """Return ``node`` with every string expanded."""
        if isinstance(node, Scalar):
            return self._scalar(node)
        if isinstance(node, Sequence):
            return Sequence(tuple(self.tree(item) for item in node.items), node.mark, node.tag)
        return with_entries(node, {key: self.tree(entry) for key, entry in node.entries.items()})

    @property
    def has_failed(self) -> bool:
        """Whether a value could not be made."""
        return bool(self._failed)

    def report(self, problems: Problems) -> None:
        """Add what was found to ``problems``."""
        for name, marks in self._unset.items():
            problems.warning(
                "unset-variable",
                "Variable is not set",
                *marks[:3],
                detail=f"`{name}` is not set; an empty string is used instead.",
                hint=f"set {name}, write `${{{name}:-default}}`, or `$${name}` for a literal dollar sign",
            )
        for (kind, name, message), marks in self._failed.items():
            if kind == "required":
                problems.error(
                    "missing-variable",
                    "Required variable is not set",
                    *marks[:3],
                    detail=f"`{name}` must be set" + (f": {message}" if message else " and not empty."),
                    hint=f"export {name}, or put `{name}=…` into the .env file",
                )
                continue
            problems.error(
                "bad-interpolation",
                "Invalid variable expression",
                *marks[:3],
                detail=f"This `${{…}}` cannot be read: {message}.",
                hint="write `${NAME}` or `${NAME:-default}`; for a literal dollar sign write `$$`",
            )

    def _scalar(self, node: Scalar) -> Scalar:
        if not isinstance(node.value, str) or "$" not in node.value:
            return node
        faults: list[Fault] = []
        uses: list[Use] | None = [] if self._trace is not None else None
        value = expand(node.value, self._environment, faults=faults, uses=uses)
        if self._trace is not None:
            self._trace.templates[node.mark] = (node.value, self._lookups(uses or []))
        for fault in faults:
            mark = self._sources.find(node.mark, fault.expression)
            if fault.kind == "unset":
                marks = self._unset.setdefault(fault.name, [])
            else:
                marks = self._failed.setdefault((fault.kind, fault.name, fault.message), [])
            if mark not in marks:
                marks.append(mark)
        return Scalar(value, node.mark, node.tag)

    def _lookups(self, uses: list[Use]) -> tuple[trace.Lookup, ...]:
        from stackctl.stackfile.trace import Lookup  # only where somebody asks

        return tuple(Lookup(use, self._environment.variables.get(use.name)) for use in uses)


def variables_used(node: Node) -> list[Use]:
    """Return every expression of a tree, in the order written, without expanding anything."""
    uses: list[Use] = []
    _collect_uses(node, uses)
    return uses


def _collect_uses(node: Node, uses: list[Use]) -> None:
    if isinstance(node, Scalar):
        if isinstance(node.value, str) and "$" in node.value:
            expand(node.value, lambda _: None, faults=[], uses=uses)
        return
    for child in node.items if isinstance(node, Sequence) else node.entries.values():
        _collect_uses(child, uses)


def escape(node: Node) -> Node:
    """Return ``node`` with every ``$`` doubled, so that interpolation gives it back."""
    if isinstance(node, Scalar):
        value = node.value.replace("$", "$$") if isinstance(node.value, str) else node.value
        return Scalar(value, node.mark, node.tag)
    if isinstance(node, Sequence):
        return Sequence(tuple(escape(item) for item in node.items), node.mark, node.tag)
    assert isinstance(node, Mapping)
    return with_entries(node, {key: escape(entry) for key, entry in node.entries.items()})
