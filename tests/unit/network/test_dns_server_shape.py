"""The DNS server over plain sockets, without namespaces: what the loop sees."""

from __future__ import annotations

import socket
from collections.abc import Callable

from stackctl.runtime.network import dns
from stackctl.runtime.network.dns_forward import Forwarder


class Due:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class FakeLoop:
    """Nothing happens by itself."""

    def __init__(self) -> None:
        self.watched: dict[int, Callable[[], None]] = {}
        self.due: list[Due] = []

    def register(self, fd: int, callback: Callable[[], None], events: int = 1) -> None:  # noqa: ARG002
        assert fd not in self.watched
        self.watched[fd] = callback

    def unregister(self, fd: int) -> None:
        self.watched.pop(fd, None)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Due:  # noqa: ARG002
        self.due.append(Due(callback))
        return self.due[-1]

    def expire(self) -> None:
        due, self.due = self.due, []
        for timer in due:
            if timer.callback is not None:
                timer.callback()


DATA = b"\0\7\1\0\0\1\0\0\0\0\0\0\3web\0\0\1\0\1"


def asked() -> dns.Query:
    query = dns.parse_query(DATA)
    assert isinstance(query, dns.Query)
    return query


class Exchange:
    def __init__(self, *servers: str) -> None:
        self.loop = FakeLoop()
        self.upstream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.upstream.bind(("127.0.0.1", 0))
        self.upstream.settimeout(2)
        self.answers: list[bytes] = []
        self.forwarder = Forwarder(self.loop, port=self.upstream.getsockname()[1])
        self.forwarder.ask("c", asked(), DATA, servers=servers, reply=self.answers.append, is_tcp=False)

    def run(self) -> None:
        for callback in list(self.loop.watched.values()):
            callback()


def test_an_answer_comes_back_under_the_clients_id_and_forged_ones_do_not() -> None:
    exchange = Exchange("127.0.0.1")
    with exchange.upstream as upstream:
        data, client = upstream.recvfrom(512)
        good = dns.answer_addresses(asked(), ["203.0.113.9"])
        identity = int.from_bytes(data[:2], "big")
        upstream.sendto(dns.with_id(good, identity ^ 1), client)
        exchange.run()
        assert exchange.answers == []
        upstream.sendto(dns.with_id(good, identity), client)
        exchange.run()
    assert exchange.answers == [good]
    assert exchange.loop.watched == {}
    assert all(timer.callback is None for timer in exchange.loop.due)


def test_servers_that_cannot_be_asked_are_passed_over_and_silence_fails_in_the_end() -> None:
    exchange = Exchange("not an address", "::1%nowhere", "127.0.0.1")
    with exchange.upstream as upstream:
        upstream.recvfrom(512)
        exchange.loop.expire()
    assert [answer[3] & 15 for answer in exchange.answers] == [dns.Code.SERVER_FAILURE]
    assert exchange.loop.watched == {}


def test_a_container_that_ended_is_not_answered() -> None:
    exchange = Exchange("127.0.0.1")
    with exchange.upstream:
        exchange.forwarder.forget("c")
        exchange.loop.expire()
    assert exchange.answers == []
    assert exchange.loop.watched == {}


def test_one_container_cannot_ask_without_end() -> None:
    exchange = Exchange("127.0.0.1")
    with exchange.upstream:
        for _ in range(300):
            exchange.forwarder.ask(
                "c", asked(), DATA, servers=("127.0.0.1",), reply=exchange.answers.append, is_tcp=False
            )
        assert len(exchange.answers) == 300 + 1 - 256
        exchange.forwarder.forget("c")
