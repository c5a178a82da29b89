"""A laboratory: a network namespace that plays the host, others that play containers and the outside.

Nothing of it touches the machine's own network, and all of it ends with its descriptors.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress

from stackctl.runtime.kernel import rtnetlink
from stackctl.runtime.kernel.netlink import Netlink
from stackctl.runtime.kernel.netns import in_netns, make_netns
from stackctl.runtime.network.bridges import BridgeInfo, Endpoint, attach, bridge_name, create_bridge
from stackctl.runtime.network.firewall import FirewallNetwork

ENGINE = "abcdef"
HOST_ADDRESS = "192.0.2.1"
OUTSIDE_ADDRESS = "192.0.2.2"


class Lab:
    """The host of the tests is the namespace the test runs in; ``outside`` is a neighbour of it."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self._threads: list[threading.Thread] = []
        self._is_over = False
        stack.callback(self._end)
        self.netlink = Netlink()
        stack.callback(self.netlink.close)
        self.netlink.transact([rtnetlink.set_up(rtnetlink.LOOPBACK_INDEX)])
        self.outside = self.new_netns()
        veth = rtnetlink.create_veth("uplink", "eth0", netns_fd=self.outside)
        (link,) = self.netlink.transact([veth, rtnetlink.get_link("uplink")])
        index = rtnetlink.parse_link(link.body).ifindex
        self.netlink.transact([rtnetlink.add_address(index, HOST_ADDRESS, prefix=24)])
        with Netlink.inside(self.outside) as far:
            index = next(k.ifindex for k in rtnetlink.links(far) if k.name == "eth0")
            far.transact(
                [
                    rtnetlink.set_up(rtnetlink.LOOPBACK_INDEX),
                    rtnetlink.add_address(index, OUTSIDE_ADDRESS, prefix=24),
                    rtnetlink.set_up(index),
                ]
            )

    def new_netns(self) -> int:
        """An empty namespace that ends with the test."""
        fd = make_netns()
        self.stack.callback(os.close, fd)
        return fd

    def network(self, number: int, *, is_internal: bool = False) -> tuple[BridgeInfo, FirewallNetwork]:
        """A network 10.208.<16 * number>.0/20 with its bridge."""
        third = 16 * number
        name = bridge_name(ENGINE, f"{number:06x}")
        bridge = create_bridge(name, netlink=self.netlink, gateway=f"10.208.{third}.1", prefix=20)
        return bridge, FirewallNetwork(bridge.name, f"10.208.{third}.0/20", is_internal=is_internal)

    def container(self, *places: tuple[BridgeInfo, str], is_internal: bool = False) -> int:
        """A namespace with one interface for each (bridge, address)."""
        fd = self.new_netns()
        attach(
            fd,
            [
                Endpoint(bridge.index, address, bridge.prefix, "" if is_internal else bridge.gateway)
                for bridge, address in places
            ],
            netlink=self.netlink,
        )
        return fd

    def serve(self, netns: int, port: int, answer: str) -> None:
        """A TCP and a UDP service in ``netns``: both answer with ``answer`` and the caller's address."""
        with in_netns(netns):
            listener = socket.create_server(("0.0.0.0", port), backlog=256)
            datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            datagrams.bind(("0.0.0.0", port))
        self._run(listener, lambda: _answer(listener, answer))
        self._run(datagrams, lambda: _echo(datagrams, answer))

    def ask(self, netns: int | None, address: str, port: int, *, timeout: float = 2.0) -> str:
        """Connect from ``netns`` (None: the host) and return "answer caller-address"; raises OSError."""
        with self.client(netns, socket.SOCK_STREAM) as client:
            client.settimeout(timeout)
            client.connect((address, port))
            return client.recv(100).decode()

    def ask_udp(self, netns: int | None, address: str, port: int, *, timeout: float = 1.0) -> str:
        """The same with one datagram."""
        with self.client(netns, socket.SOCK_DGRAM) as client:
            client.settimeout(timeout)
            client.sendto(b"?", (address, port))
            return client.recv(100).decode()

    def client(self, netns: int | None, kind: socket.SocketKind) -> socket.socket:
        """A socket that lives in ``netns``."""
        if netns is None:
            return socket.socket(socket.AF_INET, kind)
        with in_netns(netns):
            return socket.socket(socket.AF_INET, kind)

    def _run(self, owned: socket.socket, body: Callable[[], None]) -> None:
        owned.settimeout(0.05)

        def until_the_end() -> None:
            while not self._is_over:
                try:
                    body()
                except TimeoutError:
                    continue
            owned.close()

        thread = threading.Thread(target=until_the_end)
        thread.start()
        self._threads.append(thread)

    def _end(self) -> None:
        self._is_over = True
        for thread in self._threads:
            thread.join()


def _answer(listener: socket.socket, answer: str) -> None:
    connection, caller = listener.accept()
    with connection, suppress(OSError):
        connection.sendall(f"{answer} {caller[0]}".encode())


def _echo(datagrams: socket.socket, answer: str) -> None:
    _, caller = datagrams.recvfrom(100)
    datagrams.sendto(f"{answer} {caller[0]}".encode(), caller)
