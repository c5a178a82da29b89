"""Clients that ask without pause while a service is updated: none is refused, cut off or left without an answer."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from stackctl.runtime.kernel.netns import in_netns
from tests.support import dns_client
from tests.support.engine import wait_until
from tests.support.net_lab import HOST_ADDRESS

if TYPE_CHECKING:
    from .conftest import Town

# A server as they should be: asked to end it takes no more connections, answers what it was asked, and says
# goodbye ("!") with the next answer on each connection. SICK never listens, and finds itself unwell.
SERVER = """\
import os, signal, socket, threading, time
version, over = os.environ["VERSION"], threading.Event()
if os.environ.get("SICK"):
    time.sleep(1000)
listener = socket.create_server(("0.0.0.0", 80), backlog=256)
def end(*_):
    over.set()
    listener.shutdown(socket.SHUT_RDWR)
signal.signal(signal.SIGTERM, end)
def serve(connection):
    with connection:
        while connection.recv(100):
            time.sleep(0.01)
            is_last = over.is_set()
            connection.sendall((version + "!" * is_last).encode())
            if is_last:
                return
threads = []
while True:
    try:
        connection, _ = listener.accept()
    except OSError:
        break
    threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
    threads[-1].start()
for thread in threads:
    thread.join(0.5)
"""
STACK = """
services:
  web:
    image: host
    init: true
    command: python3 -S -E /server.py
    environment: {VERSION: "1"}
    volumes: [./server.py:/server.py:ro, ./www:/www:MODE]
    ports: ["8080:80"]
    DEPLOY
  customer:
    image: busybox
    init: true
    command: sleep 1000
"""


@pytest.fixture
def up(town: Town) -> Iterator[Callable[..., None]]:
    """Bring the stack up in a version; takes it down at the end."""
    (town.folder / "server.py").write_text(SERVER, encoding="utf-8")
    (town.folder / "www").mkdir(exist_ok=True)

    def bring(
        version: str, deploy: str = "", *arguments: str, writes: bool = False, sick: str = "", status: int = 0
    ) -> None:
        text = STACK.replace('"1"', f'"{version}"{sick}').replace("MODE", "rw" if writes else "ro")
        town.up("load", text.replace("DEPLOY", deploy), *arguments, status=status)

    yield bring
    town.down("load")


def ask_once(client: socket.socket) -> str:
    """Ask over a connection, and return the answer; "no answer" when it was closed instead."""
    client.sendall(b"?")
    return client.recv(100).decode() or "no answer"


def answers(town: Town, number: int = 1) -> str:
    """Ask a replica once; "" when it does not listen yet."""
    address = town.address(f"load-web-{number}", "load_default")
    try:
        with socket.create_connection((address, 80), timeout=5) as client:
            return ask_once(client)
    except ConnectionError:
        return ""


class Load:
    """Clients of the published port, on a connection each time and on one they keep, and one of the service's name."""

    def __init__(self, town: Town) -> None:
        self.outcomes: Counter[str] = Counter()
        self._town = town
        self._over = threading.Event()

    def versions(self) -> set[str]:
        """Return what was answered so far, and what went wrong."""
        return {outcome.removesuffix("!") for outcome in list(self.outcomes)}

    @contextmanager
    def running(self) -> Iterator[Load]:
        """Ask for the length of the block; what happened is complete after it."""
        with self._town.entered("load-customer-1") as inside:
            outside = self._town.lab.outside
            bodies = [(outside, self._close), (outside, self._keep), (inside, self._by_name)]
            threads = [threading.Thread(target=self._run, args=body) for body in bodies]
            for thread in threads:
                thread.start()
            try:
                yield self
            finally:
                self._over.set()
                for thread in threads:
                    thread.join()

    def _run(self, netns: int, body: Callable[[], None]) -> None:
        with in_netns(netns):
            while not self._over.is_set():
                try:
                    body()
                except OSError as failure:
                    self.outcomes[f"{body.__name__}: {failure!r}"] += 1
                self._over.wait(0.003)

    def _close(self) -> None:
        with socket.create_connection((HOST_ADDRESS, 8080), timeout=10) as client:
            self.outcomes[ask_once(client)] += 1

    def _keep(self) -> None:
        with socket.create_connection((HOST_ADDRESS, 8080), timeout=10) as client:
            answer = ""
            while not self._over.is_set() and not answer.endswith(("!", "answer")):
                answer = ask_once(client)
                self.outcomes[answer] += 1
                self._over.wait(0.003)

    def _by_name(self) -> None:
        found = dns_client.ask(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), "web").values
        if not found:
            raise OSError("the name leads nowhere")
        with socket.create_connection((found[0], 80), timeout=10) as client:
            self.outcomes[ask_once(client)] += 1


