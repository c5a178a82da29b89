"""What `config` said before is said again only where it would be said anew."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stackctl.cli import known_answer, plain

_FILES = {
    "compose.yaml": (
        "services: {web: {image: 'i:${TAG:-1}', env_file: [{path: e, required: false}]}}\n",
        "version: '3'\nservices: {web: {image: j, environment: [TAG]}}\n",
        "include: [sub/x.yaml]\nservices: {web: {image: 'i:${COMPOSE_PROJECT_NAME}'}}\n",
        "services: {web: {extends: {file: sub/x.yaml, service: sub}}}\n",
        "services: [\n",
        None,
    ),
    "compose.override.yaml": ("services: {web: {labels: {a: b}}}\n", None),
    "compose.yml": ("services: {other: {image: k}}\n", None),
    "sub/x.yaml": ("services: {sub: {image: s}}\n", "services: {sub: {image: '${TAG-t}'}}\n", None),
    ".env": ("TAG=file\n", "COMPOSE_PROJECT_NAME=named\n", "COMPOSE_FILE=sub/x.yaml\n", None),
    "e": ("A=1\n", "A=2\n", None),
}
_ARGUMENTS = (
    ["config"],
    ["config", "-q"],
    ["config", "--format", "json"],
    ["config", "--images"],
    ["-p", "q", "config"],
)
_FILE_STEPS = st.sampled_from([(name, text) for name, texts in _FILES.items() for text in texts])
_VARIABLE_STEPS = st.sampled_from(
    [("TAG", "shell"), ("TAG", None), ("COMPOSE_PROFILES", "x"), ("COMPOSE_PROFILES", None)]
)


class Place:
    """A folder with stack files, a home, and the variables of whoever calls `config` there."""

    def __init__(self, root: Path) -> None:
        self.folder, self.home = root / "shop", root / "home"
        self.folder.mkdir(parents=True)
        self.home.mkdir()
        (self.folder / "sub").mkdir()
        self.environment = {"HOME": str(self.home)}

    def write(self, name: str, text: str | None) -> None:
        path = self.folder / name
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)

    def known(self, arguments: list[str]) -> tuple[str, str] | None:
        """What the gate says, None when it does not know."""
        with _said() as (out, err):
            is_known = known_answer.answer(arguments, self.environment)
        return (out.getvalue(), err.getvalue()) if is_known else None

    def run(self, arguments: list[str], **more: str) -> tuple[int | None, str, str]:
        """Run the command for real; what it says is kept, if it may be."""
        with _said() as (out, err), pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["stackctl", *arguments])
            status = plain.run(arguments, {**self.environment, **more})
        return status, out.getvalue(), err.getvalue()

    def kept(self) -> list[Path]:
        return list((self.home / ".cache" / "stackctl").glob("answer-*"))


@contextlib.contextmanager
def _said() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    out, err = io.StringIO(), io.StringIO()
    # Descriptors 1 and 2 are looked at for whether they are terminals, whatever the streams are.
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield out, err


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    found = Place(tmp_path)
    monkeypatch.chdir(found.folder)
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.one_of(_FILE_STEPS, _VARIABLE_STEPS), st.sampled_from(_ARGUMENTS)), max_size=8))
def test_what_is_known_is_what_would_be_said(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[tuple[str, str | None], list[str]]]
) -> None:
    place = Place(tmp_path_factory.mktemp("place"))
    here = os.getcwd()
    os.chdir(place.folder)
    try:
        place.write("compose.yaml", _FILES["compose.yaml"][0])
        for (name, value), arguments in steps:
            place.run(arguments)
            if name in _FILES:
                place.write(name, value)
            elif value is None:
                place.environment.pop(name, None)
            else:
                place.environment[name] = value
            known = place.known(arguments)
            assert known is None or (0, *known) == place.run(arguments, STACKCTL_NO_RECEIPT="1")
    finally:
        os.chdir(here)


@pytest.mark.parametrize("arguments", _ARGUMENTS)
def test_what_was_said_is_known(place: Place, arguments: list[str]) -> None:
    place.write("compose.yaml", "version: '3'\nservices: {web: {image: 'i:${TAG:-1}'}}\n")

    said = place.run(arguments)

    assert (0, *(place.known(arguments) or ())) == said
    assert "version" in said[2]


def test_only_the_owner_can_read_what_is_kept(place: Place) -> None:
    place.write("compose.yaml", "services: {web: {image: i}}\n")
    place.run(["config"])
    (kept,) = place.kept()

    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    kept.parent.chmod(0o755)
    kept.unlink()
    place.run(["config"])
    assert place.kept() == []


def test_a_password_that_only_a_variable_holds_is_written_nowhere(place: Place) -> None:
    place.write("compose.yaml", "services: {web: {image: i, environment: [PASSWORD]}}\n")
    place.environment["PASSWORD"] = "hunter2"

    assert "hunter2" in place.run(["config"])[1]
    assert place.kept() == []


@pytest.mark.parametrize(
    "arguments", [["config", "-o", "out"], ["config", "--environment"], ["config", "--explain", "name"]]
)
def test_other_answers_are_not_kept(place: Place, arguments: list[str]) -> None:
    place.write("compose.yaml", "services: {web: {image: i}}\n")

    assert place.run(arguments)[0] == 0
    assert place.kept() == []


def test_what_is_torn_is_not_known(place: Place) -> None:
    place.write("compose.yaml", "services: {web: {image: i}}\n")
    place.run(["config"])
    (kept,) = place.kept()
    whole = kept.read_bytes()

    for cut in range(0, len(whole), 7):
        kept.write_bytes(whole[:cut])
        assert place.known(["config"]) is None


def test_there_are_never_very_many(place: Place) -> None:
    place.write("compose.yaml", "services: {web: {image: i}}\n")
    for number in range(70):
        place.run(["-p", f"p{number}", "config", "-q"])

    assert 0 < len(place.kept()) <= 64


def test_a_changed_program_knows_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write("compose.yaml", "services: {web: {image: i}}\n")
    place.run(["config"])
    assert place.known(["config"]) is not None

    monkeypatch.setattr(known_answer, "_program", lambda: "another")

    assert place.known(["config"]) is None
