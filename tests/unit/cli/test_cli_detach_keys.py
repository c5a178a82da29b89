"""Keys that leave a container: seen in any pieces, and nothing else is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.cli.detach_keys import DEFAULT, DetachKeys, parse_keys
from stackctl.errors import UsageError


@pytest.mark.parametrize(
    ("text", "keys"),
    [(DEFAULT, b"\x10\x11"), ("", b""), ("x", b"x"), ("ctrl-a,b,CTRL-C", b"\x01b\x03"), ("ctrl-@,ctrl-_", b"\0\x1f")],
)
def test_keys_are_named_as_docker_names_them(text: str, keys: bytes) -> None:
    assert parse_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl", "ctrl-", "ctrl-1", "ab", "é", "a,,b"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="invalid detach keys"):
        parse_keys(text)


@given(st.binary(max_size=3).map(lambda b: bytes(97 + x % 2 for x in b)), st.lists(st.text("abc", max_size=4)))
def test_whatever_is_typed_before_the_sequence_is_passed_on(sequence: bytes, pieces: list[str]) -> None:
    keys = DetachKeys(sequence)
    typed = "".join(pieces).encode()

    passed = b"".join(keys.feed(piece.encode()) for piece in pieces if not keys.was_typed)

    at = typed.find(sequence) if sequence else -1
    assert keys.was_typed == (at >= 0)
    if at >= 0:
        assert passed == typed[:at]
    else:
        assert typed.startswith(passed)
        assert sequence.startswith(typed[len(passed) :])
