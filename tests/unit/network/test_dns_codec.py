from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from stackctl.runtime.network import dns


def ask(name: str, kind: int = dns.TYPE_A, *, edns: int = 0, identity: int = 7, cls: int = 1) -> bytes:
    labels = b"".join(bytes((len(part),)) + part.encode() for part in name.split(".") if part) + b"\0"
    opt = struct.pack(">BHHIH", 0, 41, edns, 0, 0) if edns else b""
    header = struct.pack(">HHHHHH", identity, 0x0100, 1, 0, 0, 1 if edns else 0)
    return header + labels + struct.pack(">HH", kind, cls) + opt


def query(*arguments: object, **options: object) -> dns.Query:
    parsed = dns.parse_query(ask(*arguments, **options))  # type: ignore[arg-type]
    assert isinstance(parsed, dns.Query)
    return parsed


def counts(message: bytes) -> tuple[int, int, int]:
    """Response code, answers, truncated."""
    _, flags, _, answers, _, _ = struct.unpack_from(">HHHHHH", message)
    return flags & 15, answers, flags >> 9 & 1


def test_names_are_read_without_regard_to_case_and_final_dot() -> None:
    assert query("WeB.Shop.").name == "web.shop"


def test_an_answer_repeats_the_question_as_it_was_asked() -> None:
    message = dns.answer_addresses(query("WeB"), ["10.0.0.1", "10.0.0.2"])
    assert message[:2] == b"\0\7"
    assert b"\x03WeB\0" in message
    assert message.endswith(b"\x0a\0\0\2")
    assert counts(message) == (0, 2, 0)


def test_a_known_name_has_no_ipv6_address_rather_than_being_unknown() -> None:
    assert counts(dns.answer_addresses(query("web", dns.TYPE_AAAA), ["10.0.0.1"])) == (0, 0, 0)


def test_an_unknown_name_is_an_error_of_the_name() -> None:
    assert counts(dns.answer_code(query("web"), dns.Code.NAME_ERROR)) == (3, 0, 0)


def test_a_long_answer_is_cut_over_udp_only() -> None:
    many = [f"10.0.{n // 250}.{n % 250 + 1}" for n in range(500)]
    code, kept, cut = counts(plain := dns.answer_addresses(query("web"), many))
    assert (code, cut) == (0, 1)
    assert 0 < kept < 40
    assert len(plain) <= 512
    larger = dns.answer_addresses(query("web", edns=4096), many)
    assert 512 < len(larger) <= 1232
    assert counts(dns.answer_addresses(query("web"), many, is_tcp=True)) == (0, 500, 0)


def test_reverse_questions_name_an_address() -> None:
    assert query("2.0.208.10.in-addr.arpa", dns.TYPE_PTR).reverse_address == "10.208.0.2"
    assert query("2.0.208.in-addr.arpa", dns.TYPE_PTR).reverse_address == ""
    message = dns.answer_names(query("2.0.208.10.in-addr.arpa", dns.TYPE_PTR), ["web.shop"])
    assert message.endswith(b"\x03web\x04shop\0")


def test_what_is_no_query_is_not_answered_and_a_broken_one_is() -> None:
    assert dns.parse_query(b"") is None
    assert dns.parse_query(dns.answer_code(query("web"), dns.Code.NO_ERROR)) is None
    broken = dns.parse_query(ask("web")[:-3])
    assert isinstance(broken, bytes)
    assert counts(broken) == (1, 0, 0)
    update = dns.parse_query(struct.pack(">HHHHHH", 1, 5 << 11, 1, 0, 0, 0))
    assert isinstance(update, bytes)
    assert counts(update) == (4, 0, 0)


@given(st.binary(max_size=600))
def test_no_bytes_make_it_fail(data: bytes) -> None:
    parsed = dns.parse_query(data)
    if isinstance(parsed, dns.Query):
        assert len(parsed.name) <= 253
        dns.answer_addresses(parsed, ["10.0.0.1"])
        assert len(parsed.reverse_address) <= 15
    dns.answers(data, query("web"), 7)


@given(st.binary(max_size=40), st.integers(0, 60), st.binary(max_size=3))
def test_no_damage_to_a_good_query_makes_it_fail(tail: bytes, position: int, change: bytes) -> None:
    good = ask("web.shop", edns=1232) + tail
    damaged = good[:position] + change + good[position + len(change) :]
    parsed = dns.parse_query(damaged)
    if isinstance(parsed, dns.Query):
        dns.answer_names(parsed, ["x" * 100 + ".ä.€", ""])


def test_only_the_answer_to_the_question_is_taken() -> None:
    asked = query("web", identity=7)
    answer = dns.answer_addresses(asked, ["10.0.0.1"])
    assert dns.answers(answer, asked, 7)
    assert not dns.answers(answer, asked, 8)
    assert not dns.answers(answer, query("db"), 7)
    assert not dns.answers(ask("web"), asked, 7)
    assert dns.answers(dns.with_id(answer, 9), asked, 9)
