"""Stacks that were read before: what a stack file came to, kept while nothing of what it was made from has changed.

Reading a stack costs 50 ms before the first byte is looked at. What is kept is found by what was asked for, and holds
under the same facts as a receipt. Only stacks without any warning, and without configs and secrets, are kept.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from stackctl import __version__
from stackctl.cli import receipt
from stackctl.cli.settings import Settings

if TYPE_CHECKING:
    from stackctl.stackfile.document import Document

_KIND: Final = "stackctl known stack 1"


class KnownStack:
    """What of a Document the command line needs, and its wire form."""

    def __init__(self, wire: Mapping[str, Any]) -> None:
        self.wire = wire
        self.tree: Mapping[str, Any] = wire["tree"]
        self.name: str = wire["name"]
        self.working_dir: str = wire["working_dir"]
        self.config_files: tuple[str, ...] = tuple(wire["config_files"])
        self.disabled_services: tuple[str, ...] = tuple(wire["disabled_services"])
        self.contents: Mapping[str, bytes] = {}


AnyStack: TypeAlias = "Document | KnownStack"


def find(settings: Settings, services: Sequence[str]) -> KnownStack | None:
    """Return the stack if it was read before and would be the same now. What it was made from counts as consulted.

    Naming services can only switch on what profiles switched off: where nothing is, it makes no difference.
    """
    found = _find(settings, services)
    if found is not None or not services:
        return found
    found = _find(settings, ())
    is_whole = found is not None and not found.disabled_services and found.tree["services"].keys() >= set(services)
    return found if is_whole else None


def _find(settings: Settings, services: Sequence[str]) -> KnownStack | None:
    try:
        facts = receipt.read(_path(settings, services))
        if facts is None or not receipt.facts_hold(facts, settings.environment):
            return None
        found = KnownStack(json.loads(facts["wire"][0]))
    except (OSError, ValueError, LookupError, TypeError):
        return None
    consulted = settings.consulted
    consulted.digests.update(zip(facts["files"], facts["digests"], strict=True))
    consulted.found.update(facts["found"])
    consulted.absent.update(facts["absent"])
    consulted.variables.update(facts["variables"])
    return found


def remember(settings: Settings, services: Iterable[str], document: Document) -> None:
    """Keep the stack for the next command, if it may be kept and there is an engine to keep it with."""
    if settings.consulted.has_findings or document.contents or "-" in document.config_files:
        return
    from stackctl.cli.receipt_writing import facts_of, keep
    from stackctl.stackfile.document import document_to_wire

    wire = json.dumps(document_to_wire(document), separators=(",", ":"))
    keep(settings, lambda: (_path(settings, services), {**facts_of(settings), "wire": [wire]}))


def _path(settings: Settings, services: Iterable[str]) -> str:
    asked = (
        settings.files,
        settings.project_name,
        settings.project_directory,
        settings.profiles,
        settings.env_files,
        tuple(services),
    )
    facts = "\0".join((_KIND, __version__, sys.version, os.path.realpath(settings.cwd), settings.cwd, repr(asked)))
    name = receipt.digest(facts.encode(errors="surrogateescape"))
    return f"{receipt.run_folder(settings.environment)}/known-{name}"
