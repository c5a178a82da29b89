"""Dockerfiles for tests: one stage from ``scratch`` unless the text has its own FROM."""

from __future__ import annotations

import pytest

from stackctl.diagnostics import Diagnostic
from stackctl.images.dockerfile import DockerfileError, parse
from stackctl.images.dockerfile.instruction import Dockerfile, Instruction


def dockerfile(text: str) -> Dockerfile:
    """Read a whole file."""
    return parse(text, "Dockerfile")


def instructions(text: str) -> tuple[Instruction, ...]:
    """Return the instructions of ``text``, which stands below ``FROM scratch``."""
    return dockerfile(f"FROM scratch\n{text}").stages[0].instructions


def instruction(text: str) -> Instruction:
    """Return the one instruction of ``text``, which stands below ``FROM scratch``."""
    (only,) = instructions(text)
    return only


def mistakes(text: str | bytes) -> list[Diagnostic]:
    """Return what is said about a file that is wrong."""
    with pytest.raises(DockerfileError) as caught:
        parse(text, "Dockerfile")
    return list(caught.value.diagnostics)
