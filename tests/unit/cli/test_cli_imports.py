"""What a command loads is what it costs before it does anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("command", ["up", "run", "exec", "plan", "logs"])
def test_help_of_a_command_loads_that_command_only(tmp_path: Path, command: str) -> None:
    modules = loaded(tmp_path, command, "--help")
    assert not roots(modules) & HEAVY
    assert "stackctl.stackfile.load" not in modules
    assert "stackctl.engines.start" not in modules
