"""What of each instruction is expanded: the builder's own part, before anything is done.

Not the commands of RUN, CMD, ENTRYPOINT, SHELL and HEALTHCHECK: those are for a shell, in the container. Not ONBUILD's
trigger: it is expanded when it is run.
Source: Dockerfile reference, "Environment replacement".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from stackctl.diagnostics import Diagnostic
from stackctl.images.dockerfile.expand import ExpansionError, expand, expand_text, split_words
from stackctl.images.dockerfile.instruction import (
    Add,
    Copy,
    Env,
    Expose,
    From,
    Heredoc,
    Instruction,
    Label,
    Run,
    StopSignal,
    User,
    Volume,
    Workdir,
)


def expanded(instruction: Instruction, variables: Mapping[str, str], *, escape: str) -> Instruction:
    """Return ``instruction`` with its variables replaced. ``variables`` are those before it.

    ARG is left as it is: each of its defaults sees the arguments before it, for which see ``expand``.
    Raises ExpansionError with the place of the instruction.
    """
    try:
        return _Expander(variables, escape).instruction(instruction)
    except ExpansionError as error:
        place = Diagnostic(
            severity="error",
            code="dockerfile-expansion",
            summary="Cannot be expanded",
            detail=f"{error.message[:1].upper()}{error.message[1:]}.",
            sources=(instruction.line,),
        )
        raise ExpansionError(error.message, diagnostics=(place,)) from error


class _Expander:
    def __init__(self, variables: Mapping[str, str], escape: str) -> None:
        self._variables = variables
        self._escape = escape

    def instruction(self, instruction: Instruction) -> Instruction:
        match instruction:
            case Copy() | Add():
                return self._files(instruction)
            case Env() | Label():
                pairs = tuple((self._word(name), self._word(value)) for name, value in instruction.pairs)
                return replace(instruction, pairs=pairs)
            case Run():
                return replace(
                    instruction,
                    mounts=self._words(instruction.mounts),
                    network=self._word(instruction.network),
                    security=self._word(instruction.security),
                )
            case Expose():
                ports = (split_words(port, self._variables, escape=self._escape) for port in instruction.ports)
                return replace(instruction, ports=tuple(port for some in ports for port in some))
            case Volume():
                return replace(instruction, paths=self._words(instruction.paths))
            case _:
                return self._single(instruction)

    def _single(self, instruction: Instruction) -> Instruction:
        match instruction:
            case From():
                image, platform = self._word(instruction.image), self._word(instruction.platform)
                return replace(instruction, image=image, platform=platform)
            case Workdir():
                return replace(instruction, path=self._word(instruction.path))
            case User():
                return replace(instruction, user=self._word(instruction.user))
            case StopSignal():
                return replace(instruction, signal=self._word(instruction.signal))
            case _:
                return instruction

    def _files(self, instruction: Copy | Add) -> Copy | Add:
        changed = replace(
            instruction,
            sources=self._words(instruction.sources),
            destination=self._word(instruction.destination),
            heredocs=tuple(self._heredoc(heredoc) for heredoc in instruction.heredocs),
            chown=self._word(instruction.chown),
            chmod=self._word(instruction.chmod),
            excludes=self._words(instruction.excludes),
        )
        if isinstance(changed, Add):
            return replace(changed, checksum=self._word(changed.checksum))
        return replace(changed, source_stage=self._word(changed.source_stage))

    def _heredoc(self, heredoc: Heredoc) -> Heredoc:
        if not heredoc.expands:
            return heredoc
        # The tabs go first: those of a variable's value stay.
        content = expand_text(heredoc.text, self._variables, escape=self._escape)
        return replace(heredoc, content=content, strips_tabs=False)

    def _words(self, words: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(self._word(word) for word in words)

    def _word(self, word: str) -> str:
        return expand(word, self._variables, escape=self._escape)
