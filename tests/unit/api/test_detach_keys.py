"""The keys by which a client lets go of a terminal."""

from __future__ import annotations

import pytest

from stackctl.api.connection import BadRequest
from stackctl.api.detach_keys import DEFAULT, DetachKeys, parse_detach_keys


@pytest.mark.parametrize(
    ("text", "keys"), [("", DEFAULT), ("ctrl-a,x", b"\x01x"), ("ctrl-@", b"\0"), ("ctrl-\\,d", b"\x1cd"), ("q", b"q")]
)
def test_keys_are_read(text: str, keys: bytes) -> None:
    assert parse_detach_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-1", "ab", ",", "ctrl-"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="detach keys"):
        parse_detach_keys(text)


def test_the_keys_are_found_in_however_many_pieces_they_come() -> None:
    keys = DetachKeys(DEFAULT)

    assert keys.feed(b"ls\x10") == b"ls"
    assert not keys.are_complete
    assert keys.feed(b"\x11rest") == b""
    assert keys.are_complete


def test_a_beginning_that_does_not_go_on_is_typed_after_all() -> None:
    keys = DetachKeys(DEFAULT)

    assert keys.feed(b"\x10") == b""
    assert keys.feed(b"x") == b"\x10x"
    assert keys.feed(b"\x10\x10") == b"\x10"
    assert not keys.are_complete
