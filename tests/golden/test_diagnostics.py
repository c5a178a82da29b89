"""What is said about wrong stack files, word for word, by the commands a user types.

Each file of ``diagnostics/`` is a stack file, a line ``=== said``, and what goes to standard error. With
STACKCTL_GOLDEN=write what is said now is written there instead of being compared: read it before it is kept.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.golden.conftest import Command

_CASES = sorted((Path(__file__).parent / "diagnostics").glob("*.txt"))
_CUT = "=== said\n"
_WRITES = os.environ.get("STACKCTL_GOLDEN") == "write"


@pytest.mark.parametrize("case", _CASES, ids=[case.stem for case in _CASES])
def test_a_mistake_is_explained_in_these_words(case: Path, call: Command, shop: Path) -> None:
    text, _, said = case.read_text(encoding="utf-8").partition(_CUT)
    (shop / "compose.yaml").write_text(text, encoding="utf-8")

    status, out, err = call("config", "--quiet")
    err = err.replace(str(shop), "/shop")

    if _WRITES:
        case.write_text(f"{text}{_CUT}{err}", encoding="utf-8")
    assert (out, err) == ("", said if not _WRITES else err)
    assert status == (1 if "error[" in said else 0)
    if "error[" in said:  # before any engine is asked, `up` says the same
        status, out, again = call("up", "-d")
        assert (status, out, again.replace(str(shop), "/shop")) == (1, "", err)


def test_there_are_cases() -> None:
    assert len(_CASES) >= 60


def test_how_a_file_came_to_be_read_is_said(call: Command, shop: Path) -> None:
    (shop / "sub").mkdir()
    (shop / "compose.yaml").write_text("include: [sub/db.yaml]\nservices: {web: {image: nginx}}\n")
    (shop / "sub" / "db.yaml").write_text("services:\n  db:\n    extends: {file: base.yaml, service: base}\n")
    (shop / "sub" / "base.yaml").write_text("services:\n  base:\n    image: pg\n    prots: []\n")

    status, out, err = call("config", "--quiet")

    assert (status, out) == (1, "")
    assert err == (
        "error[unknown-key]: Unknown key\n"
        "  --> sub/base.yaml:4:5\n"
        "    4 |     prots: []\n"
        "      |     ^^^^^\n"
        "`services.base` has no key `prots`.\n"
        "`sub/base.yaml` is extended by sub/db.yaml:3:21.\n"
        "`sub/db.yaml` is included by compose.yaml:1:11.\n"
        "hint: did you mean `ports`?\n"
        "error[stack-file]: the stack file has an error\n"
    )
