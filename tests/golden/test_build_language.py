"""The language's part of the recorded builds: what is read, and what .dockerignore leaves out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stackctl.images.dockerfile import DockerfileError, Ignore, parse
from tests.support.build_cases import Case, all_cases

CASES = all_cases()
READ = [case for case in CASES if "error" not in case.expected]
IGNORED = [case for case in CASES if case.name.startswith("ignore-") and "error" not in case.expected]
# Mistakes that are seen in the text alone.
WRONG = [
    f"error-{name}"
    for name in "copy-from-itself empty env-no-value json-numbers no-from onbuild-onbuild stage-name unknown-flag "
    "unknown-instruction".split()
]


def dockerfile_of(case: Case) -> bytes:
    return next(section.lines for section in case.files if section.name == "Dockerfile").encode()


@pytest.mark.parametrize("case", READ, ids=lambda case: case.name)
def test_what_docker_builds_is_read(case: Case) -> None:
    assert parse(dockerfile_of(case), "Dockerfile").stages


@pytest.mark.parametrize("case", [case for case in CASES if case.name in WRONG], ids=lambda case: case.name)
def test_what_docker_refuses_to_read_is_refused(case: Case) -> None:
    with pytest.raises(DockerfileError):
        parse(dockerfile_of(case), "Dockerfile")


@pytest.mark.parametrize("case", IGNORED, ids=lambda case: case.name)
def test_dockerignore_leaves_out_what_docker_leaves_out(case: Case, tmp_path: Path) -> None:
    case.write_context(tmp_path)
    ignore = Ignore.parse((tmp_path / ".dockerignore").read_text(encoding="utf-8"))
    seen = [
        f"x/{os.path.relpath(os.path.join(folder, name), tmp_path)}"
        for folder, _, names in os.walk(tmp_path)
        for name in names
        if not ignore.excludes(os.path.relpath(os.path.join(folder, name), tmp_path))
    ]
    (layer,) = case.expected["layers"]
    assert sorted(seen) == sorted(entry.split(" ", 5)[-1] for entry in layer if entry.startswith("file"))


def test_there_are_cases() -> None:
    assert len(CASES) > 190
    assert [case.name for case in CASES if not case.expected] == []
