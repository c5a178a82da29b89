"""Starting, stopping and ending: init, signals, terminals, restart policies, exit codes, settings of the kernel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.composed import Composed, composed, one_service
from tests.support.engine import Engine, wait_until

_ENDING = """
    name: ending
    services:
      term:
        image: busybox
        command: ["sh", "-c", "trap 'echo got TERM; exit 3' TERM; echo ready; LOOP"]
      usr1:
        image: busybox
        command: ["sh", "-c", "trap 'echo got USR1; exit 3' USR1; echo ready; LOOP"]
        stop_signal: SIGUSR1
      deaf:
        image: busybox
        command: ["sh", "-c", "trap '' TERM; echo ready; LOOP"]
        stop_grace_period: 300ms
""".replace("LOOP", "while true; do sleep 0.05; done")
_STACK = """
    name: life
    services:
      web: &it {image: busybox, command: sleep 1000, stop_grace_period: 0s}
      init: {<<: *it, init: true}
      sysctls:
        <<: *it
        sysctls: {net.core.somaxconn: 77, net.ipv4.ip_unprivileged_port_start: 500, kernel.shmmax: 123456}
        network_mode: none
      joined:
        <<: *it
        sysctls: [net.ipv4.ip_unprivileged_port_start=600, net.ipv4.conf.eth0.log_martians=1, fs.mqueue.msg_max=20]
      tty: {<<: *it, command: sh, tty: true, stdin_open: true}
      input: {<<: *it, command: cat, stdin_open: true}
