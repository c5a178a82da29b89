"""What of a service changes under its processes: they keep their pid, and what was asked for is so."""

from __future__ import annotations

import socket
from typing import Any

from stackctl.client.engine_client import EngineClient
from tests.support.engine import wait_until
from tests.support.stack import FOREVER, Stack, free_port

SERVER = {**FOREVER, "command": "httpd -f -p 80 -h /etc"}
OTHER = {**FOREVER, "networks": ["admin"]}


def write(stack: Stack, **web: Any) -> None:
    """Write a server that is on two networks, the second of which only another service is on otherwise."""
    stack.write({"web": {**SERVER, **web}, "other": OTHER}, networks={"default": {}, "admin": {}})


def inspect(stack: Stack) -> dict[str, Any]:
    """Return what Docker's clients are told of the server."""
    return EngineClient(stack.engine.status()["api"]).inspect_container(f"{stack.name}-web-1")


def answer(port: int) -> str:
    """Ask the server over a published port; "" when it refuses."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.sendall(b"GET /hostname HTTP/1.0\r\n\r\n")
            return "hello" if b" 200 OK" in client.recv(1000) else ""
    except ConnectionRefusedError:
        return ""


def test_all_that_is_not_the_process_itself_changes_under_it(stack: Stack) -> None:
    first, second = free_port(), free_port()
    write(stack, ports=[f"{first}:80"], labels={"team": "blue"})
    stack.run("up", "-d")
    before = inspect(stack)
    wait_until("it answers", lambda: answer(first) == "hello")

    write(
        stack,
        ports=[f"{second}:80"],
        labels={"team": "red"},
        networks={"default": {}, "admin": {"aliases": ["shopfront"]}},
        healthcheck={"test": ["CMD", "test", "-e", "/tmp/well"], "interval": "100ms", "retries": 1},
        logging={"options": {"max-file": "7"}},
        restart="always",
        stop_signal="SIGINT",
        stop_grace_period="1s",
        mem_limit="64m",
        cpus=0.5,
        pids_limit=50,
    )
    plan = stack.run("plan").out
    assert "update in place" in plan and "replace" not in plan
    stack.run("up", "-d")

    after = inspect(stack)
    assert (after["Id"], after["State"]["Pid"]) == (before["Id"], before["State"]["Pid"])
    assert after["State"]["StartedAt"] == before["State"]["StartedAt"]
    assert after["Config"]["Labels"]["team"] == "red"
    assert (after["HostConfig"]["Memory"], after["HostConfig"]["PidsLimit"]) == (64 << 20, 50)
    assert (answer(first), answer(second)) == ("", "hello")
    stack.run("exec", "-T", "other", "wget", "-q", "-O", "-", "http://shopfront/hostname")
    wait_until("the new check finds it unwell", lambda: inspect(stack)["State"]["Health"]["Status"] == "unhealthy")
    stack.run("exec", "-T", "web", "touch", "/tmp/well")
    wait_until("the new check finds it well", lambda: inspect(stack)["State"]["Health"]["Status"] == "healthy")
    assert stack.run("plan", "--json", "--detailed-exitcode").json()["steps"] == []

    write(stack)
    stack.run("up", "-d")
    back = inspect(stack)
    assert back["State"]["Pid"] == before["State"]["Pid"]
    assert (answer(second), "Health" in back["State"]) == ("", False)
    assert list(back["NetworkSettings"]["Networks"]) == [f"{stack.name}_default"]


def test_a_host_port_that_is_taken_is_refused_and_nothing_changes(stack: Stack) -> None:
    mine = free_port()
    write(stack, ports=[f"{mine}:80"])
    stack.run("up", "-d")
    with socket.create_server(("", 0)) as held:
        write(stack, ports=[f"{held.getsockname()[1]}:80"])
        assert "port-taken" in stack.run("up", "-d", status=1).err
        wait_until("the old port still leads there", lambda: answer(mine) == "hello")
