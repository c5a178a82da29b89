"""`events`."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Final

import click

from stackctl import labels
from stackctl.cli.connect import start_engine
from stackctl.cli.options import services_argument
from stackctl.cli.settings import current_settings
from stackctl.cli.since import moment_of
from stackctl.cli.stack_files import project_of
from stackctl.cli.targets import check_services, containers_of

_NS: Final = 1_000_000_000


@click.command()
@click.option("--json", "is_json", is_flag=True, help="One JSON object a line.")
@click.option("--since", default="", metavar="TIME", help="Also what happened since then: 10m, or a date.")
@click.option("--until", default="", metavar="TIME", help="Only what happens until then.")
@services_argument
def events(is_json: bool, since: str, until: str, services: tuple[str, ...]) -> None:
    """Show what happens to the containers of the stack, as it happens."""
    settings = current_settings()
    project = project_of(settings)
    now_s = time.time()
    start = moment_of(since, now_s=now_s) if since else ""
    end = moment_of(until, now_s=now_s, option="--until") if until else ""
    engine = start_engine(settings)
    if services:
        check_services(settings, services, {c.service for c in containers_of(engine, project)})
    for event in engine.events(since=start, until=end, kinds=["container"], labels=[f"{labels.PROJECT}={project}"]):
        marks: Mapping[str, str] = event["Actor"]["Attributes"]
        service = marks.get(labels.SERVICE, "")
        if marks.get(labels.ONEOFF) == "True" or (services and service not in services):
            continue
        click.echo(_json(event, service) if is_json else _text(event))


def _text(event: Mapping[str, Any]) -> str:
    """Return a line, and the empty one that Docker Compose has after each."""
    seconds, rest = divmod(int(event["timeNano"]), _NS)
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) + f".{rest // 1000:06d}"
    about = ", ".join(f"{key}={value}" for key, value in _attributes(event).items())
    return f"{moment} container {event['Action']} {event['Actor']['ID']} ({about})\n"


def _json(event: Mapping[str, Any], service: str) -> str:
    shape = {
        "action": event["Action"],
        "attributes": _attributes(event),
        "id": event["Actor"]["ID"],
        "service": service,
        "time": _rfc3339(int(event["timeNano"])),
        "type": "container",
    }
    return json.dumps(shape, separators=(",", ":"), ensure_ascii=False)


def _attributes(event: Mapping[str, Any]) -> dict[str, str]:
    marks: Mapping[str, str] = event["Actor"]["Attributes"]
    return {key: marks[key] for key in sorted(marks) if not key.startswith(labels.PREFIX)}


def _rfc3339(ns: int) -> str:
    seconds, rest = divmod(ns, _NS)
    moment = time.localtime(seconds)
    zone = time.strftime("%z", moment)
    shown = "Z" if zone in ("+0000", "") else f"{zone[:3]}:{zone[3:]}"
    fraction = f".{rest:09d}".rstrip("0").rstrip(".")
    return time.strftime("%Y-%m-%dT%H:%M:%S", moment) + fraction + shown
