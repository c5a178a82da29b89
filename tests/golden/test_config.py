"""What `config` prints, character by character, and how it ends."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.golden.conftest import Command

_FOLDER = Path(__file__).parent / "config"
_STACKS = sorted(path.stem for path in _FOLDER.glob("*.stack"))
_WRITES = os.environ.get("STACKCTL_GOLDEN") == "write"


@pytest.fixture(params=_STACKS)
def stack(request: pytest.FixtureRequest, shop: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a stack of the folder, written out as compose.yaml."""
    name: str = request.param
    monkeypatch.setenv("TOKEN", "hush")
    (shop / "compose.yaml").write_text((_FOLDER / f"{name}.stack").read_text(encoding="utf-8"), encoding="utf-8")
    return name


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_a_stack_is_printed_like_this(stack: str, form: str, call: Command, shop: Path) -> None:
    golden = _FOLDER / f"{stack}.{form}"

    status, out, _ = call("config", "--format", form)

    out = out.replace(str(shop), "/shop")
    if _WRITES:
        golden.write_text(out, encoding="utf-8")
    assert (status, out) == (0, golden.read_text(encoding="utf-8"))
    assert form == "yaml" or isinstance(json.loads(out), dict)


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_what_is_printed_is_a_stack_file_again(stack: str, form: str, call: Command, shop: Path) -> None:
    assert stack
    _, model, _ = call("config", "--format", "json")
    _, text, _ = call("config", "--format", form)
    (shop / "again.yaml").write_text(text, encoding="utf-8")

    status, again, err = call("-f", "again.yaml", "config", "--format", "json")

    assert (status, json.loads(again)) == (0, json.loads(model)), err


def test_quiet_prints_nothing(call: Command, shop: Path) -> None:
    (shop / "compose.yaml").write_text("services: {a: {image: i}}")

    assert call("config", "-q") == (0, "", "")


def test_the_output_can_go_to_a_file(call: Command, shop: Path) -> None:
    (shop / "compose.yaml").write_text("services: {a: {image: i}}")

    assert call("config", "-o", "out.yaml") == (0, "", "")
    assert (shop / "out.yaml").read_text().startswith("name: shop\nservices:\n  a:\n    image: i\n")


@pytest.mark.parametrize(
    ("arguments", "out"),
    [
        (("--services",), "a\nb\n"),
        (("--volumes",), "vol\n"),
        (("--networks",), "default\n"),
        (("--images",), "i\nshop-b\n"),
        (("--profiles",), "p\n"),
        (("--services", "b"), "b\n"),
    ],
)
def test_lists_are_one_a_line(arguments: tuple[str, ...], out: str, call: Command, shop: Path) -> None:
    (shop / "compose.yaml").write_text(
        "services: {a: {image: i, volumes: ['vol:/x']}, b: {build: .}, c: {image: k, profiles: [p]}}\nvolumes: {vol: }"
    )

    assert call("config", *arguments)[:2] == (0, out)


@pytest.mark.parametrize(
    ("text", "arguments", "code"),
    [
        ("services: {a: {image: i, foo: 1}}", (), "error[unknown-key]"),
        ("services: {a: {image: i}}", ("zz",), "no such service: zz"),
        ("services: {a: {image: i}}", ("--hash", "zz"), "no such service: zz"),
        ("services: {a: {image: i}}", ("--format", "toml"), "toml"),
        ("services: [", (), "error[yaml-syntax]"),
    ],
)
def test_what_is_wrong_ends_with_1(text: str, arguments: tuple[str, ...], code: str, call: Command, shop: Path) -> None:
    (shop / "compose.yaml").write_text(text)

    status, out, err = call("config", *arguments)

    assert (status, out) == (1, "")
    assert code in err


def test_without_a_file_it_ends_with_1(call: Command) -> None:
    status, out, err = call("-f", "gone.yaml", "config")

    assert (status, out) == (1, "")
    assert err == "error[file-not-found]: File not found\n`gone.yaml` does not exist.\n" + err.splitlines()[-1] + "\n"
