"""Running `config` of Docker Compose and ours, and comparing what they say."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from stackctl.cli.main import run
from stackctl.stackfile.node import plain
from stackctl.stackfile.problems import Problems
from stackctl.stackfile.yaml_text import read_yaml
from tests.conformance.cases import Case

DOCKER_COMPOSE = shutil.which("docker-compose", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


class Said(NamedTuple):
    """How a command ended. ``model`` is None when it refused, and lines when lines were asked for."""

    model: Any
    errors: str


def theirs(case: Case, folder: Path) -> Said:
    """Return what Docker Compose says about a case written to ``folder``."""
    done = subprocess.run(
        [str(DOCKER_COMPOSE), *case.argv()],
        cwd=folder,
        env=_environment(case, folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return _said(case, done.returncode, done.stdout, done.stderr)


def ours(case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Said:
    """Return what we say about it; in this process, which moves to ``folder``."""
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in _environment(case, folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run(case.argv())
    return _said(case, status, out.getvalue(), err.getvalue())


def _environment(case: Case, folder: Path) -> dict[str, str]:
    # Their program is over before it has garbage worth collecting; not to look for it saves a fifth of the time.
    return {"HOME": "/home/me", "PATH": "/usr/bin:/bin", "PWD": str(folder), "GOGC": "off", **case.environment}


def _said(case: Case, status: int, out: str, err: str) -> Said:
    if status:
        return Said(None, err)
    if case.prints_text or not out:
        return Said(sorted(out.splitlines()), err)
    if case.format == "json":
        return Said(json.loads(out), err)
    (document,) = read_yaml(out, file="out", problems=Problems())
    return Said(plain(document), err)


def difference(theirs: Said, ours: Said) -> str:
    """Return what differs, a line each; "" when nothing does."""
    if theirs.model is None and ours.model is None:
        return ""
    if theirs.model is None:
        return f"they refuse it, we do not: {theirs.errors}"
    if ours.model is None:
        return f"we refuse it, they do not:\n{ours.errors}"
    return "\n".join(_differences(theirs.model, ours.model, ""))


def _differences(theirs: Any, ours: Any, path: str) -> list[str]:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return [
            line
            for key in sorted({*theirs, *ours})
            for line in _differences(theirs.get(key, "(absent)"), ours.get(key, "(absent)"), f"{path}.{key}")
        ]
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        pairs = enumerate(zip(theirs, ours, strict=True))
        return [line for at, (left, right) in pairs for line in _differences(left, right, f"{path}[{at}]")]
    if type(theirs) is type(ours) and theirs == ours:
        return []
    return [f"{path or 'all'}: theirs {theirs!r}, ours {ours!r}"]
