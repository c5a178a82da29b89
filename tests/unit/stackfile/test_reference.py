"""The schema, for editors, and the reference made from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from stackctl.stackfile.reference import keys, reference, verdict
from stackctl.stackfile.schema import load_schema
from stackctl.stackfile.support_table import YES
from stackctl.stackfile.support_tables import TABLES, TITLES, overlaid
from tests.support.stacks import loaded_from

_PAGE = Path(__file__).parents[3] / "docs" / "stack-file.md"


def test_every_key_has_a_description() -> None:
    assert [key.path for key in keys() if not key.meaning] == []


def test_every_key_of_a_service_has_an_example_that_is_read(tmp_path: Path) -> None:
    of_service = [key for key in keys() if key.path[:2] == ("services", "*") and len(key.path) == 3]
    around = {
        "networks": dict.fromkeys(("front", "back")),
        "volumes": {"data": None},
        "configs": {"motd": {"content": "hello"}},
        "secrets": {"password": {"environment": "HOME"}},
        "models": {"llm": {"model": "m"}},
    }
    for name in ("web.env", "web.labels"):
        (tmp_path / name).touch()

    for key in of_service:
        service = {"image": "i", key.path[2]: json.loads(key.example)}
        services = {"web": service, "db": {"image": "i"}, "base": {"image": "i"}}
        (tmp_path / "compose.yaml").write_text(json.dumps({"services": services, **around}))

        found = loaded_from(tmp_path)

        assert found.document is not None, (key, found.diagnostics)


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(load_schema())


def test_the_page_is_up_to_date() -> None:
    assert _PAGE.read_text(encoding="utf-8") == reference(), "stackctl schema --format markdown > docs/stack-file.md"


def test_a_verdict_is_found_for_keys_below_those_of_the_table() -> None:
    assert verdict(("services", "*", "image")).severity is None
    assert verdict(("services", "*", "gpus", "*", "count")).severity == "error"
    assert verdict(("services", "*", "deploy", "placement", "constraints")).severity == "warning"


def test_every_engine_has_a_word_on_every_key() -> None:
    titles = [TITLES[kind] for kind in TABLES]
    heads = [line for line in reference().splitlines() if line.startswith("| key |")]
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    assert {tuple(line.strip("| ").split(" | ")[4:]) for line in heads} == {tuple(titles)}
    assert {bool(cell) for row in rows for cell in row.strip("| ").split(" | ")[-len(titles) :]} == {True}


def test_engines_differ_where_they_do() -> None:
    secrets = ("services", "*", "build", "secrets", "*", "source")
    assert verdict(secrets).severity is None
    assert verdict(secrets, "docker").severity == "error"
    assert verdict(("networks", "*", "attachable")).severity == "warning"
    assert verdict(("networks", "*", "attachable"), "docker").severity is None


def test_a_table_says_nothing_of_keys_that_there_are_not() -> None:
    with pytest.raises(KeyError):
        overlaid({"a": {"b": YES}}, {("a", "c"): YES})
