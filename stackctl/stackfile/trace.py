"""What took part in a load: kept only when somebody asks where a value came from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from stackctl.model.path import Path
from stackctl.stackfile.canonical import written_out
from stackctl.stackfile.interpolate import Use
from stackctl.stackfile.node import Mapping, Mark, Node, child_mapping, mapping
from stackctl.stackfile.problems import Problems
from stackctl.stackfile.transform import Context


class Layer(NamedTuple):
    """A tree that was merged: a file, or a service that another one extends.

    ``prefix`` is where it stands in the whole; ``because`` says why it took part, with the place that asked for
    it; ``resets`` are the paths it takes out of what was merged before.
    """

    prefix: Path
    tree: Node
    because: tuple[tuple[str, Mark], ...] = ()
    resets: tuple[Path, ...] = ()


class Lookup(NamedTuple):
    """A variable that was asked for by an expression, and its value, None when it was not set."""

    use: Use
    value: str | None


class FromFile(NamedTuple):
    """A variable that ``env_file`` or ``label_file`` brought to a service."""

    value: str
    mark: Mark
    asked_by: Mark


class Trace:
    """Notes of one load, in the order of merging: what comes later wins."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self.templates: dict[Mark, tuple[str, tuple[Lookup, ...]]] = {}
        self.variables: dict[str, Mark] = {}
        self.from_files: dict[Path, list[FromFile]] = {}
        self._because: list[tuple[str, Mark]] = []

    @contextmanager
    def within(self, why: str, mark: Mark) -> Iterator[None]:
        """Note for all that follows why it takes part."""
        self._because.append((why, mark))
        yield
        self._because.pop()

    def layer(self, tree: Mapping, resets: list[Path]) -> None:
        """Note that a file is merged."""
        self.layers.append(Layer((), _written_out(tree), tuple(self._because), tuple(resets)))

    def base(self, service: str, node: Node, chain: tuple[Mark, ...]) -> None:
        """Note that ``node`` is merged below a service that extends it; ``chain`` are the places that say so."""
        because = (*self._because, *(("extended by", mark) for mark in chain))
        whole = _written_out(mapping({"services": mapping({service: node}, node.mark)}, node.mark))
        services = child_mapping(whole, "services")
        assert services is not None
        self.layers.append(Layer(("services", service), services.entries[service], because))

    def from_file(self, path: Path, value: str, mark: Mark, asked_by: Mark) -> None:
        """Note a variable that a file brought."""
        self.from_files.setdefault(path, []).append(FromFile(value, mark, asked_by))


def _written_out(tree: Mapping) -> Node:
    """As it is in the whole; what is wrong with it is said elsewhere."""
    return written_out(tree, Context(Problems(), None, "/"))
