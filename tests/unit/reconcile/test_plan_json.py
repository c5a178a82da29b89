"""The plan for programs: described by its schema, and free of secrets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest

from stackctl.reconcile.action import Action
from stackctl.reconcile.plan import ChangeKind, Disruption, Plan
from stackctl.reconcile.plan_json import plan_json
from stackctl.reconcile.plan_text import plan_summary
from tests.support.shop import Shop

SCHEMA: dict[str, Any] = json.loads((Path(__file__).parents[3] / "schemas/plan.schema.json").read_text())
BEFORE = """
services:
  web:
    image: web:1
    environment: {TOKEN: secret-1}
    depends_on: {job: {condition: service_started, required: false}}
    volumes: [data:/data]
  job:
    image: job:1
  old:
    image: old:1
volumes:
  data:
"""
AFTER = BEFORE.replace("secret-1", "secret-2").replace("  old:\n    image: old:1\n", "").replace("job:1", "job:2")


def plans() -> dict[str, Plan]:
    shop = Shop()
    found = {"first": shop.up(BEFORE), "nothing to do": shop.plan(BEFORE), "change": shop.plan(AFTER)}
    for verb in ("stop", "restart", "kill", "down"):
        found[verb] = shop.plan_existing(verb, remove_volumes=True)
    return found


@pytest.mark.parametrize("name", plans())
def test_a_plan_is_as_its_schema_says(name: str) -> None:
    shape = json.loads(json.dumps(plan_json(plans()[name])))
    jsonschema.Draft202012Validator(SCHEMA).validate(shape)
    assert shape["empty"] == (not shape["steps"]) == (name == "nothing to do")


def test_the_schema_is_valid_and_knows_every_word() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    step, change = SCHEMA["$defs"]["step"]["properties"], SCHEMA["$defs"]["change"]["properties"]
    assert step["action"]["enum"] == [kind.__name__ for kind in get_args(Action)]
    assert tuple(step["disruption"]["enum"]) == get_args(Disruption)
    assert tuple(change["change"]["enum"]) == get_args(ChangeKind)


def test_every_key_of_the_schema_is_described() -> None:
    def undescribed(schema: dict[str, Any], path: str) -> list[str]:
        found = []
        for name, inner in schema.get("properties", {}).items():
            if "description" not in inner and "const" not in inner and "$ref" not in inner:
                found.append(f"{path}.{name}")
            found += undescribed(inner, f"{path}.{name}") + undescribed(inner.get("items", {}), f"{path}.{name}[]")
        return found

    assert undescribed(SCHEMA, "") == []
    assert [key for name, inner in SCHEMA["$defs"].items() for key in undescribed(inner, name)] == []


def test_a_plan_never_shows_the_value_of_a_variable() -> None:
    plan = plans()["change"]
    text = json.dumps(plan_json(plan)) + plan_summary(plan)
    assert "environment ~TOKEN" in text and "secret-" not in text


def test_what_destroys_data_asks_for_confirmation() -> None:
    plan = plans()["down"]
    (asked,) = plan_json(plan)["confirmations"]
    assert asked == {"step": len(plan.steps), "text": "volume shop_data is deleted with everything in it"}
    assert "This destroys data: remove volume shop_data." in plan_summary(plan)


def test_the_summary_says_what_changes_and_why() -> None:
    assert (
        plan_summary(plans()["change"])
        == """\
Stack shop:

  ± container shop-job-1  (replace)
      image: job:1 -> job:2  (shop.yaml:10)
  ± container shop-web-1  (replace)
      environment ~TOKEN  (shop.yaml:6)

Plan: 2 to replace.
"""
    )
    assert plan_summary(plans()["nothing to do"]) == "Stack shop: nothing to do.\n"
