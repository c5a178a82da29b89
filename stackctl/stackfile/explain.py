"""Where a value came from: what took part in it, of all that a trace noted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stackctl.model.path import Path
from stackctl.stackfile.document import Document
from stackctl.stackfile.merge import identity_at
from stackctl.stackfile.node import Json, Mark, Node, Scalar, Sequence, plain
from stackctl.stackfile.node import Mapping as MappingNode
from stackctl.stackfile.problems import did_you_mean, dotted, listing
from stackctl.stackfile.trace import Layer, Lookup, Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A variable that took part: its value, None when it was not set, and where that was set, if in a file."""

    name: str
    value: str | None
    fallback: str = ""
    mark: Mark | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One place that says something about the value; ``holds`` when it is what came of it, or a part of that."""

    value: Json
    mark: Mark
    holds: bool
    because: tuple[tuple[str, Mark], ...] = ()
    template: str = ""
    variables: tuple[Origin, ...] = ()
    is_taken_out: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The value at a path, and everything that took part in it: what won first."""

    path: Path
    value: Json
    parts: tuple[Part, ...]


class NoSuchPath(Exception):
    """The stack has nothing there; ``hint`` names what was likely meant."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def explain(document: Document, trace: Trace, text: str, *, variables: Mapping[str, str]) -> Explanation:
    """Explain the value at ``text``, such as ``services.web.ports[0]``. Raises NoSuchPath.

    ``variables`` are those of the caller, which stand in no file.
    """
    path, value = find(document.tree, text)
    reader = _Reader(document, trace, variables)
    parts = list(reader.parts(path))
    parts += reader.from_files(path, has_own=bool(parts))
    return Explanation(path=path, value=value, parts=tuple(parts))


def find(tree: Json, text: str) -> tuple[Path, Json]:
    """Return the path that ``text`` writes, and what is there; a name may hold dots. Raises NoSuchPath."""
    path: Path = ()
    rest = text.strip().removeprefix(".")
    while rest:
        key, left = _step(tree, rest)
        if key is None:
            known = list(tree) if isinstance(tree, dict) else []
            word = rest.partition(".")[0].partition("[")[0]
            hint = did_you_mean(word, known) or (f"there are {listing(known[:12])}" if known else "")
            where = f" in `{dotted(path)}`" if path else ""
            raise NoSuchPath(f"there is no `{word or rest}`{where}", hint)
        tree = tree[key]  # type: ignore[index]  # _step found it there
        path, rest = (*path, key), left.removeprefix(".")
    return path, tree


def _step(tree: Json, rest: str) -> tuple[str | int | None, str]:
    if isinstance(tree, list):
        number, _, left = rest.removeprefix("[").partition("]") if rest[0] == "[" else rest.partition(".")
        is_there = number.isdecimal() and len(number) < 10 and int(number) < len(tree)
        return (int(number) if is_there else None), left
    for key in sorted(tree, key=len, reverse=True) if isinstance(tree, dict) else ():
        for written in (f'["{key}"]', key):
            left = rest.removeprefix(written)
            if len(left) < len(rest) and (not left or left[0] in ".["):
                return key, left
    return None, rest


class _Reader:
    def __init__(self, document: Document, trace: Trace, variables: Mapping[str, str]) -> None:
        self._document = document
        self._trace = trace
        self._variables = variables

    def parts(self, path: Path) -> Iterator[Part]:
        """Return what the merged files say, the last one first."""
        taken_out = False
        winner = self._document.positions.get(path)
        for layer in reversed(self._trace.layers):
            for node, mark in self._within(layer, path):
                template, lookups = self._trace.templates.get(node.mark, ("", ()))
                yield Part(
                    value=plain(node),
                    mark=mark,
                    holds=not taken_out and (not isinstance(node, Scalar) or mark.range() == winner),
                    because=layer.because,
                    template=template if isinstance(node, Scalar) else "",
                    variables=self._origins(path, node, lookups),
                    is_taken_out=taken_out,
                )
            taken_out = taken_out or any(path[: len(reset)] == reset for reset in layer.resets)

    def from_files(self, path: Path, *, has_own: bool) -> Iterator[Part]:
        """Return what ``env_file`` and ``label_file`` say, which the files themselves win over."""
        brought = self._trace.from_files.get(path, [])
        for at, one in enumerate(reversed(brought)):
            why = (("read for", one.asked_by),)
            yield Part(value=one.value, mark=one.mark, holds=at == 0 and not has_own, because=why)

    def _origins(self, path: Path, node: Node, lookups: tuple[Lookup, ...]) -> tuple[Origin, ...]:
        found = [self._origin(lookup.use.name, lookup.value, lookup.use.argument) for lookup in lookups]
        is_bare = isinstance(node, Scalar) and node.value is None and len(path) == 4 and path[2] == "environment"
        if is_bare:
            value = find(self._document.tree, dotted(path))[1]
            found.append(self._origin(str(path[3]), value if isinstance(value, str) else None, ""))
        return tuple(dict.fromkeys(found))

    def _origin(self, name: str, value: str | None, fallback: str) -> Origin:
        mark = None if name in self._variables else self._trace.variables.get(name)
        return Origin(name=name, value=value, fallback=fallback, mark=mark)

    def _within(self, layer: Layer, path: Path) -> Iterator[tuple[Node, Mark]]:
        if path[: len(layer.prefix)] != layer.prefix[: len(path)] or len(path) < len(layer.prefix):
            return
        node, mark = layer.tree, layer.tree.mark
        for at in range(len(layer.prefix), len(path)):
            part = path[at]
            if isinstance(node, MappingNode) and part in node.entries:
                mark, node = node.keys[str(part)], node.entries[str(part)]
            elif isinstance(node, Sequence) and isinstance(part, int):
                item = self._item(node, path[: at + 1])
                if item is None:
                    return
                node, mark = item, item.mark
            else:
                return
        yield node, node.mark if isinstance(node, Scalar) else mark

    def _item(self, node: Sequence, path: Path) -> Node | None:
        """Return the item of a layer's list that the item of the whole came of, or stands for the same thing."""
        place = self._document.positions.get(path)
        for item in node.items:
            if item.mark.range() == place:
                return item
        identity = identity_at(path[:-1])
        wanted = next(
            (
                item
                for layer in self._trace.layers
                for whole, _ in self._within(layer, path[:-1])
                if isinstance(whole, Sequence)
                for item in whole.items
                if item.mark.range() == place
            ),
            None,
        )
        if identity is None or wanted is None:
            return None
        return next((item for item in node.items if identity(item) == identity(wanted)), None)
