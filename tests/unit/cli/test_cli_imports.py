"""What a command loads is what it costs before it does anything."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.cli import receipt
from stackctl.cli.commands import COMMANDS
from stackctl.engines.start import DEFAULT_ROOT
from stackctl.runtime.paths import RUN_PARENT, open_engine

HEAVY = {
    "ruamel",
    "jsonschema",
    "networkx",
    "h11",
    "tenacity",
    "asyncio",
    "http",
    "subprocess",
    "email",
    "logging",
    "rich",
}
SCRIPT = """
import sys
from stackctl.cli.main import run
status = run(sys.argv[1:])
sys.stdout.flush()
print(*sorted(sys.modules), file=sys.stderr)
sys.exit(status)
"""


def loaded(folder: Path, *arguments: str) -> set[str]:
    (folder / "compose.yaml").write_text("services:\n  web:\n    image: host\n")
    environment = {"STACKCTL_ROOT": str(folder / "root"), "PATH": "/usr/bin"}
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert process.returncode == 0, process.stderr
    return set(process.stderr.splitlines()[-1].split())


def roots(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


@pytest.mark.parametrize("arguments", [("ps",), ("logs",), ("down",), ("stop",), ("image", "ls")])
def test_commands_about_what_exists_load_no_parser_and_no_planner(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    modules = loaded(tmp_path, *arguments)
    assert not roots(modules) & HEAVY
    assert not any(name.startswith(("stackctl.stackfile", "stackctl.reconcile", "stackctl.api")) for name in modules)


@pytest.mark.parametrize("arguments", [("--help",), ("version",), ()])
def test_help_and_version_load_click_only(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    modules = loaded(tmp_path, *arguments)
    assert not roots(modules) & HEAVY
    commands = {
        "stackctl.cli.up",
        "stackctl.cli.ps",
        "stackctl.client.engine_client",
        "stackctl.engines.start",
    }
    assert not modules & commands


def test_config_needs_no_engine(tmp_path: Path) -> None:
    modules = loaded(tmp_path, "config", "-q")
    assert not modules & {"stackctl.client.engine_client", "stackctl.engines.start", "networkx", "h11"}


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_of_a_command_loads_that_command_only(tmp_path: Path, command: str) -> None:
    modules = loaded(tmp_path, command, "--help")
    assert not roots(modules) & HEAVY
    assert "stackctl.stackfile.load" not in modules
    assert "stackctl.engines.start" not in modules


@pytest.mark.parametrize("arguments", [("ps",), ("logs",), ("down",), ("stop",)])
def test_finding_an_engine_loads_nothing_that_starting_one_needs(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert not loaded(tmp_path, *arguments) & {"hashlib", "shutil", "lzma", "bz2", "compileall"}


def test_reading_a_stack_loads_the_model_of_nothing(tmp_path: Path) -> None:
    modules = loaded(tmp_path, "config", "-q")
    assert {name for name in modules if name.startswith("stackctl.model.")} == {"stackctl.model.path"}
    assert "ruamel" in roots(modules)


def test_the_receipt_gate_loads_itself_only(tmp_path: Path) -> None:
    script = "import sys; before = set(sys.modules); from stackctl.cli import entry; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {
        "__future__",
        "stackctl",
        "stackctl.cli",
        "stackctl.cli.entry",
        "stackctl.cli.receipt",
    }


def test_what_config_said_is_said_again_by_the_gate_alone(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {web: {image: host}}\n")
    script = (
        "import os, sys; leave = os._exit; before = set(sys.modules)\n"
        "def tell(status): print(*set(sys.modules) - before, file=sys.stderr, flush=True); leave(status)\n"
        "os._exit = tell\n"
        "from stackctl.cli.entry import main; main()"
    )
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin"}
    argv = [sys.executable, "-c", script, "config"]
    first, second = (
        subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    )

    assert first.stdout == second.stdout != ""
    loaded = set(second.stderr.split()) - {"_blake2"}
    assert loaded == {
        "__future__",
        "stackctl",
        "stackctl.cli",
        "stackctl.cli.entry",
        "stackctl.cli.known_answer",
        "stackctl.cli.receipt",
    }


def test_the_gate_looks_where_engines_are(tmp_path: Path) -> None:
    paths = open_engine(str(tmp_path / "root"))

    assert receipt.run_folder({"STACKCTL_ROOT": str(tmp_path / "root")}) == paths.run
    assert (receipt.DEFAULT_ROOT, receipt.RUN_PARENT) == (DEFAULT_ROOT, RUN_PARENT)


@given(
    st.dictionaries(
        st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1),
        st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))),
    )
)
def test_what_a_receipt_holds_is_read_back(sections: dict[str, list[str]]) -> None:
    assert receipt.unpack(receipt.pack(sections)) == sections


@given(st.binary(max_size=200))
def test_whatever_stands_in_a_receipt_is_read_or_refused(text: bytes) -> None:
    with suppress(ValueError, IndexError):
        receipt.unpack(receipt.MAGIC.encode() + b"\0" + text)
