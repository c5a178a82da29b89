"""Text → Dockerfile: all that is wrong with a file is found at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from stackctl.diagnostics import SourceRange
from stackctl.images.dockerfile.faults import Faults, did_you_mean
from stackctl.images.dockerfile.instruction import (
    Arg,
    Copy,
    Dockerfile,
    Env,
    From,
    Heredoc,
    Instruction,
    Label,
    Maintainer,
    Stage,
)
from stackctl.images.dockerfile.lines import Lines, LogicalLine
from stackctl.images.dockerfile.read import READERS
from stackctl.images.dockerfile.statement import Statement, Wrong, heredoc_names
from stackctl.images.dockerfile.words import flags

_WITH_HEREDOCS: Final = ("ADD", "COPY", "RUN")
_MAX_BYTES: Final = 16 * 1024 * 1024


def parse(text: str | bytes, path: str) -> Dockerfile:
    """Read a Dockerfile; ``path`` names it in diagnostics. Raises DockerfileError with all that is wrong."""
    faults = Faults()
    decoded = _decoded(text, path, faults)
    faults.raise_if_any(path)
    lines = Lines(decoded, path, faults)
    instructions = _Instructions(lines, faults).all()
    dockerfile = _stages(instructions, lines.escape, SourceRange(path, 1), faults)
    faults.raise_if_any(path)
    return replace(dockerfile, warnings=tuple(faults.warnings))


def parse_triggers(triggers: Sequence[str], line: SourceRange, *, escape: str = "\\") -> tuple[Instruction, ...]:
    """Read an image's ONBUILD triggers; every instruction's place is ``line``, that of the FROM that brought them.

    Raises DockerfileError.
    """
    found: list[Instruction] = []
    for trigger in triggers:
        faults = Faults()
        lines = Lines(trigger, line.file, faults, escape=escape)
        read = _Instructions(lines, faults).all()
        for at, diagnostic in enumerate(faults.errors):
            detail = f"{diagnostic.detail} The base image's ONBUILD trigger is `{trigger}`."
            faults.errors[at] = replace(diagnostic, sources=(line,), detail=detail)
        faults.raise_if_any(line.file)
        found += [replace(instruction, line=line) for instruction in read]
    return tuple(found)


def _decoded(text: str | bytes, path: str, faults: Faults) -> str:
    if len(text) > _MAX_BYTES:
        detail = f"It has more than {_MAX_BYTES} bytes."
        faults.error("dockerfile-too-large", "File is too large", SourceRange(path, 1), detail=detail)
        return ""
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            faults.error("dockerfile-encoding", "Not a text", SourceRange(path, line), detail="This is not UTF-8.")
            return ""
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        faults.error("dockerfile-encoding", "Not a text", SourceRange(path, line), detail="There is a NUL in it.")
    return text


class _Instructions:
    def __init__(self, lines: Lines, faults: Faults) -> None:
        self._lines = lines
        self._faults = faults

    def all(self) -> list[Instruction]:
        found: list[Instruction] = []
        while (line := self._lines.next()) is not None:
            try:
                found.append(self._read(line))
            except Wrong as wrong:
                self._faults.errors.append(wrong.diagnostic)
        return found

    def _read(self, line: LogicalLine) -> Instruction:
        statement = self._statement(line, 0)
        if statement.name == "ONBUILD":
            trigger = self._trigger(statement)
            statement = replace(statement, heredocs=trigger.heredocs if trigger is not None else ())
        instruction = READERS[statement.name](statement)
        if statement.name == "ONBUILD" and trigger is not None and trigger.name not in ("ONBUILD", "FROM"):
            READERS[trigger.name](trigger)
        self._warn(instruction, statement)
        return instruction

    def _trigger(self, statement: Statement) -> Statement | None:
        return self._statement(statement.line, statement.at) if statement.rest else None

    def _statement(self, line: LogicalLine, start: int) -> Statement:
        text = line.text
        begin = start + len(text[start:]) - len(text[start:].lstrip())
        end = begin + len(text[begin:].split(maxsplit=1)[0])
        name = text[begin:end].upper()
        if name not in READERS:
            raise self._unknown(line, begin, end)
        found, at = flags(text, end)
        statement = Statement(line, name, tuple(found), at, self._lines.escape, begin)
        if name in _WITH_HEREDOCS and "<<" in statement.rest and statement.json_array() is None:
            return replace(statement, heredocs=self._heredocs(statement))
        return statement

    def _unknown(self, line: LogicalLine, begin: int, end: int) -> Wrong:
        word = line.text[begin:end]
        return Statement(line, word, (), end, self._lines.escape).wrong(
            f"There is no instruction `{word}`.",
            source=line.range(begin, end),
            hint=did_you_mean(word.upper(), list(READERS)),
        )

    def _heredocs(self, statement: Statement) -> tuple[Heredoc, ...]:
        found = []
        for heredoc in heredoc_names(statement.rest, escape=self._lines.escape):
            content = self._lines.heredoc(heredoc.name, strips_tabs=heredoc.strips_tabs)
            if content is None:
                raise statement.wrong(
                    f"The heredoc is not ended: there is no line `{heredoc.name}` below.",
                    source=statement.line.find("<<", statement.at),
                )
            found.append(replace(heredoc, content=content))
        return tuple(found)

    def _warn(self, instruction: Instruction, statement: Statement) -> None:
        match instruction:
            case Maintainer():
                self._faults.warning(
                    "dockerfile-old",
                    "Old form",
                    instruction.line,
                    detail="MAINTAINER is deprecated.",
                    hint="write `LABEL org.opencontainers.image.authors=…`",
                )
            case Env() | Label() if "=" not in statement.rest.split(maxsplit=1)[0]:
                name, value = instruction.pairs[0]
                self._faults.warning(
                    "dockerfile-old",
                    "Old form",
                    instruction.line,
                    detail=f"`{statement.name} {name} …` without `=` is deprecated.",
                    hint=f'write `{statement.name} {name}="{value}"`' if len(value) < 40 else "",
                )
            case _:
                pass


def _stages(instructions: list[Instruction], escape: str, whole: SourceRange, faults: Faults) -> Dockerfile:
    global_args: list[Arg] = []
    stages: list[tuple[From, list[Instruction]]] = []
    for instruction in instructions:
        if isinstance(instruction, From):
            stages.append((instruction, []))
        elif stages:
            stages[-1][1].append(instruction)
        elif isinstance(instruction, Arg):
            global_args.append(instruction)
        else:
            faults.error(
                "dockerfile-no-base",
                "Instruction before the first FROM",
                instruction.line,
                detail="Only ARG may stand there.",
            )
    if not stages and not faults.errors:
        faults.error("dockerfile-empty", "No stage", whole, detail="There is no FROM in the file.")
    found = tuple(Stage(at, base.name, base, tuple(below)) for at, (base, below) in enumerate(stages))
    _check_names(found, faults)
    return Dockerfile(escape, found, tuple(global_args))


def _check_names(stages: tuple[Stage, ...], faults: Faults) -> None:
    first: dict[str, int] = {}
    for stage in stages:
        if stage.name is not None and first.setdefault(stage.name, stage.index) != stage.index:
            faults.warning(
                "duplicate-stage",
                "Stage name given twice",
                stage.base.line,
                detail=f"`{stage.name}` means this stage from here on.",
            )
    for stage in stages:
        for instruction in stage.instructions:
            if isinstance(instruction, Copy) and instruction.source_stage:
                _check_source(instruction, stage, first, faults)


def _check_source(copy: Copy, stage: Stage, first: dict[str, int], faults: Faults) -> None:
    name = copy.source_stage.lower()
    is_number = name.isascii() and name.isdigit()
    if stage.index <= (int(name[:6]) if is_number else first.get(name, -1)):
        faults.error(
            "dockerfile-stage-order",
            "Stage is not finished",
            copy.line,
            detail=f"`--from={copy.source_stage}` names a stage that is not above this one.",
            hint="move that stage up",
        )
