"""Points in time, as users write them."""

from __future__ import annotations

import pytest

from stackctl.cli.since import moment_of, seconds_of
from stackctl.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10.0), ("1h30m", 5400.0), ("1.5h", 5400.0), ("500ms", 0.5), ("", None), ("10", None)],
)
def test_lengths_of_time(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("10m", "400.000000000"),
        ("12.5", "12.500000000"),
        ("1970-01-01T00:01:00Z", "60.000000000"),
        ("1970-01-01T01:01:00+01:00", "60.000000000"),
    ],
)
def test_moments(text: str, moment: str) -> None:
    assert moment_of(text, now_s=1000.0) == moment


def test_anything_else_is_refused() -> None:
    with pytest.raises(UsageError, match='invalid value for --since: "yesterday"'):
        moment_of("yesterday", now_s=0.0)
