"""Filters as Docker reads them."""

from __future__ import annotations

import pytest

from stackctl.api.connection import BadRequest
from stackctl.api.selecting import check_known, has_labels, has_name, is_older, truth

NS = 1_000_000_000
MARKS = (("colour", "red"), ("size", ""))


@pytest.mark.parametrize(
    ("filters", "holds"),
    [
        ({}, True),
        ({"label": ["colour"]}, True),
        ({"label": ["colour=red", "size"]}, True),
        ({"label": ["colour=red", "shape"]}, False),
        ({"label": ["colour=blue"]}, False),
        ({"label!": ["colour=blue"]}, True),
        ({"label!": ["size"]}, False),
    ],
)
def test_all_labels_must_hold(filters: dict[str, list[str]], holds: bool) -> None:
    assert has_labels(MARKS, filters) is holds


@pytest.mark.parametrize(
    ("wanted", "holds"), [(["eb"], True), (["^eb"], False), (["x", "^web$"], True), (["w("], False), (["w.b"], True)]
)
def test_one_name_must_match_in_part_or_as_an_expression(wanted: list[str], holds: bool) -> None:
    assert has_name("web", {"name": wanted}) is holds


@pytest.mark.parametrize(
    ("until", "holds"), [("100", False), ("101", True), ("1h", False), ("50s", True), ("1m10s", False), ("500ms", True)]
)
def test_until_is_a_moment_or_a_span(until: str, holds: bool) -> None:
    assert is_older(100 * NS, {"until": [until]}, now_ns=160 * NS) is holds


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(BadRequest, match="invalid filter 'colour'"):
        check_known({"colour": ["red"]}, ("name",))
    with pytest.raises(BadRequest, match="invalid filter 'dangling=perhaps'"):
        truth({"dangling": ["perhaps"]}, "dangling")
    with pytest.raises(BadRequest, match="invalid filter 'until=soon'"):
        is_older(0, {"until": ["soon"]}, now_ns=0)
