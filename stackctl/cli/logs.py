"""`logs`."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from stackctl.cli import declared
from stackctl.cli.connect import known_engine
from stackctl.cli.containers import Listed
from stackctl.cli.known_stack import find
from stackctl.cli.log_lines import LogPrinter
from stackctl.cli.multiplex import Follower, LogRange, print_log
from stackctl.cli.output import standard_output
from stackctl.cli.render.log_prefix import Prefixes
from stackctl.cli.settings import Settings, current_settings
from stackctl.cli.since import moment_of
from stackctl.cli.stack_files import project_of
from stackctl.cli.targets import containers_of, of_services
from stackctl.errors import UsageError


@declared.command()
@declared.flag("-f", "--follow", help="Go on until the containers end.")
@declared.option("-n", "--tail", default="all", metavar="N|all", help="Number of lines of each container.")
@declared.flag("-t", "--timestamps", help="Show when each line was written.")
@declared.option("--since", default="", metavar="TIME", help="Only what is newer: 10m, or a date.")
@declared.option("--until", default="", metavar="TIME", help="Only what is older: 10m, or a date.")
@declared.flag("--no-log-prefix", help="Do not show where a line is from.")
@declared.flag("--no-color", help="No colours.")
@declared.option("--index", type=declared.Whole(1), metavar="N", help="Only this replica.")
@declared.services
def logs(
    follow: bool,
    tail: str,
    timestamps: bool,
    since: str,
    until: str,
    no_log_prefix: bool,
    no_color: bool,
    index: int | None,
    services: tuple[str, ...],
) -> None:
    """Show what containers wrote."""
    settings = current_settings()
    if tail != "all" and not tail.isdecimal():
        raise UsageError(f"invalid value for --tail: {tail}", hint="write a number of lines, or all")
    now_s = time.time()
    part = LogRange(
        tail=tail,
        since=moment_of(since, now_s=now_s) if since else "",
        until=moment_of(until, now_s=now_s, option="--until") if until else "",
        has_timestamps=timestamps,
    )
    project = project_of(settings)
    engine = known_engine(settings)
    hidden = frozenset() if services else _hidden(settings)
    found = of_services(settings, containers_of(engine, project), services)
    if engine is None:
        return
    client = engine

    def chosen(containers: Sequence[Listed]) -> list[Listed]:
        return [c for c in _wanted(containers, services, index) if c.service not in hidden]

    printer = log_printer(settings, has_prefix=not no_log_prefix, has_colour=not no_color)
    if follow:
        known = {container.id for container in found}
        Follower(
            client,
            lambda: chosen(containers_of(client, project)),
            printer,
            lambda c: part if c.id in known else _all_of(part),
        ).run()
        return
    begun = [c for c in chosen(found) if c.state != "created"]
    for container in begun:
        printer.add(container.service, container.log_name)
    for container in begun:
        print_log(client, container, printer, part, follow=False)


def log_printer(settings: Settings, *, has_prefix: bool, has_colour: bool) -> LogPrinter:
    """Return a printer of log lines to standard output."""
    is_coloured = has_colour and settings.has_colour(is_terminal=sys.stdout.isatty())
    return LogPrinter(standard_output(), Prefixes(has_colour=is_coloured, is_shown=has_prefix))


def _hidden(settings: Settings) -> frozenset[str]:
    """Return the services with ``attach: false``, as far as the stack is known: what runs was brought up from it."""
    known = find(settings, ())
    shapes: Mapping[str, Any] = known.tree.get("services") or {} if known is not None else {}
    return frozenset(name for name, shape in shapes.items() if shape.get("attach") is False)


def _wanted(containers: Sequence[Listed], services: Sequence[str], index: int | None) -> list[Listed]:
    return [c for c in containers if (not services or c.service in services) and index in (None, c.number)]


def _all_of(part: LogRange) -> LogRange:
    return LogRange(until=part.until, has_timestamps=part.has_timestamps)
