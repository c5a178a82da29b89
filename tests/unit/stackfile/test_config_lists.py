"""What `config` lists besides the model: variables, hashes, single services."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stackctl.cli.variables import variables_json, variables_table
from stackctl.errors import UsageError
from stackctl.stackfile.load import LoadRequest, environment_of, variables_of
from stackctl.stackfile.render import service_hashes
from tests.support.stacks import loaded

_FILE = "services: {a: {image: '${A:-x}:${B?must}', user: '${C:+y}'}, b: {image: $A, depends_on: [a]}}"


def test_variables_are_listed_once_with_what_their_expressions_say(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(_FILE)
    uses = variables_of(LoadRequest(cwd=str(tmp_path), environment={}))

    assert json.loads(variables_json(uses)) == {
        "A": {"Name": "A", "DefaultValue": "x", "PresenceValue": "", "Required": False},
        "B": {"Name": "B", "DefaultValue": "", "PresenceValue": "", "Required": True},
        "C": {"Name": "C", "DefaultValue": "", "PresenceValue": "y", "Required": False},
    }
    assert variables_table(uses).splitlines()[:2] == [
        "NAME                REQUIRED            DEFAULT VALUE       ALTERNATE VALUE",
        "A                   false               x                   ",
    ]


def test_the_environment_is_the_callers_over_that_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {a: {image: i}}")
    (tmp_path / ".env").write_text("A=file\nB=file\n")
    found = environment_of(LoadRequest(cwd=str(tmp_path), environment={"A": "shell"}))

    assert (found["A"], found["B"]) == ("shell", "file")


def _hashes(text: str, wanted: str = "*") -> dict[str, str]:
    document = loaded(text).document
    assert document is not None
    return service_hashes(document, wanted)


@pytest.mark.parametrize(("keys", "is_same"), [("user: u", False), ("scale: 2", True), ("depends_on: [b]", True)])
def test_a_hash_changes_with_what_makes_the_containers(keys: str, is_same: bool) -> None:
    before = _hashes("services: {a: {image: i}, b: {image: j}}")
    after = _hashes(f"services: {{a: {{image: i, {keys}}}, b: {{image: j}}}}")

    assert (before["a"] == after["a"], before["b"] == after["b"]) == (is_same, True)


def test_a_hash_of_an_unknown_service_is_refused() -> None:
    with pytest.raises(UsageError, match="no such service: c"):
        _hashes("services: {a: {image: i}}", "a,c")


def test_named_services_come_with_what_they_depend_on_and_use() -> None:
    text = (
        "services: {a: {image: i, depends_on: [b]}, b: {image: j, volumes: ['vb:/b']},"
        " c: {image: k, volumes: ['vc:/c']}}\nvolumes: {vb: , vc: }"
    )
    document = loaded(text, services=("a",), has_named_only=True).document

    assert document is not None
    services, volumes = document.tree["services"], document.tree["volumes"]
    assert isinstance(services, dict) and isinstance(volumes, dict)
    assert (list(services), list(volumes)) == (["a", "b"], ["vb"])
