"""The quick way to the project's name may be silent, but never wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackctl.cli.quick_name import FILE_NAMES, OVERRIDE_NAMES, quick_name
from stackctl.stackfile import discover
from stackctl.stackfile.load import LoadRequest, load

SERVICES = "services:\n  a:\n    image: host\n"


def quick(folder: Path, **given: object) -> str | None:
    base = {"files": (), "project_name": "", "project_directory": "", "env_files": (), "environment": {}}
    return quick_name(**{**base, **given}, cwd=str(folder))  # type: ignore[arg-type]


def full(folder: Path, **given: object) -> str | None:
    document = load(LoadRequest(cwd=str(folder), **given)).document  # type: ignore[arg-type]
    return document.name if document else None


def test_file_names_are_those_of_the_stack_file_room() -> None:
    assert FILE_NAMES == discover.FILE_NAMES
    assert OVERRIDE_NAMES == discover.OVERRIDE_NAMES


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (SERVICES, "my-shop"),
        ("name: other\n" + SERVICES, "other"),
        ("# hello\n\n---\nname: other # why\n" + SERVICES, "other"),
        ("x-a: &a\n  name: inner\nname: other\n" + SERVICES, "other"),
        ("x-t: |\n  name: inner\n" + SERVICES, "my-shop"),
        ("x-a: {b: c}\nx-b: 'd'\nx-c: [e]\n" + SERVICES, "my-shop"),
        ("name:   other   \r\n" + SERVICES.replace("\n", "\r\n"), "other"),
    ],
)
def test_plain_files_are_read_quickly_and_rightly(tmp_path: Path, text: str, name: str) -> None:
    folder = tmp_path / "My.-Shop"
    folder.mkdir()
    (folder / "compose.yaml").write_bytes(text.encode())
    assert quick(folder) == full(folder) == name


@pytest.mark.parametrize(
    "text",
    [
        "{name: other, services: {a: {image: host}}}\n",
        "  name: other\n  services:\n    a:\n      image: host\n",
        "name: ${X:-other}\n" + SERVICES,
        'name: "other"\n' + SERVICES,
        '"name": other\n' + SERVICES,
        "? name\n: other\n" + SERVICES,
        "name: >-\n  other\n" + SERVICES,
        "name:\n  other\n" + SERVICES,
        "name: Other\n" + SERVICES,
        "name: one\n" + SERVICES + "---\nname: two\n",
        "x-a: {\nname: inner\n }\n" + SERVICES,
        'x-a: "\nname: inner\n "\n' + SERVICES,
        "x-a: &a\n  name: other\n<<: *a\n" + SERVICES,
        "",
    ],
)
def test_what_needs_a_parser_is_left_to_it(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "compose.yaml").write_text(text)
    assert quick(folder) in (None, full(folder))


def test_options_and_environment_come_first(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("name: other\n" + SERVICES)
    (tmp_path / "two.yaml").write_text("name: second\n")
    assert quick(tmp_path, project_name="asked") == "asked"
    assert quick(tmp_path, project_name="Not Allowed") is None
    assert quick(tmp_path, environment={"COMPOSE_PROJECT_NAME": "given"}) == "given"
    assert quick(tmp_path, files=("compose.yaml", "two.yaml")) == "second"
    assert quick(tmp_path, environment={"COMPOSE_FILE": "two.yaml:compose.yaml"}) == "other"
    assert quick(tmp_path, environment={"COMPOSE_FILE": "two.yaml,compose.yaml", "COMPOSE_PATH_SEPARATOR": ","}) == (
        "other"
    )
    assert quick(tmp_path, files=("-",)) is None
    assert quick(tmp_path, files=("absent.yaml",)) is None


def test_an_env_file_may_name_the_project(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(SERVICES)
    (tmp_path / ".env").write_text("COMPOSE_PROJECT_NAME=fromenv\n")
    assert quick(tmp_path) is None
    assert full(tmp_path) == "fromenv"


def test_files_are_found_from_a_folder_below(tmp_path: Path) -> None:
    folder = tmp_path / "shop" / "deep"
    folder.mkdir(parents=True)
    (tmp_path / "shop" / "docker-compose.yml").write_text(SERVICES)
    (tmp_path / "shop" / "compose.override.yaml").write_text("name: over\n")
    assert quick(folder) == full(folder) == "over"


def test_a_project_directory_gives_the_name(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SERVICES)
    (tmp_path / "else").mkdir()
    given = {"files": ("a.yaml",), "project_directory": "else"}
    assert quick(tmp_path, **given) == full(tmp_path, **given) == "else"
