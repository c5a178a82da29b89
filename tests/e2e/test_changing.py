"""A stack that changes: only what must, in one go, and as the plan said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

from tests.support.stack import FOREVER, Stack, free_port

SCHEMA: dict[str, Any] = json.loads((Path(__file__).parents[2] / "schemas/plan.schema.json").read_text())


def write(stack: Stack, *, web: int, api: int, pids: int) -> None:
    """Write two services, web after api, each with a host port."""
    services = {
        "web": {**FOREVER, "ports": [f"{web}:80"], "depends_on": ["api"], "pids_limit": pids},
        "api": {**FOREVER, "ports": [f"{api}:80"], "volumes": ["data:/data"]},
    }
    stack.write(services, volumes={"data": {}})


def ids(stack: Stack) -> dict[str, str]:
    """Return the id of each running container, by service."""
    return {row["Service"]: row["ID"] for row in stack.run("ps", "--format", "json").rows()}


def planned(stack: Stack, *, status: int) -> list[str]:
    """Return the titles of what the plan would do; the plan must be as its schema says."""
    plan = stack.run("plan", "--json", "--detailed-exitcode", status=status).json()
    jsonschema.Draft202012Validator(SCHEMA).validate(plan)
    return [step["title"] for step in plan["steps"]]


def test_a_limit_restarts_nothing_and_two_services_exchange_their_ports(stack: Stack) -> None:
    one, two = free_port(), free_port()

    write(stack, web=one, api=two, pids=50)
    assert planned(stack, status=2)[:1] == [f"create network {stack.name}_default"]
    stack.run("up", "-d")
    first = ids(stack)
    assert planned(stack, status=0) == []

    write(stack, web=one, api=two, pids=60)
    assert planned(stack, status=2) == [f"update {stack.name}-web-1"]
    stack.run("up", "-d")
    assert ids(stack) == first

    write(stack, web=two, api=one, pids=60)
    stack.run("up", "-d")
    assert set(ids(stack)) == {"web", "api"}
    assert not set(ids(stack).values()) & set(first.values())
    assert planned(stack, status=0) == []
