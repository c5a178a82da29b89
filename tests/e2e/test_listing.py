"""Commands that show what is there: columns, keys, exit codes, and which stream they write to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import Engine
from tests.support.stack import BUSYBOX, FOREVER, Stack, free_port, stack_in

PS_KEYS = """
    Command CreatedAt ExitCode Health ID Image Labels LocalVolumes Mounts Name Names Networks Ports Project
    Publishers RunningFor Service Size State Status
    """.split()
PORT = free_port()
SERVICES = {
    "web": {**FOREVER, "deploy": {"replicas": 2}, "ports": [f"{PORT}:80"], "volumes": ["data:/data"]},
    "loud": {**BUSYBOX, "command": "sh -c 'echo one; echo two; echo three >&2; exit 3'"},
    "other": FOREVER,
}


@pytest.fixture(scope="module")
def listed(resident: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with two replicas of ``web``, ``other``, and ``loud`` that has exited with 3."""
    with stack_in(resident, tmp_path_factory.mktemp("listed"), "listed") as stack:
        stack.write({**SERVICES, "idle": {**FOREVER, "profiles": ["never"]}}, volumes={"data": {}})
        stack.run("up", "-d")
        assert stack.run("wait", "loud", status=3).out.endswith("exited with status code 3\n")
        yield stack


def test_ps_shows_what_runs_and_all_what_has_ended_too(listed: Stack) -> None:
    head, *rows = listed.run("ps").out.splitlines()
    all_rows = listed.run("ps", "-a").out.splitlines()[1:]

    assert head.split() == ["NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS"]
    assert [row.split()[0] for row in rows] == ["listed-other-1", "listed-web-1", "listed-web-2"]
    assert [row.split()[0] for row in all_rows] == ["listed-loud-1", "listed-other-1", "listed-web-1", "listed-web-2"]
    assert re.search(r'busybox   "sleep 1000" +web +.* ago +Up .* +0\.0\.0\.0:\d+->80/tcp$', rows[1])
    assert re.search(r"Exited \(3\) .* ago *$", all_rows[0])


def test_ps_as_json_is_an_object_a_line_with_composes_keys(listed: Stack) -> None:
    rows = {row["Name"]: row for row in listed.run("ps", "-a", "--format", "json").rows()}

    web, loud = rows["listed-web-1"], rows["listed-loud-1"]
    assert sorted(web) == sorted(PS_KEYS)
    assert web["Publishers"] == [{"URL": "0.0.0.0", "TargetPort": 80, "PublishedPort": PORT, "Protocol": "tcp"}]
    assert (web["Project"], web["Service"], web["State"], web["ExitCode"]) == ("listed", "web", "running", 0)
    assert (web["Mounts"], web["LocalVolumes"], web["Networks"]) == ("listed_data", "1", "listed_default")
    assert (loud["State"], loud["ExitCode"], loud["Publishers"]) == ("exited", 3, [])
    assert "com.docker.compose.service=web" in web["Labels"].split(",")


@pytest.mark.parametrize(
    ("arguments", "out"),
    [
        (("ps", "--services"), "other\nweb\n"),
        (("ps", "-a", "--services"), "loud\nother\nweb\n"),
        (("ps", "--services", "--status", "exited"), "loud\n"),
        (("ps", "--services", "--filter", "status=exited"), "loud\n"),
        (("ps", "--services", "web"), "web\n"),
        (("ps", "-q", "loud"), ""),
        (("ps", "-q", "idle"), ""),
        (("logs", "--no-log-prefix", "loud"), "one\ntwo\nthree\n"),
        (("logs", "loud"), "loud-1  | one\nloud-1  | two\nloud-1  | three\n"),
        (("logs", "--tail", "1", "loud"), "loud-1  | three\n"),
        (("logs", "-n", "0", "loud"), ""),
        (("logs", "--until", "1h", "loud"), ""),
        (("logs", "--until", "2100-01-01", "--tail", "1", "loud"), "loud-1  | three\n"),
        (("logs", "-f", "--tail", "2", "loud"), "loud-1  | two\nloud-1  | three\n"),
        (("logs", "--no-color", "--index", "2", "web"), ""),
        (("port", "web", "80"), f"0.0.0.0:{PORT}\n"),
        (("port", "web"), f"80/tcp -> 0.0.0.0:{PORT}\n"),
        (("volumes", "-q"), "listed_data\n"),
        (("volumes",), "DRIVER    VOLUME NAME\nlocal     listed_data\n"),
        (("volumes", "-q", "other"), ""),
        (("config", "--services"), "loud\nother\nweb\n"),
        (("config", "--volumes"), "data\n"),
        (("config", "-q"), ""),
    ],
    ids=" ".join,
)
def test_what_is_shown_is_all_on_standard_output(listed: Stack, arguments: tuple[str, ...], out: str) -> None:
    result = listed.run(*arguments)

    assert sorted(result.out.splitlines()) == sorted(out.splitlines())
    assert result.err == ""


