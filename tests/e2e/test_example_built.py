"""The example with a Dockerfile: it is built, serves, and is built anew when something of it has changed."""

from __future__ import annotations

import shutil
import urllib.request
from pathlib import Path

import pytest

from tests.support.engine import Engine
from tests.support.stack import free_port

EXAMPLE = Path(__file__).parents[2] / "examples/built"


def fetch(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "built"))


def test_a_changed_file_is_named_by_the_plan_and_replaces_what_runs(resident: Engine, stack: Path) -> None:
    port = free_port()
    variables = {"BUILT_PORT": str(port)}

    def run(*arguments: str, **more: str) -> str:
        done = resident.run(*arguments, cwd=stack, env={**variables, **more})
        return done.out + done.err

    try:
        assert "build image built-web\n      is not here" in run("plan")
        assert "Image built-web  Built" in run("up", "-d", "--wait")
        assert fetch(port) == "Hello from a built image, user 65534\n"
        assert "nothing to do" in run("plan")

        (stack / "app/notes.md").write_text("not part of the context", encoding="utf-8")
        assert "nothing to do" in run("plan")

        server = stack / "app/server.py"
        server.write_text(server.read_text(encoding="utf-8").replace(", user ", ", now user "), encoding="utf-8")
        plan = run("plan")
        assert "context: server.py changed" in plan and "container built-web-1  (replace, start-first)" in plan
        told = run("up", "-d", "--wait")
        assert "RUN echo" in told and told.count("(cached)") == 3
        assert fetch(port) == "Hello from a built image, now user 65534\n"

        assert "arg GREETING changed" in run("plan", GREETING="Moin")
        run("up", "-d", "--wait", GREETING="Moin")
        assert fetch(port) == "Moin from a built image, now user 65534\n"
        assert "nothing to do" in run("plan", GREETING="Moin")
        assert "nothing to do" in run("up", "-d", "--no-build")
    finally:
        run("down")
        resident.run("image", "rm", "built-web")


def test_a_build_that_fails_leaves_what_runs_alone_and_shows_its_line(resident: Engine, stack: Path) -> None:
    variables = {"BUILT_PORT": str(free_port())}
    try:
        resident.run("up", "-d", "--wait", cwd=stack, env=variables)
        before = resident.run("ps", "-q", cwd=stack).out
        dockerfile = stack / "app/Dockerfile"
        text = dockerfile.read_text(encoding="utf-8").replace("USER nobody", "RUN echo no such thing; exit 9")
        dockerfile.write_text(text, encoding="utf-8")
        failed = resident.run("up", "-d", cwd=stack, env=variables, status=1)
        line = text.splitlines().index("RUN echo no such thing; exit 9") + 1
        assert f"--> app/Dockerfile:{line}:1" in failed.err
        assert "ended with exit code 9\nIt wrote last:\n  no such thing" in failed.err
        assert resident.run("ps", "-q", cwd=stack).out == before
        dockerfile.unlink()
        nothing = resident.run("up", "-d", cwd=stack, env=variables, status=1).err
        assert "--> compose.yaml:6:" in nothing and "service web: the Dockerfile" in nothing
    finally:
        resident.run("down", cwd=stack, env=variables)
        resident.run("image", "rm", "built-web")


def test_a_folder_is_built_without_a_stack(resident: Engine, stack: Path) -> None:
    try:
        told = resident.run("image", "build", "-t", "greeter:1", "--build-arg", "GREETING=Moin", "app", cwd=stack)
        assert "Successfully tagged greeter:1" in told.out
        text = "FROM greeter:1\nCOPY . /copied\nRUN cat greeting && ls -A /copied && exit 3\n"
        (stack / "elsewhere").write_text(text, encoding="utf-8")
        failed = resident.run("image", "build", "-f", "elsewhere", "app", cwd=stack, status=1)
        assert "Moin from a built image\n" in failed.out
        assert "Dockerfile\nserver.py\n" in failed.out
        assert "elsewhere:3: the command ended with exit code 3" in failed.err
    finally:
        resident.run("image", "rm", "greeter:1", status=None)
