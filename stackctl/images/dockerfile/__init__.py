"""The Dockerfile language: text → stages and instructions, variables in words, and .dockerignore. Builds nothing."""

from __future__ import annotations

from stackctl.images.dockerfile.expand import ExpansionError, expand, expand_text, split_words
from stackctl.images.dockerfile.expanded import expanded
from stackctl.images.dockerfile.faults import DockerfileError
from stackctl.images.dockerfile.ignore import Ignore
from stackctl.images.dockerfile.parse import parse, parse_triggers

__all__ = [
    "DockerfileError",
    "ExpansionError",
    "Ignore",
    "expand",
    "expand_text",
    "expanded",
    "parse",
    "parse_triggers",
    "split_words",
]
