"""`plan`."""

from __future__ import annotations

import json
import sys

from stackctl.cli import declared
from stackctl.cli.building import with_inputs
from stackctl.cli.connect import start_engine
from stackctl.cli.failure import Failure
from stackctl.cli.render.plan import plan_lines
from stackctl.cli.settings import current_settings
from stackctl.cli.stack_files import load_document
from stackctl.cli.up_request import Choices, shared_options, up_request
from stackctl.cli.warnings import tell
from stackctl.wire.error_json import diagnostics_from_json

CHANGES = 2


@declared.command()
@declared.flag("--json", "is_json", help="Print the plan for programs.")
@declared.flag("--detailed-exitcode", help="Exit with 2 when something would change, 0 when not.")
@shared_options
@declared.services
def plan(
    is_json: bool,
    detailed_exitcode: bool,
    services: tuple[str, ...],
    scales: tuple[str, ...],
    force_recreate: bool,
    no_recreate: bool,
    remove_orphans: bool,
    no_deps: bool,
) -> None:
    """Show what `up` would do, and which line of which file is the reason. Nothing is changed."""
    settings = current_settings()
    document = load_document(settings, services)
    choices = Choices(
        services=services,
        scales=scales,
        force_recreate=force_recreate,
        no_recreate=no_recreate,
        remove_orphans=remove_orphans,
        no_deps=no_deps,
    )
    request = with_inputs(settings, document, up_request(settings, document, choices))
    answer = start_engine(settings).plan(document.name, request)
    found = answer.get("plan") or {}
    tell(settings, diagnostics_from_json([*(answer.get("diagnostics") or ()), *(found.get("warnings") or ())]))
    if is_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        has_colour = settings.has_colour(is_terminal=sys.stdout.isatty())
        sys.stdout.write(plan_lines(str(answer.get("text") or ""), has_colour=has_colour))
    if detailed_exitcode and not found.get("empty", not found.get("steps")):
        raise Failure(CHANGES)
