"""The schema, for editors, and the reference made from it."""

from __future__ import annotations

from pathlib import Path

from jsonschema import Draft202012Validator

from stackctl.stackfile.reference import keys, reference, verdict
from stackctl.stackfile.schema import load_schema

_PAGE = Path(__file__).parents[3] / "docs" / "stack-file.md"


def test_every_key_has_a_description() -> None:
    assert [key.path for key in keys() if not key.meaning] == []


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(load_schema())


def test_the_page_is_up_to_date() -> None:
    assert _PAGE.read_text(encoding="utf-8") == reference(), "stackctl schema --format markdown > docs/stack-file.md"


def test_a_verdict_is_found_for_keys_below_those_of_the_table() -> None:
    assert verdict(("services", "*", "image")).severity is None
    assert verdict(("services", "*", "gpus", "*", "count")).severity == "error"
    assert verdict(("services", "*", "deploy", "placement", "constraints")).severity == "warning"
