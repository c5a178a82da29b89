"""`lint`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from stackctl.cli.failure import Failure
from stackctl.cli.settings import Settings, current_settings
from stackctl.cli.stack_files import load_request
from stackctl.cli.warnings import tell

if TYPE_CHECKING:
    from stackctl.diagnostics import Diagnostic
    from stackctl.stackfile.support_tables import EngineKind


@click.command()
@click.option("--format", "form", type=click.Choice(("text", "json", "sarif")), default="text", help="How to show it.")
@click.option("--ignore", "ignored", multiple=True, metavar="CODE", help="Do not tell what has this code.")
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings too.")
def lint(form: str, ignored: tuple[str, ...], strict: bool) -> None:
    """Tell what is wrong with the stack files, what the engine ignores, and what may be regretted."""
    from stackctl.stackfile.decode import decode  # the YAML parser
    from stackctl.stackfile.lint import lint as advice
    from stackctl.stackfile.load import load

    settings = current_settings()
    loaded = load(replace(load_request(settings), has_unused_resources=True, has_contents=False))
    settings.lines.update(loaded.lines)
    found = list(loaded.diagnostics)
    if loaded.document is not None:
        found += decode(loaded.document, _engine_kind(settings))[1]
        found += advice(loaded.document, lines=loaded.lines, ignored=ignored)
    told = [one for one in dict.fromkeys(found) if one.code not in ignored]
    if form == "json":
        click.echo(json.dumps([_shape(one) for one in told], indent=2, ensure_ascii=False))
    elif form == "sarif":
        from stackctl.cli.render.sarif import sarif_text  # only here

        click.echo(sarif_text(told))
    else:
        tell(settings, told, write=click.echo, in_full=True)
    if any(one.severity == "error" or (strict and one.severity == "warning") for one in told):
        raise Failure(1)


def _engine_kind(settings: Settings) -> EngineKind:
    """Return what kind of engine the stack is meant for."""
    if not settings.engine:
        return "built-in"
    from stackctl.client.address import parse_engine  # only for engines that are not ours

    return parse_engine(settings.engine, settings.environment).kind


def _shape(one: Diagnostic) -> dict[str, object]:
    return {
        "severity": one.severity,
        "code": one.code,
        "summary": one.summary,
        "detail": one.detail,
        "hint": one.hint,
        "sources": list(_places(one)),
    }


def _places(one: Diagnostic) -> Iterable[dict[str, object]]:
    for source in one.sources:
        yield {
            "file": source.file,
            "line": source.line,
            "column": source.column,
            "end_column": source.end_column,
        }
