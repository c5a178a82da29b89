"""One project's files: read, interpolated, checked, made canonical, and merged onto each other."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from stackctl.model.path import Path
from stackctl.stackfile.canonical import canonical, canonical_at_last, canonical_once_merged
from stackctl.stackfile.cast import cast
from stackctl.stackfile.extends import Extends
from stackctl.stackfile.include import Included, included
from stackctl.stackfile.interpolate import Environment, Interpolation
from stackctl.stackfile.merge import Clashes, drop_nulls, merge, merge_service, remove, take_resets
from stackctl.stackfile.node import Mapping, Mark, Node, Scalar, kind_of, mapping, without
from stackctl.stackfile.problems import Problems
from stackctl.stackfile.schema import check_node
from stackctl.stackfile.settle import settle
from stackctl.stackfile.sources import Sources
from stackctl.stackfile.transform import Context
from stackctl.stackfile.yaml_text import decode_text, lines_of, read_yaml

if TYPE_CHECKING:
    from stackctl.stackfile.trace import Trace

_LONGEST_CHAIN = 5


class Workshop:
    """What every file of one load shares."""

    def __init__(self, sources: Sources, problems: Problems, *, home: str) -> None:
        self.sources = sources
        self.problems = problems
        self.home = home
        self.resolves_paths = True
        self.project_dir = ""
        self.interpolates = True
        self.is_complete = True
        """False once a file or a base could not be had."""
        self.environments: list[Environment] = []
        self.trace: Trace | None = None
        self.asked_for: dict[str, tuple[str, Mark]] = {}
        """Files that another one brought: how, and where it says so."""
        self._parsed: dict[str, list[Node] | None] = {}

    def parse(self, file: str, *, asked_by: Mark | None = None) -> list[Node] | None:
        """Return the documents of ``file``, or None when it cannot be read; each file is read once."""
        if file not in self._parsed:
            self._parsed[file] = self._parse(file, asked_by)
        return self._parsed[file]

    def note_asked(self, file: str, how: str, mark: Mark) -> None:
        """Remember, for what is said of ``file``, that another file brought it; the first one counts."""
        if mark.line and mark.file != file:
            self.asked_for.setdefault(file, (how, mark))

    def chain(self, file: str) -> tuple[str, ...]:
        """Return sentences that say how ``file`` came to be read, the nearest first."""
        found: list[str] = []
        while file in self.asked_for and len(found) < _LONGEST_CHAIN:
            how, mark = self.asked_for[file]
            found.append(f"`{file}` is {how} by {mark.file}:{mark.line}:{mark.column}.")
            file = mark.file
        return tuple(found)

    def _parse(self, file: str, asked_by: Mark | None) -> list[Node] | None:
        text = self.read_text(file, asked_by=asked_by)
        if text is None:
            self.is_complete = False
            return None
        self.sources.keep_lines(file, lines_of(text))
        found = Problems()
        documents = read_yaml(text, file=file, problems=found)
        self.problems.extend(found.all())
        self.is_complete = self.is_complete and bool(documents or not found.has_errors)
        return documents

    def read_text(self, file: str, *, asked_by: Mark | None = None) -> str | None:
        """Return the text of ``file``; why it cannot be had becomes an error at ``asked_by``."""
        marks = (asked_by,) if asked_by is not None else ()
        try:
            content = self.sources.read(file)
        except FileNotFoundError:
            self.problems.error("file-not-found", "File not found", *marks, detail=f"`{file}` does not exist.")
            return None
        except OSError as wrong:
            self.problems.error(
                "file-unreadable",
                "File cannot be read",
                *marks,
                detail=f"`{file}`: {(wrong.strerror or str(wrong)).lower()}.",
            )
            return None
        return decode_text(content, file=file, problems=self.problems)

    def context(self, base_dir: str, *, is_brought: bool) -> Context:
        """Return what transforms need to know for a file whose paths start at ``base_dir``.

        Where paths stay relative, those of files that another one brought become relative to the project's folder.
        """
        folder: str | None = base_dir
        if not self.resolves_paths:
            folder = os.path.relpath(base_dir, self.project_dir) if is_brought else None
        return Context(self.problems, folder, self.home)

    def layer(
        self, document: Node, environment: Environment, *, base_dir: str, earlier: Node | None, is_brought: bool
    ) -> tuple[Mapping, list[Path]]:
        """Return one document in canonical form, and the paths it resets."""
        if environment not in self.environments:
            self.environments.append(environment)
        if self.interpolates:
            interpolation = Interpolation(environment, self.sources, self.trace)
            document = interpolation.tree(document)
            interpolation.report(self.problems)
            # What a value would have been is not known: nothing is said of what follows from its absence.
            self.is_complete &= not interpolation.has_failed
        document, resets = take_resets(document)
        document = cast(document, self.problems)
        check_node(drop_nulls(document, earlier), self.problems, is_partial=True)
        if not isinstance(document, Mapping):
            return Mapping({}, {}, document.mark), resets
        self._warn_about_version(document)
        found = canonical(without(document, ["version"]), self.context(base_dir, is_brought=is_brought))
        assert isinstance(found, Mapping)
        return found, resets

    def because(self, why: str, mark: Mark) -> AbstractContextManager[None]:
        """Note for what is done within why it is; see ``Trace``."""
        return self.trace.within(why, mark) if self.trace is not None else nullcontext()

    def merge(self, earlier: Node | None, later: Node) -> Node:
        """Return ``later`` merged onto ``earlier``; what cannot be merged is reported."""
        clashes: Clashes = []
        found = merge(earlier, later, clashes)
        self._report(clashes)
        return found

    def merge_service(self, earlier: Node | None, later: Node) -> Node:
        """As ``merge``, for two services."""
        clashes: Clashes = []
        found = merge_service(earlier, later, clashes)
        self._report(clashes)
        return found

    def _report(self, clashes: Clashes) -> None:
        for later, earlier in clashes:
            self.problems.error(
                "cannot-merge",
                "Values cannot be merged",
                later.mark,
                earlier.mark,
                detail=f"This is {kind_of(later)}, and what it would be merged onto is {kind_of(earlier)}.",
                hint="write both in the same form, or put `!override` before the later one",
            )

    def _warn_about_version(self, document: Mapping) -> None:
        if "version" in document.entries:
            self.problems.warning(
                "obsolete-key",
                "Obsolete key",
                document.keys["version"],
                detail="`version` has no meaning any more and is ignored.",
                hint="remove it",
            )


def load_files(
    files: tuple[str, ...],
    workshop: Workshop,
    environment: Environment,
    *,
    base_dir: str,
    asked_by: Mark | None = None,
    chain: tuple[str, ...] = (),
) -> Mapping:
    """Return these files merged, each with what it includes and extends, as one canonical tree.

    ``chain`` holds the files that led here, so that an include of itself is found.
    """
    total: Node = mapping({}, asked_by or Mark("", 0))
    for file in files:
        if asked_by is not None:
            workshop.note_asked(file, "included", asked_by)
        documents = workshop.parse(file, asked_by=asked_by)
        for document in documents or ():
            total = _add(
                total,
                document,
                workshop,
                environment,
                base_dir=base_dir,
                chain=(*chain, file),
                is_included=asked_by is not None,
            )
    assert isinstance(total, Mapping)
    if asked_by is None and not total.entries:
        _report_empty(files[-1], workshop)
    context = workshop.context(base_dir, is_brought=asked_by is not None)
    if asked_by is None:
        total = canonical_at_last(total, context)
        assert isinstance(total, Mapping)
    return settle(total, context, is_included=asked_by is not None)


def _add(
    total: Node,
    document: Node,
    workshop: Workshop,
    environment: Environment,
    *,
    base_dir: str,
    chain: tuple[str, ...],
    is_included: bool,
) -> Node:
    if isinstance(document, Scalar) and document.value is None:
        _report_empty(chain[-1], workshop)
        return total
    found, resets = workshop.layer(document, environment, base_dir=base_dir, earlier=total, is_brought=is_included)

    def load_included(sub: Included) -> Mapping:
        below = Environment({**sub.variables, **environment.variables})
        with workshop.because("included by", sub.mark):
            return load_files(sub.files, workshop, below, base_dir=sub.base_dir, asked_by=sub.mark, chain=chain)

    base = included(found, workshop, environment, base_dir=base_dir, chain=chain, load=load_included)
    found = without(found, ["include"])
    for path in resets:
        total = remove(total, path)
        base = remove(base, path) if base is not None else None
    written = found
    if base is not None:
        merged = workshop.merge(base, found)
        assert isinstance(merged, Mapping)
        found = merged
    found = Extends(workshop, environment).apply(found, resets, base_dir=base_dir)
    if workshop.trace is not None:
        workshop.trace.layer(written, resets)
    return canonical_once_merged(workshop.merge(total, found), workshop.context(base_dir, is_brought=is_included))


def _report_empty(file: str, workshop: Workshop) -> None:
    if not workshop.problems.has_errors:
        workshop.problems.error(
            "empty-file",
            "Stack file is empty",
            Mark(file, 1),
            detail=f"`{file}` holds nothing.",
            hint="a stack file starts with `services:`",
        )


def folder_of(path: str, cwd: str) -> str:
    """Return the absolute folder ``path`` lies in."""
    return os.path.dirname(os.path.normpath(os.path.join(cwd, path)))