"""


@pytest.fixture(scope="module")
def stack(shared_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    with composed(shared_engine, tmp_path_factory.mktemp("stack"), _STACK, "-d") as running:
        yield running


def test_init_is_the_first_process_and_reaps_orphans(stack: Composed) -> None:
    script = "(sh -c 'sleep 0.1 & echo $!' ); "
    orphan = stack.sh("init", script).strip()

    wait_until("the orphan is reaped", lambda: stack.exec("init", "ls", f"/proc/{orphan}", status=None).status != 0)
    assert stack.sh("init", "cat /proc/1/cmdline | tr '\\0' ' '") == "/dev/init /bin/sleep 1000 "
    assert stack.sh("init", "ls /proc/1/fd").split() == ["0", "1", "2"]


def test_without_init_orphans_stay_as_zombies(shared_engine: Engine, tmp_path: Path) -> None:
    text = one_service("command: sleep 1000, stop_grace_period: 0s")
    with composed(shared_engine, tmp_path / "s", text, "-d") as stack:
        orphan = stack.sh("web", "(sh -c 'sleep 0.01 & echo $!' ); sleep 0.1").strip()

        assert "(zombie)" in stack.sh("web", f"cat /proc/{orphan}/status")


@pytest.mark.parametrize(("signal", "code"), [("TERM", 143), ("USR1", 138), ("KILL", 137)])
def test_init_passes_signals_on_and_ends_as_its_child_did(
    shared_engine: Engine, tmp_path: Path, signal: str, code: int
) -> None:
    text = one_service("command: sleep 1000, init: true, stop_grace_period: 9s")
    with composed(shared_engine, tmp_path / "s", text, "-d") as stack:
        stack.run("kill", "-s", signal, "web")

        assert stack.wait_for("web", State="exited")["ExitCode"] == code


def test_sysctls_are_of_the_container_alone(stack: Composed) -> None:
    port_start = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
    paths = f"/proc/sys/net/core/somaxconn {port_start} /proc/sys/kernel/shmmax"

    assert stack.sh("sysctls", f"cat {paths}").split() == ["77", "500", "123456"]
    # Of another container: what Docker gives, and the kernel's default.
    assert stack.sh("web", f"cat {port_start} /proc/sys/net/ipv4/ping_group_range").split() == ["0", "0", "2147483647"]


def test_sysctls_of_interfaces_are_written_when_these_exist(stack: Composed) -> None:
    paths = "ip_unprivileged_port_start conf/eth0/log_martians"

    assert stack.sh("joined", f"cd /proc/sys/net/ipv4; cat {paths}").split() == ["600", "1"]
    assert stack.sh("joined", "cat /proc/sys/fs/mqueue/msg_max").strip() == "20"


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ("sysctls: [kernel.panic=1]", "kernel.panic"),
        ("sysctls: [net.core.somaxconn=1], network_mode: host", "net.core.somaxconn"),
        ("sysctls: [kernel.sem=1 2 3 4], ipc: host", "kernel.sem"),
        ("sysctls: [net.no.such=1]", "net.no.such"),
    ],
)
def test_a_sysctl_that_is_not_the_containers_is_refused(
    shared_engine: Engine, tmp_path: Path, settings: str, name: str
) -> None:
    text = one_service(f"command: sleep 9, {settings}")
    with composed(shared_engine, tmp_path / "s", text) as stack:
        result = stack.run("up", "-d", status=None)

    assert result.status != 0
    assert name in result.err


def test_a_terminal_is_the_containers_own(stack: Composed) -> None:
    out = stack.sh("tty", "ls -l /proc/1/fd | sed 's/.*-> //'; readlink /proc/1/fd/0; grep console /proc/self/mounts")

    assert out.splitlines()[-2] == "/dev/pts/0"
    assert out.splitlines()[-1].startswith("devpts /dev/console devpts ")
    assert stack.sh("tty", "stat -c '%a %u:%g %t:%T' /dev/console /dev/pts/0").splitlines() == ["620 0:5 88:0"] * 2
    assert stack.sh("tty", "tr '\\0' '\\n' < /proc/1/environ | grep TERM").strip() == "TERM=xterm"


def test_without_a_terminal_there_is_no_console(stack: Composed) -> None:
    assert stack.exec("web", "ls", "/dev/console", status=1).out == ""


def test_open_input_waits_and_none_is_at_its_end(stack: Composed) -> None:
    assert stack.row("input")["State"] == "running"
    assert stack.sh("input", "readlink /proc/1/fd/0").startswith("pipe:")
    assert stack.sh("web", "readlink /proc/1/fd/0").strip() == "/dev/null"


def test_a_command_run_with_input_sees_its_end(stack: Composed) -> None:
    assert stack.once("web", "cat", stdin="one\ntwo\n").out == "one\ntwo\n"


@pytest.mark.parametrize(("service", "signal"), [("term", "TERM"), ("usr1", "USR1")])
def test_the_stop_signal_lets_a_service_end_by_itself(
    shared_engine: Engine, tmp_path: Path, service: str, signal: str
) -> None:
    with composed(shared_engine, tmp_path / "s", _ENDING) as stack:
        stack.run("up", "-d", service)
        wait_until("it is ready", lambda: "ready" in stack.logs(service))

        stack.run("stop", service)

        assert stack.row(service)["ExitCode"] == 3
        assert stack.logs(service).splitlines() == ["ready", f"got {signal}"]


def test_who_ignores_the_stop_signal_is_killed_after_its_grace(shared_engine: Engine, tmp_path: Path) -> None:
    with composed(shared_engine, tmp_path / "s", _ENDING) as stack:
        stack.run("up", "-d", "deaf")
        wait_until("it is ready", lambda: "ready" in stack.logs("deaf"))

        stack.run("stop", "deaf")

        assert stack.row("deaf")["ExitCode"] == 137


@pytest.mark.parametrize(("command", "code"), [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$$$", 137)])
def test_exit_codes_are_those_of_a_shell(stack: Composed, command: str, code: int) -> None:
    # The shell is not the first process: that one cannot kill itself.
    assert stack.once("web", "sh", "-c", f"sh -c '{command.replace('$$', '$')}'; exit $?", status=None).status == code


def test_a_policy_on_failure_tries_as_often_as_it_says(shared_engine: Engine, tmp_path: Path) -> None:
    text = one_service("command: [sh, -c, 'echo run; exit 4'], restart: 'on-failure:2'")
    with composed(shared_engine, tmp_path / "s", text) as stack:
        stack.run("up", "-d", status=None)
        wait_until("it ran three times", lambda: stack.logs("web") == "run\n" * 3)

        assert stack.wait_for("web", State="exited")["ExitCode"] == 4


def test_a_policy_on_failure_leaves_success_alone(shared_engine: Engine, tmp_path: Path) -> None:
    text = one_service("command: [sh, -c, 'echo run'], restart: on-failure")
    with composed(shared_engine, tmp_path / "s", text) as stack:
        stack.run("up", "-d", status=None)

        assert stack.wait_for("web", State="exited")["ExitCode"] == 0
        assert stack.logs("web") == "run\n"


@pytest.mark.parametrize("policy", ["always", "unless-stopped"])
def test_other_policies_bring_it_back_until_it_is_stopped(shared_engine: Engine, tmp_path: Path, policy: str) -> None:
    text = one_service(f"command: [sh, -c, 'echo run'], restart: {policy}")
    with composed(shared_engine, tmp_path / "s", text) as stack:
        stack.run("up", "-d", status=None)
        wait_until("it ran again", lambda: stack.logs("web").startswith("run\n" * 3))

        stack.run("stop", "-t", "0")
        runs = stack.logs("web")

        assert stack.row("web")["State"] == "exited"
        assert stack.logs("web") == runs


@pytest.mark.parametrize(("signal", "code"), [("KILL", 137), ("TERM", 143)])
def test_a_killed_container_is_not_brought_back(shared_engine: Engine, tmp_path: Path, signal: str, code: int) -> None:
    text = one_service("command: sleep 1000, init: true, restart: always")
    with composed(shared_engine, tmp_path / "s", text, "-d") as stack:
        stack.run("kill", "-s", signal, "web")

        assert stack.wait_for("web", State="exited")["ExitCode"] == code


def test_what_is_brought_back_tells_how_it_ended(shared_engine: Engine, tmp_path: Path) -> None:
    text = one_service("command: [sh, -c, 'echo run; exit 4'], restart: always")
    rows: list[dict[str, Any]] = []
    with composed(shared_engine, tmp_path / "s", text) as stack:
        stack.run("up", "-d", status=None)

        def has_run_often() -> bool:
            rows.append(stack.row("web"))
            return stack.logs("web").startswith("run\n" * 4)

        wait_until("it ran again and again", has_run_often)

    assert {row["ExitCode"] for row in rows if row["State"] == "restarting"} == {4}


_FAILING = "command: [sh, -c, 'echo ran >>/told/it; exit 1'], volumes: ['./told:/told'], deploy: {restart_policy: %s}"


@pytest.mark.parametrize(
    ("policy", "is_again"),
    [
        ("{condition: any, delay: 500s}", False),
        ("{condition: on-failure, max_attempts: 1, window: 1ms}", True),
    ],
)
def test_a_restart_comes_as_late_and_as_often_as_its_policy_says(
    shared_engine: Engine, tmp_path: Path, policy: str, is_again: bool
) -> None:
    told = tmp_path / "s" / "told" / "it"
    with composed(shared_engine, tmp_path / "s", one_service(_FAILING % policy), "-d") as stack:
        if is_again:  # each run was long enough to count as good
            wait_until("it ran three times", lambda: told.read_text().count("ran") > 2)
            return
        stack.wait_for("web", State="restarting")
        stack.once("web", "true")

        assert told.read_text() == "ran\n"


def test_a_container_may_ask_the_engine_that_runs_it(shared_engine: Engine, tmp_path: Path) -> None:
    script = (
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/var/run/docker.sock');"
        r" s.send(b'GET /_ping HTTP/1.0\r\n\r\n'); print(s.makefile().read())"
    )
    text = one_service("command: sleep 1000, use_api_socket: true").replace("busybox", "host")
    with composed(shared_engine, tmp_path / "s", text) as stack:
        assert stack.once("web", "python3", "-c", script).out.rstrip().endswith("OK")