@pytest.mark.parametrize(
    ("command", "error", "hint"),
    [
        ("ps nothing", "error[no-such-service]: no such service: nothing", "the stack has idle, loud, other, web"),
        ("logs wbe", "error[no-such-service]: no such service: wbe", "did you mean `web`?"),
        (
            "logs --tail x",
            "error[usage]: invalid value for --tail: x",
            "write a number of lines, or all",
        ),
        (
            "port web 81",
            "error[port-not-published]: port 81/tcp of service web is not published",
            "published are 80/tcp",
        ),
        (
            "start idle",
            'error[no-container]: service "idle" has no container to start',
            "`stackctl up` creates containers",
        ),
        ("wait idle", "error[no-container]: no container of idle to wait for", "`stackctl up` creates containers"),
        (
            "ps --format xml",
            "error[usage]: invalid value for '--format': 'xml' is not one of 'table', 'json'",
            "`stackctl ps --help` shows how it is used",
        ),
        ("up --no-dep", "error[usage]: no such option: --no-dep", "did you mean `--no-deps`?"),
        ("pss", "error[unknown-command]: unknown command: pss", "did you mean `ps`?"),
        ("watch", "error[not-supported]: the command watch is not supported yet", ""),
        ("up --watch", "error[not-supported]: --watch is not supported yet", ""),
        ("up --scale web=two", "error[usage]: invalid number of replicas: web=two", "write SERVICE=NUMBER, as web=3"),
        ("kill -s NO web", "error[usage]: unknown signal: NO", "`kill -l` lists them"),
    ],
)
def test_what_cannot_be_done_is_an_error_on_standard_error(listed: Stack, command: str, error: str, hint: str) -> None:
    result = listed.run(*command.split(), status=1)

    assert result.err == f"{error}\nhint: {hint}\n" if hint else f"{error}\n"
    assert result.out == ""


def test_logs_have_the_time_they_were_written_at_when_asked(listed: Stack) -> None:
    lines = listed.run("logs", "-t", "--no-log-prefix", "loud").out.splitlines()

    assert [line.split()[1] for line in lines] == ["one", "two", "three"]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", line.split()[0]) for line in lines)


def test_a_long_line_and_one_that_goes_back_are_one_line_each(stack: Stack) -> None:
    script = r"head -c 300000 /dev/zero | tr \\0 x; printf 'y\n50%%\r100%%\n'"
    stack.write({"it": {**BUSYBOX, "command": ["sh", "-c", script]}})
    stack.run("up", "-d")
    stack.run("wait", "it")

    assert stack.run("logs").out == f"it-1  | {'x' * 300000}y\nit-1  | 50%\r100%\n"
    assert len(re.findall(r"\d{9}Z ", stack.run("logs", "-t").out)) == 2


def test_logs_end_when_the_reader_leaves(listed: Stack) -> None:
    process = listed.start("logs", "-f")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    listed.run("exec", "-T", "web", "sh", "-c", "echo more >/proc/1/fd/1")

    assert process.wait(10) == 1


