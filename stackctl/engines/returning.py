"""Bringing back what ran when the machine, or the engine, went down and whose restart policy asks for it."""

from __future__ import annotations

import sys
from typing import Any

from stackctl import labels
from stackctl.engines.local import LocalEngine
from stackctl.engines.stacks import Stacks
from stackctl.errors import StackctlError
from stackctl.runtime.supervisor_client import SupervisorClient
from stackctl.wire.stack_request import StackRequest


def bring_back(stacks: Stacks, supervisor: SupervisorClient, engine: LocalEngine) -> None:
    """Start each such service after what it depends on, its conditions kept; single containers at once."""
    try:
        wanted = {facts["id"] for facts in supervisor.call("list")["containers"] if facts["is_to_return"]}
        services: dict[str, set[str]] = {}
        for container in engine.containers() if wanted else ():
            if container.id in wanted:
                project, service = container.label(labels.PROJECT), container.label(labels.SERVICE)
                if project and service and not container.is_oneoff:
                    services.setdefault(project, set()).add(service)
                else:
                    supervisor.call("start", name=container.id)
    except StackctlError as error:
        print(f"bringing containers back: {error}", file=sys.stderr, flush=True)
        return
    for project, names in sorted(services.items()):
        stacks.apply(project, StackRequest(verb="start", services=tuple(sorted(names))), _note_failure)


def _note_failure(event: dict[str, Any]) -> None:
    if event["event"] == "end" and not event["ok"]:
        print(f"bringing containers back: {event['error']['message']}", file=sys.stderr, flush=True)
