"""The quick `ps` says what the full one says, for less."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import Engine

_QUICK = """
import os, sys
leave = os._exit
def tell(status):
    print(*sorted(sys.modules), file=sys.stderr, flush=True)
    leave(status)
os._exit = tell
from stackctl.cli.entry import main
main()
"""
_FULL = "import sys; from stackctl.cli.main import run; sys.exit(run(sys.argv[1:]))"


@pytest.fixture
def folder(shared_engine: Engine, tmp_path: Path) -> Iterator[Path]:
    """The folder of a stack with a container that runs, one that ended, and one that publishes a port."""
    (tmp_path / "compose.yaml").write_text(
        "name: quick\n"
        "services:\n"
        "  runs: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, ports: ['80']}\n"
        "  ended: {image: busybox, command: 'true'}\n",
        encoding="utf-8",
    )
    shared_engine.run("up", "-d", cwd=tmp_path)
    yield tmp_path
    shared_engine.run("down", cwd=tmp_path)


def said(engine: Engine, folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=folder,
        env=engine.variables(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("options", [(), ("-a",), ("-q",), ("-aq",), ("-a", "--format", "json"), ("--no-trunc",)])
def test_the_quick_ps_says_what_the_full_one_says(
    shared_engine: Engine, folder: Path, options: tuple[str, ...]
) -> None:
    quick = said(shared_engine, folder, _QUICK, "ps", *options)
    full = said(shared_engine, folder, _FULL, "ps", *options)

    assert (quick.returncode, _without_clock(quick.stdout)) == (0, _without_clock(full.stdout))
    assert "quick-runs-1" in quick.stdout or "q" in "".join(options)


def test_a_plain_ps_loads_neither_click_nor_what_click_needs(shared_engine: Engine, folder: Path) -> None:
    modules = set(said(shared_engine, folder, _QUICK, "ps", "--format", "json").stderr.splitlines()[-1].split())

    assert not modules & {"click", "inspect", "dataclasses", "pathlib", "hashlib", "shutil", "signal", "socket"}
    assert {name for name in modules if name.startswith("stackctl.")} <= {
        "stackctl.cli",
        "stackctl.cli.containers",
        "stackctl.cli.entry",
        "stackctl.cli.quick_name",
        "stackctl.cli.quick_ps",
        "stackctl.cli.receipt",
        "stackctl.cli.render",
        "stackctl.cli.render.durations",
        "stackctl.cli.render.ports",
        "stackctl.cli.render.ps",
        "stackctl.cli.render.style",
        "stackctl.cli.render.table",
        "stackctl.labels",
        "stackctl.wire",
        "stackctl.wire.protocol",
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ("ps", "nothing"),
        ("ps", "--format", "xml"),
        ("-f", "absent.yaml", "ps"),
        ("exec", "ps"),
        ("ps", "--statuses"),
    ],
)
def test_what_is_not_plain_is_left_to_the_full_command(
    shared_engine: Engine, folder: Path, arguments: tuple[str, ...]
) -> None:
    full = said(shared_engine, folder, _FULL, *arguments)
    quick = said(shared_engine, folder, _QUICK, *arguments)

    assert full.returncode != 0
    assert (quick.returncode, quick.stdout) == (full.returncode, full.stdout)
    assert quick.stderr.startswith(full.stderr)


def _without_clock(text: str) -> str:
    """Leave out what counts seconds, and how wide that makes the columns."""
    return re.sub(" +", " ", re.sub(r"(Less than a|\d+|a) seconds?( ago)?", "T", text))


@pytest.mark.parametrize(
    "line", ["exec -T runs true", "stop", "down", "run --rm -T ended", "logs --tail 3 ended", "up -d runs"]
)
def test_plain_command_lines_do_without_click(shared_engine: Engine, folder: Path, line: str) -> None:
    done = said(shared_engine, folder, _QUICK, *line.split())
    modules = set(done.stderr.splitlines()[-1].split())

    assert done.returncode == 0
    assert "stackctl.cli.plain" in modules
    assert not modules & {"click", "uuid", "gettext", "shutil"}
    if not line.startswith("logs"):
        assert not modules & {"inspect", "dataclasses"}