def test_top_shows_processes_with_their_numbers_on_this_machine(listed: Stack) -> None:
    head, *rows = listed.run("top", "web").out.splitlines()

    assert head.split() == ["SERVICE", "#", "UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert [row.split()[:3] for row in rows] == [["web", "1", "root"], ["web", "2", "root"]]
    for row in rows:
        assert Path(f"/proc/{row.split()[3]}/cmdline").read_bytes() == b"sleep\x001000\0"


def test_images_are_those_of_the_containers(listed: Stack) -> None:
    head, *rows = listed.run("images").out.splitlines()
    shapes = listed.run("images", "--format", "json").json()

    assert re.split(r" {2,}", head) == ["CONTAINER", "REPOSITORY", "TAG", "PLATFORM", "IMAGE ID", "SIZE", "CREATED"]
    assert rows[0].split()[:3] == ["listed-loud-1", "busybox", "latest"]
    assert [shape["ContainerName"] for shape in shapes] == [row.split()[0] for row in rows]
    assert listed.run("images", "-q").out.strip() == shapes[0]["ID"].removeprefix("sha256:")


def test_stacks_are_listed_wherever_one_is(listed: Stack, tmp_path: Path) -> None:
    found = listed.engine.run("ls", "--format", "json", "--filter", "name=listed", cwd=tmp_path).json()
    shown = listed.engine.run("ls", "-a", "--filter", "name=listed", cwd=tmp_path).out.splitlines()

    assert found == [{"Name": "listed", "Status": "exited(1), running(3)", "ConfigFiles": str(listed.file)}]
    assert [re.split(r" {2,}", line) for line in shown] == [
        ["NAME", "STATUS", "CONFIG FILES"],
        ["listed", "exited(1), running(3)", str(listed.file)],
    ]
    assert listed.engine.run("ls", "-q", cwd=tmp_path).out == "listed\n"


def test_commands_about_containers_need_no_file_but_the_name(listed: Stack, tmp_path: Path) -> None:
    shown = listed.engine.run("-p", "listed", "ps", "--services", cwd=tmp_path)
    logs = listed.engine.run("-p", "listed", "logs", "--no-log-prefix", "loud", cwd=tmp_path)

    assert shown.out == "other\nweb\n"
    assert logs.out == "one\ntwo\nthree\n"


EMPTY = "NAME      IMAGE     COMMAND   SERVICE   CREATED   STATUS    PORTS\n"
NO_CONTAINER = "error[no-container]: the stack has no container to start\nhint: `stackctl up` creates containers\n"
NOT_RUNNING = 'error[not-running]: service "web" is not running\nhint: `stackctl up -d web` starts it\n'


@pytest.mark.parametrize(
    ("command", "status", "out", "err"),
    [
        ("ps", 0, EMPTY, ""),
        ("ps --format json", 0, "", ""),
        ("ps -q", 0, "", ""),
        ("logs", 0, "", ""),
        ("logs -f", 0, "", ""),
        ("down", 0, "", ""),
        ("stop", 0, "", ""),
        ("restart", 0, "", ""),
        ("top", 0, "", ""),
        ("kill", 0, "", "No container to kill\n"),
        ("rm -f", 0, "", "No stopped containers\n"),
        ("start", 1, "", NO_CONTAINER),
        ("exec web true", 1, "", NOT_RUNNING),
        ("port web 80", 1, "", NOT_RUNNING),
    ],
)
def test_of_nothing_there_is_nothing_to_do(
    resident: Engine, tmp_path: Path, command: str, status: int, out: str, err: str
) -> None:
    stack = Stack(resident, tmp_path, "nothing")
    stack.write(SERVICES, volumes={"data": {}})

    result = stack.run(*command.split(), status=status)

    assert (result.out, result.err) == (out, err)


def test_without_a_file_it_is_said_where_one_was_looked_for(resident: Engine, tmp_path: Path) -> None:
    for command in ("up", "config", "ps"):
        result = resident.run(command, cwd=tmp_path, status=1)

        assert result.err.startswith(f"error[file-not-found]: No stack file found\nNeither `{tmp_path}`")
        assert "hint: create compose.yaml, change folder, or name a file with -f\n" in result.err


def test_the_engine_tells_what_programs_need_to_know(resident: Engine) -> None:
    status = resident.status()

    assert status["running"] is True
    assert status["root"] == str(resident.root)
    assert status["api"].startswith("unix:///")
    assert Path(status["api"].removeprefix("unix://")).is_socket()
    for role in ("keeper", "supervisor", "daemon"):
        assert role in Path(f"/proc/{status['pids'][role]}/cmdline").read_text(encoding="utf-8")


def test_the_version_is_told_in_three_ways(resident: Engine) -> None:
    number = resident.run("version", "--short").out.strip()

    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", number)
    assert resident.run("version").out == f"stackctl version {number}\n"
    assert resident.run("version", "-f", "json").out == f'{{"version":"v{number}"}}\n'
