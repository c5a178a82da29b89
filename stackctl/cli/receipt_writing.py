"""Writing the receipt that ``receipt`` reads: after an `up` that left nothing to do, and only when that is sure."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from stackctl.cli import receipt
from stackctl.cli.screen import unchanged_text
from stackctl.cli.settings import Settings
from stackctl.runtime.paths import write_atomically

if TYPE_CHECKING:
    from stackctl.cli.known_stack import AnyStack

_MOST: Final = 256
# With these an image that is there is never looked for elsewhere.
_LOCAL_POLICIES: Final = (None, "", "missing", "if_not_present", "never")


def engine_processes(settings: Settings) -> str:
    """Return who the engine's processes are: to be asked before the `up`, so that none is replaced unseen."""
    try:
        with open(f"{receipt.run_folder(settings.environment)}/processes.json", encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def may_be_receipted(document: AnyStack, given: Mapping[str, Any]) -> bool:
    """Whether what the stack needs is in its files and the engine alone: no registry, no build, no standard input."""
    if given.get("build") or given.get("pull") not in _LOCAL_POLICIES or "-" in document.config_files:
        return False
    services = document.tree.get("services")
    shapes = services.values() if isinstance(services, dict) else ()
    return all(_is_local(shape) for shape in shapes if isinstance(shape, dict))


def _is_local(service: Mapping[str, Any]) -> bool:
    return not service.get("build") and service.get("pull_policy") in _LOCAL_POLICIES


def write_receipt(
    settings: Settings, project: str, end: Mapping[str, Any], *, processes: str, output_text: str
) -> None:
    """Write the receipt of this command, if the engine vouches that doing it again would change nothing.

    ``end`` is the last event of the apply, ``processes`` what ``engine_processes`` said before it. A receipt that
    cannot be written is none: the next `up` takes the full path.
    """
    stamp, consulted = str(end.get("stamp") or ""), settings.consulted
    if not stamp or not processes or "" in consulted.digests.values():
        return
    warnings = "".join(settings.warned)
    sections = {
        "project": [project],
        "stamp": [stamp],
        "processes": [processes],
        **facts_of(settings),
        "error_text": [warnings + unchanged_text(settings, "up", end.get("unchanged") or {})],
        "output_text": [output_text],
    }
    name = receipt.receipt_name(settings.arguments, settings.cwd)
    keep(settings, lambda: (f"{receipt.run_folder(settings.environment)}/{name}", sections))


def facts_of(settings: Settings) -> dict[str, list[str]]:
    """Return all that the stack was made from, as ``receipt.facts_hold`` checks it."""
    consulted = settings.consulted
    return {
        "variables": sorted(consulted.variables),
        "values": [receipt.variables_digest(consulted.variables, settings.environment)],
        "files": list(consulted.digests),
        "digests": list(consulted.digests.values()),
        "found": sorted(consulted.found),
        "absent": sorted(consulted.absent),
    }


def keep(settings: Settings, made: Callable[[], tuple[str, Mapping[str, Sequence[str]]]]) -> None:
    """Write sections to a path, if that can be; nothing depends on it."""
    try:
        path, sections = made()
        _make_room(os.path.dirname(path))
        write_atomically(path, receipt.pack(sections), is_durable=False)
    except (OSError, ValueError):
        if settings.environment.get("STACKCTL_DEBUG") == "1":
            import traceback  # only to debug

            traceback.print_exc(file=sys.stderr)


def _make_room(run: str) -> None:
    """Receipts and known stacks go with the engine's live part; should there ever be very many, all go."""
    names = [name for name in os.listdir(run) if name.startswith(("receipt-", "known-"))]
    for name in names if len(names) >= _MOST else ():
        os.unlink(f"{run}/{name}")
