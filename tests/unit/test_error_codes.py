"""Every error code is explained in docs/errors.md, and nothing else is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).parents[2]
CODE = re.compile(r"[a-z]+(-[a-z0-9]+)*")
UNKNOWN = tuple(f"unknown-{kind}" for kind in ("config", "network", "secret", "service", "volume"))
REPORTS = ("error", "warning", "note")


def codes_in(tree: ast.AST) -> Iterator[str]:
    """Yield codes given as ``code=``, as a class's ``code``, or to ``problems.error`` and its like."""
    for node in ast.walk(tree):
        values: list[ast.expr] = []
        if isinstance(node, ast.Call):
            values += [keyword.value for keyword in node.keywords if keyword.arg == "code"]
            if isinstance(node.func, ast.Attribute) and node.func.attr in REPORTS:
                values += node.args[:1]
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "code" for t in node.targets):
            values.append(node.value)
        for value in values:
            branches = [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
            for branch in branches:
                if isinstance(branch, ast.Constant) and isinstance(branch.value, str) and CODE.fullmatch(branch.value):
                    yield branch.value
                elif isinstance(branch, ast.JoinedStr) and ast.unparse(branch).startswith("f'unknown-{"):
                    yield from UNKNOWN


def test_every_code_is_documented_and_every_documented_one_exists() -> None:
    used = {
        code
        for path in sorted((TOP / "stackctl").rglob("*.py"))
        for code in codes_in(ast.parse(path.read_text(encoding="utf-8")))
    }
    rows = re.findall(r"^\| (`[^|]*`) \|", (TOP / "docs/errors.md").read_text(encoding="utf-8"), re.MULTILINE)
    documented = [code for row in rows for code in re.findall(r"`([^`]+)`", row)]

    assert sorted(used - set(documented)) == []
    assert sorted(set(documented) - used) == []
    assert len(documented) == len(set(documented))
