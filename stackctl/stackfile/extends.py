"""``extends``: a service based on another one, of the same file or of a different one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from stackctl.model.path import Path
from stackctl.stackfile.canonical import canonical_once_merged
from stackctl.stackfile.interpolate import Environment
from stackctl.stackfile.merge import remove
from stackctl.stackfile.node import (
    Mapping,
    Mark,
    Node,
    child_mapping,
    is_null,
    text_of,
    with_entries,
    without,
)
from stackctl.stackfile.problems import did_you_mean
from stackctl.stackfile.transform import is_elsewhere

if TYPE_CHECKING:
    from stackctl.stackfile.layers import Workshop

_Key = tuple[str, str]
"""The file's absolute path, "" for the one being loaded, and the service."""


class _File:
    """One file services are looked up in."""

    def __init__(self, path: str, base_dir: str, services: Mapping | None, resets: list[Path]) -> None:
        self.path = path
        self.base_dir = base_dir
        self.services = services
        self.resets = resets


class Extends:
    """Resolves the ``extends`` of one file; other files are read once."""

    def __init__(self, workshop: Workshop, environment: Environment) -> None:
        self._workshop = workshop
        self._environment = environment
        self._files: dict[str, _File | None] = {}
        self._done: dict[_Key, Node] = {}
        self._local: dict[_Key, Node] = {}
        self._links: dict[_Key, tuple[_Key, Mark]] = {}
        """What a service has of its own, and what it extends; for a trace only."""

    def apply(self, root: Mapping, resets: list[Path], *, base_dir: str) -> Mapping:
        """Return ``root`` with every service standing on its own."""
        services = child_mapping(root, "services")
        if services is None or not any(
            isinstance(service, Mapping) and "extends" in service.entries for service in services.entries.values()
        ):
            return root
        file = _File("", base_dir, services, resets)
        entries = {name: self._service(file, name, ()) for name in services.entries}
        self._note(services)
        return with_entries(root, {**root.entries, "services": with_entries(services, entries)})

    def _note(self, services: Mapping) -> None:
        trace = self._workshop.trace
        if trace is None:
            return
        for name in services.entries:
            bases: list[tuple[Node, tuple[Mark, ...]]] = []
            key: _Key = ("", name)
            chain: tuple[Mark, ...] = ()
            while key in self._links and self._links[key][1] not in chain:
                key, mark = self._links[key]
                chain = (mark, *chain)
                bases.append((self._local[key], chain))
            for node, why in reversed(bases):
                trace.base(name, node, why)

    def _service(self, file: _File, name: str, chain: tuple[_Key, ...]) -> Node:
        key = (file.path, name)
        if key not in self._done:
            self._done[key] = self._resolve(file, name, (*chain, key))
        return self._done[key]

    def _resolve(self, file: _File, name: str, chain: tuple[_Key, ...]) -> Node:
        assert file.services is not None
        service = file.services.entries[name]
        self._local[file.path, name] = service
        extends = service.entries.get("extends") if isinstance(service, Mapping) else None
        if extends is None or not isinstance(service, Mapping):
            return service
        local = without(service, ["extends"])
        base = self._base(extends, file, chain)
        if base is None or is_null(base):
            return local
        for path in file.resets:
            if path[:2] == ("services", name) and len(path) > 2:
                base = remove(base, path[2:])
        return self._workshop.merge_service(base, local)

    def _base(self, extends: Node, file: _File, chain: tuple[_Key, ...]) -> Node | None:
        wanted, mark, path = text_of(extends), extends.mark, None
        if isinstance(extends, Mapping):
            wanted = text_of(extends.entries.get("service"))
            mark = extends.entries["service"].mark if "service" in extends.entries else extends.mark
            path = text_of(extends.entries.get("file"))
        if wanted is None:
            if isinstance(extends, Mapping):
                self._report_missing(mark)
            return None
        if path is not None and isinstance(extends, Mapping):
            other = self._open(path, extends.entries["file"].mark, file.base_dir)
            if other is None:
                return None
            file = other
        if file.services is None or wanted not in file.services.entries:
            self._report_unknown(wanted, mark, file, path)
            return None
        if (file.path, wanted) in chain:
            self._report_cycle(mark, chain, (file.path, wanted))
            return None
        self._links[chain[-1]] = ((file.path, wanted), mark)
        return self._service(file, wanted, chain)

    def _open(self, path: str, mark: Mark, base_dir: str) -> _File | None:
        if is_elsewhere(path):
            self._workshop.is_complete = False
            self._workshop.problems.error(
                "unsupported-key",
                "Not supported",
                mark,
                detail=f"`extends` from another machine (`{path}`) is not supported.",
                hint="copy the file beside this one",
            )
            return None
        full = os.path.normpath(os.path.join(base_dir, os.path.expanduser(path)))
        if full not in self._files:
            self._files[full] = self._load(full, mark)
        return self._files[full]

    def _load(self, full: str, mark: Mark) -> _File | None:
        shown = os.path.relpath(full, self._workshop.sources.cwd)
        file = full if shown.startswith("..") else shown
        self._workshop.note_asked(file, "extended", mark)
        documents = self._workshop.parse(file, asked_by=mark)
        if not documents:
            return None
        folder = os.path.dirname(full)
        root, resets = self._workshop.layer(
            documents[0], self._environment, base_dir=folder, earlier=None, is_brought=True
        )
        found = canonical_once_merged(root, self._workshop.context(folder, is_brought=True))
        return _File(full, folder, child_mapping(found, "services"), resets)

    def _report_missing(self, mark: Mark) -> None:
        self._workshop.is_complete = False
        self._workshop.problems.error(
            "missing-key",
            "Required key is missing",
            mark,
            detail="`extends` needs the key `service`: the service to start from.",
        )

    def _report_unknown(self, wanted: str, mark: Mark, file: _File, path: str | None) -> None:
        self._workshop.is_complete = False
        names = file.services.entries if file.services is not None else {}
        where = f"`{path}`" if path is not None else "this file"
        self._workshop.problems.error(
            "unknown-service",
            "Service is not defined",
            mark,
            detail=f"`extends` names the service `{wanted}`, which {where} does not define.",
            hint=did_you_mean(wanted, names),
        )

    def _report_cycle(self, mark: Mark, chain: tuple[_Key, ...], last: _Key) -> None:
        self._workshop.is_complete = False
        names = [name for _, name in (*chain[chain.index(last) :], last)]
        self._workshop.problems.error(
            "extends-cycle",
            "Services extend each other",
            mark,
            detail=f"`extends` goes round in a circle: {' → '.join(names)}.",
        )
