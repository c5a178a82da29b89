"""An engine that lives in a network namespace of its own, which plays the host, and what can be asked there."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from stackctl.client.engine_client import EngineClient
from stackctl.runtime.kernel.netns import in_netns, make_netns, open_netns
from tests.support import dns_client
from tests.support.engine import Engine, wait_until
from tests.support.name_server import NameServer
from tests.support.net_lab import OUTSIDE_ADDRESS, Lab

# Answers TCP on 80 and UDP on 90 with its host name and the caller's address.
SERVICE = """\
import socket, threading
name = socket.gethostname()
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("0.0.0.0", 90))
def echo():
    while True:
        _, caller = datagrams.recvfrom(100)
        datagrams.sendto(f"{name} {caller[0]}".encode(), caller)
threading.Thread(target=echo, daemon=True).start()
listener = socket.create_server(("0.0.0.0", 80), backlog=256)
while True:
    connection, caller = listener.accept()
    with connection:
        connection.sendall(f"{name} {caller[0]}".encode())
"""


class Town:
    """The tests' thread is in the host's namespace while this lives; commands it starts are, too.

    ``lab.outside`` is the neighbour 192.0.2.2, where a name server is that the host's resolv.conf names.
    """

    def __init__(self, lab: Lab, engine: Engine, folder: Path) -> None:
        self.lab = lab
        self.engine = engine
        self.folder = folder
        self.resolv_conf = folder / "resolv.conf"
        self.resolv_conf.write_text(f"nameserver {OUTSIDE_ADDRESS}\n", encoding="utf-8")
        (folder / "service.py").write_text(SERVICE, encoding="utf-8")
        with in_netns(lab.outside):
            self.names = NameServer(OUTSIDE_ADDRESS)
        lab.serve(lab.outside, 7000, "out")
        lab.stack.callback(self.names.close)
        self._opened: dict[str, int] = {}
        self._api = ""

    def start(self) -> None:
        """Start the engine. Only it sees the resolv.conf of the test, and it finds no program on its path."""
        stackctl = Path(sys.executable).with_name("stackctl")
        command = f"mount --bind {self.resolv_conf} /etc/resolv.conf && PATH=/nowhere exec {stackctl} engine start"
        argv = ["unshare", "--mount", "sh", "-c", command]
        subprocess.run(argv, env=self.engine.variables(), check=True, capture_output=True)
        self._api = self.engine.status()["api"]

    def up(self, stack: str, text: str, *arguments: str, status: int = 0) -> Any:
        """Bring a stack up from ``text``; its folder has ``service.py``."""
        file = self.folder / f"{stack}.yaml"
        file.write_text(f"name: {stack}\n{text}", encoding="utf-8")
        return self.engine.run("-f", str(file), "up", "-d", *arguments, status=status)

    def down(self, stack: str) -> None:
        """Take a stack down."""
        self.engine.run("-p", stack, "down", "-t", "0")

    def wait_until_it_serves(self, container: str, port: int = 80) -> None:
        """Return when something answers on ``port`` in the container."""
        with self.entered(container) as netns:
            wait_until(f"{container} serves", lambda: self._is_served(netns, port))

    def _is_served(self, netns: int, port: int) -> bool:
        try:
            return bool(self.lab.ask(netns, "127.0.0.1", port))
        except OSError:
            return False

    def inspect(self, container: str) -> dict[str, Any]:
        """Return what the API tells about a container."""
        return EngineClient(self._api).inspect_container(container)

    @contextmanager
    def entered(self, container: str) -> Iterator[int]:
        """Give the network namespace of a container, for the length of the block."""
        fd = open_netns(int(self.inspect(container)["State"]["Pid"]))
        try:
            yield fd
        finally:
            os.close(fd)

    def address(self, container: str, network: str) -> str:
        """Return a container's address on a network."""
        found: str = self.inspect(container)["NetworkSettings"]["Networks"][network]["IPAddress"]
        return found

    def name(self, container: str) -> str:
        """Return the host name of a container, which is what it answers with."""
        found: str = self.inspect(container)["Config"]["Hostname"]
        return found

    def ask(self, client: str | None, address: str, port: int, *, timeout: float = 2.0) -> str:
        """Connect from a container, or from the host; return "answer caller-address". Raises OSError."""
        if client is None:
            return self.lab.ask(None, address, port, timeout=timeout)
        with self.entered(client) as netns:
            return self.lab.ask(netns, address, port, timeout=timeout)

    def answers(self, netns: int | None, address: str, port: int, *, count: int = 4) -> Counter[str]:
        """Return who answered how often."""
        return Counter(self.lab.ask(netns, address, port).split()[0] for _ in range(count))

    def resolve(self, client: str, name: str, kind: int = dns_client.A) -> dns_client.Answer:
        """Ask a container's name server over UDP."""
        with self.entered(client) as netns:
            return dns_client.ask(self.lab.client(netns, socket.SOCK_DGRAM), name, kind)

    def resolve_tcp(self, client: str, name: str, kind: int = dns_client.A) -> dns_client.Answer:
        """Ask a container's name server over TCP."""
        with self.entered(client) as netns:
            return dns_client.ask_tcp(self.lab.client(netns, socket.SOCK_STREAM), name, kind)


@contextmanager
def town_in(folder: Path, archive: Path) -> Iterator[Town]:
    """Make a town below ``folder`` with the image busybox, and take all of it away afterwards."""
    host = make_netns()
    try:
        with in_netns(host), ExitStack() as stack:
            town = Town(Lab(stack), Engine(folder / "engine"), folder)
            town.start()
            stack.callback(town.engine.stop)
            town.engine.run("image", "load", "-i", str(archive))
            town.engine.run_once(folder)
            yield town
    finally:
        os.close(host)
