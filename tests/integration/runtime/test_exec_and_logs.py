"""Entering a running container, and reading what containers wrote."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.composed import Composed, composed, one_service
from tests.support.engine import Engine, wait_until

_STACK = """
    name: inside
    services:
      web:
        image: busybox
        command: sleep 1000
        stop_grace_period: 0s
        environment: {A: from the service, B: kept}
        working_dir: /home
"""


@pytest.fixture(scope="module")
def stack(shared_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    with composed(shared_engine, tmp_path_factory.mktemp("stack"), _STACK, "-d") as running:
        yield running


def test_a_command_has_the_services_environment_user_and_folder(stack: Composed) -> None:
    out = stack.sh("web", "echo $A; echo $B; pwd; id -u; echo $HOSTNAME; echo $HOME; echo ${TERM-none}").splitlines()

    assert out[:4] == ["from the service", "kept", "/home", "0"]
    assert out[4:] == [stack.sh("web", "hostname").strip(), "/root", "none"]


def test_a_command_can_have_others(stack: Composed) -> None:
    flags = ("-e", "A=mine", "-e", "C=new", "-u", "65534", "-w", "/tmp")
    out = stack.run("exec", "-T", *flags, "web", "sh", "-c", "echo $A $B $C; pwd; id -u; echo $HOME").out

    assert out.splitlines() == ["mine kept new", "/tmp", "65534", "/home"]


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (("true",), 0),
        (("sh", "-c", "exit 42"), 42),
        (("sh", "-c", "kill -TERM $$"), 143),
        (("sh", "-c", "kill -SEGV $$"), 139),
        (("nosuch",), 127),
        (("/bin/nosuch",), 127),
        (("/etc/passwd",), 126),
        (("/etc",), 126),
    ],
)
def test_the_exit_code_is_what_a_shell_would_say(stack: Composed, argv: tuple[str, ...], code: int) -> None:
    assert stack.exec("web", *argv, status=None).status == code
    assert stack.once("web", *argv, status=None).status == (0 if "$$" in argv[-1] else code)


def test_input_output_and_errors_are_passed_apart(stack: Composed) -> None:
    data = os.urandom(1 << 20)

    result = subprocess.run(
        [str(Path(os.sys.executable).with_name("stackctl")), "exec", "-T", "web", "sh", "-c", "echo aside >&2; cat"],
        input=data,
        capture_output=True,
        cwd=stack.folder,
        env=stack.engine.variables(),
        check=True,
    )

    assert hashlib.sha256(result.stdout).digest() == hashlib.sha256(data).digest()
    assert result.stderr == b"aside\n"


def test_a_folder_that_is_not_there_is_an_error(stack: Composed) -> None:
    result = stack.run("exec", "-T", "-w", "/nope", "web", "pwd", status=None)

    assert result.status not in (0, None)
    assert "working directory: /nope: No such file or directory" in result.err


def test_a_descriptor_is_no_working_directory(stack: Composed) -> None:
    for number in range(3, 12):
        result = stack.run("exec", "-T", "-w", f"/proc/self/fd/{number}", "web", "ls", status=None)
        assert result.status != 0, result


def test_a_command_ends_with_the_container(shared_engine: Engine, tmp_path: Path) -> None:
    with composed(shared_engine, tmp_path / "s", one_service("command: sleep 1000"), "-d") as own:
        inside = own.engine.start("exec", "-T", "web", "sh", "-c", "echo in; sleep 1000", cwd=own.folder)
        assert inside.stdout is not None
        assert inside.stdout.readline() == b"in\n"

        own.run("kill", "web")

        with inside.stdout:
            assert inside.wait(20) == 137


def test_nothing_can_be_entered_that_does_not_run(shared_engine: Engine, tmp_path: Path) -> None:
    with composed(shared_engine, tmp_path / "s", one_service("command: 'true'")) as own:
        own.run("up", "-d")
        own.wait_for("web", State="exited")

        result = own.exec("web", "true", status=None)

    assert result.status != 0
    assert "not running" in result.err


# -- logs ------------------------------------------------------------------------------------------


def _written(engine: Engine, folder: Path, script: str, settings: str = "") -> Iterator[Composed]:
    text = f"name: one\nservices:\n  web:\n    image: busybox\n    command: [sh, -c, {script!r}]\n{settings}"
    with composed(engine, folder / "s", text) as stack:
        stack.run("up", "-d")
        stack.wait_for("web", State="exited")
        yield stack


def test_both_streams_are_kept_apart_and_in_order(shared_engine: Engine, tmp_path: Path) -> None:
    script = "for i in 1 2 3; do echo out $$i; sleep 0.05; echo err $$i >&2; sleep 0.05; done"
    for stack in _written(shared_engine, tmp_path, script):
        result = stack.run("logs", "--no-log-prefix", "--no-color", "web")

    lines = [f"{stream} {i}\n" for i in (1, 2, 3) for stream in ("out", "err")]
    assert result.out + result.err == "".join(lines) or (
        result.out == "out 1\nout 2\nout 3\n" and result.err == "err 1\nerr 2\nerr 3\n"
    )


def test_the_last_lines_and_the_times_can_be_asked_for(shared_engine: Engine, tmp_path: Path) -> None:
    for stack in _written(shared_engine, tmp_path, "seq 1 1000"):
        tail = stack.logs("web", "--tail", "3")
        none = stack.logs("web", "--tail", "0")
        timed = stack.logs("web", "-t", "--tail", "2").splitlines()
        whole = stack.logs("web")

    assert (tail, none) == ("998\n999\n1000\n", "")
    assert [re.sub(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ", "", line) for line in timed] == ["999", "1000"]
    assert whole == "".join(f"{i}\n" for i in range(1, 1001))


def test_a_line_of_ten_megabytes_and_one_without_an_end_come_back_whole(shared_engine: Engine, tmp_path: Path) -> None:
    for stack in _written(shared_engine, tmp_path, "yes | tr -d '\\n' | head -c 10000000; echo; printf end"):
        found = stack.logs("web")

    # What is printed comes in parts of some size, one a line.
    assert found.replace("\n", "") == "y" * 10_000_000 + "end"


def test_binary_output_is_kept_byte_for_byte(shared_engine: Engine, tmp_path: Path) -> None:
    text = one_service("command: [sh, -c, 'cat /bin/busybox'], stop_grace_period: 0s")
    with composed(shared_engine, tmp_path / "s", text) as stack:
        stack.run("up", "-d")
        stack.wait_for("web", State="exited")
        folder = next((shared_engine.root / "containers").glob(f"{stack.row('web')['ID']}*")) / "log"
        kept = b"".join(path.read_bytes() for path in sorted(folder.glob("*.log")))

    assert kept == Path("/bin/busybox").read_bytes()


def test_logs_are_rotated_without_loss_of_the_newest(shared_engine: Engine, tmp_path: Path) -> None:
    settings = '    logging: {options: {max-size: "64k", max-file: "3"}}\n'
    for stack in _written(shared_engine, tmp_path, "seq 1 100000", settings):
        lines = [int(line) for line in stack.logs("web").splitlines()]
        tail = stack.logs("web", "--tail", "2")
        files = list((shared_engine.root / "containers").glob(f"{stack.row('web')['ID']}*/log/*.log"))

    assert tail == "99999\n100000\n"
    assert lines[-1] == 100_000 and len(lines) > 1000
    assert lines[1:] == list(range(lines[1], 100_001))
    assert len(files) == 3


def test_following_ends_with_the_container(shared_engine: Engine, tmp_path: Path) -> None:
    text = one_service("command: [sh, -c, 'echo one; until [ -e /go ]; do sleep 0.05; done; echo two']")
    with composed(shared_engine, tmp_path / "s", text, "-d") as stack:
        reader = stack.engine.start("logs", "-f", "--no-log-prefix", "--no-color", cwd=stack.folder)
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"one\n"
        stack.sh("web", "touch /go")

        with reader.stdout:
            assert reader.stdout.read() == b"two\n"
        assert reader.wait(20) == 0


def test_a_reader_that_is_slow_does_not_stop_the_container(shared_engine: Engine, tmp_path: Path) -> None:
    text = one_service("command: [sh, -c, 'seq 1 200000; echo done > /dev/stderr; sleep 1000'], stop_grace_period: 0s")
    with composed(shared_engine, tmp_path / "s", text, "-d") as stack:
        reader = stack.engine.start("logs", "-f", cwd=stack.folder)
        try:
            wait_until("all is written", lambda: "done" in stack.run("logs", "--tail", "1").out)
        finally:
            reader.kill()
            reader.communicate()