@pytest.fixture
def load(town: Town) -> Load:
    return Load(town)


def settled(load: Load, version: str) -> Callable[[], bool]:
    """Say that only one version answers now."""

    def holds() -> bool:
        before = Counter(dict(load.outcomes))
        wait_until("somebody answers", lambda: load.outcomes.total() > before.total() + 20)
        return {outcome.removesuffix("!") for outcome in Counter(dict(load.outcomes)) - before} == {version}

    return holds


def test_no_request_fails_when_the_only_container_is_replaced_by_another(
    town: Town, load: Load, up: Callable[..., None]
) -> None:
    up("1")
    wait_until("version 1 is there", lambda: answers(town))
    with load.running():
        wait_until("version 1 answers", lambda: load.outcomes.total() > 10)
        up("2")
        wait_until("only version 2 answers", settled(load, "2"))
    assert load.versions() == {"1", "2"}


def test_no_request_fails_when_the_only_container_makes_way_first_or_is_restarted(
    town: Town, load: Load, up: Callable[..., None]
) -> None:
    up("1", writes=True)
    wait_until("version 1 is there", lambda: answers(town))
    with load.running():
        wait_until("version 1 answers", lambda: load.outcomes.total() > 10)
        up("2", writes=True)
        wait_until("only version 2 answers", settled(load, "2"))
        town.engine.run("-p", "load", "restart", "web")
        wait_until("it answers again", settled(load, "2"))
    assert load.versions() == {"1", "2"}


def test_no_request_fails_when_an_update_fails_and_is_rolled_back(
    town: Town, load: Load, up: Callable[..., None]
) -> None:
    deploy = "deploy: {replicas: 2, update_config: {order: start-first, failure_action: rollback, monitor: 100ms}}\n"
    deploy += "    healthcheck: {test: [CMD, sh, -c, 'test -z \"$$SICK\"'], interval: 100ms, retries: 2}"
    up("1", deploy)
    # What they say of their health comes before they listen.
    wait_until("both are there", lambda: answers(town, 1) and answers(town, 2))
    pids = [town.inspect(f"load-web-{number}")["State"]["Pid"] for number in (1, 2)]
    with load.running():
        wait_until("version 1 answers", lambda: load.outcomes.total() > 10)
        up("2", deploy, sick=", SICK: 'yes'", status=1)
    assert load.versions() == {"1"}
    assert [town.inspect(f"load-web-{number}")["State"]["Pid"] for number in (1, 2)] == pids


def test_no_request_fails_when_replicas_come_and_go(town: Town, load: Load, up: Callable[..., None]) -> None:
    up("1")
    wait_until("version 1 is there", lambda: answers(town))
    with load.running():
        wait_until("version 1 answers", lambda: load.outcomes.total() > 10)
        up("1", "", "--scale", "web=3")
        up("1", "", "--scale", "web=1")
    assert load.versions() == {"1"}


def test_datagrams_of_a_client_that_keeps_its_socket_go_to_the_new_container(town: Town) -> None:
    text = """
services:
  web:
    image: host
    init: true
    command: python3 -S -E /service.py
    environment: {VERSION: "1"}
    volumes: [./service.py:/service.py:ro]
    ports: ["8080:80", "8090:90/udp"]
"""
    town.up("datagrams", text)
    try:
        town.wait_until_it_serves("datagrams-web-1")
        with town.lab.client(town.lab.outside, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.connect((HOST_ADDRESS, 8090))

            def who() -> str:
                client.send(b"?")
                return client.recv(100).decode().split()[0]

            assert who() == town.name("datagrams-web-1")
            town.up("datagrams", text.replace('"1"', '"2"'))
            assert who() == town.name("datagrams-web-1")
    finally:
        town.down("datagrams")
