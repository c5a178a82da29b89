"""Which engine a command is about: what the command line says comes before the environment."""

from __future__ import annotations

import pytest

from stackctl.cli import plain
from stackctl.cli.settings import Settings, choose_engine


@pytest.mark.parametrize(
    ("given", "variables", "expected"),
    [
        (None, {}, ""),
        (None, {"DOCKER_HOST": "tcp://there:1"}, ""),
        (None, {"STACKCTL_ENGINE": "docker"}, "docker"),
        ("unix:///x", {"STACKCTL_ENGINE": "docker"}, "unix:///x"),
        ("built-in", {"STACKCTL_ENGINE": "docker"}, ""),
        (None, {"STACKCTL_ENGINE": "built-in"}, ""),
    ],
)
def test_the_command_line_comes_before_the_environment(
    given: str | None, variables: dict[str, str], expected: str
) -> None:
    settings = Settings(environment=variables, cwd="/", engine=choose_engine(given, variables))
    assert settings.engine == expected


@pytest.mark.parametrize("words", [["--engine", "docker"], ["--engine=docker"]])
def test_a_plain_command_line_may_name_it(words: list[str]) -> None:
    found = plain.find([*words, "up", "-d"])
    assert found is not None
    assert found[0] == {"engine": "docker"}
