"""Requests are read as Go's JSON decoder reads them."""

from __future__ import annotations

import pytest

from stackctl.api.connection import BadRequest
from stackctl.api.fields import Fields


def test_names_match_in_any_case() -> None:
    fields = Fields({"hostCONFIG": {"autoremove": True}, "IMAGE": "busybox"})

    assert fields.within("HostConfig").flag("AutoRemove")
    assert fields.text("Image") == "busybox"


def test_null_and_absence_are_the_zero_value() -> None:
    fields = Fields({"Cmd": None, "Memory": None})

    assert (fields.texts("Cmd"), fields.number("Memory"), fields.text("User"), fields.flag("Tty")) == ((), 0, "", False)
    assert fields.optional_texts("Cmd") is None
    assert fields.objects("Mounts") == ()
    assert not fields.within("HostConfig")


def test_one_string_stands_for_an_array() -> None:
    assert Fields({"Cmd": "ls"}).texts("Cmd") == ("ls",)


@pytest.mark.parametrize(
    ("shape", "what"),
    [
        ({"Cmd": [1]}, "Cmd"),
        ({"Image": 3}, "Image"),
        ({"HostConfig": []}, "HostConfig"),
        ({"Memory": "1g"}, "Memory"),
        ({"Memory": True}, "Memory"),
        ({"Labels": {"a": 1}}, "Labels.a"),
    ],
)
def test_a_value_of_another_type_is_named(shape: dict[str, object], what: str) -> None:
    fields = Fields(shape)

    with pytest.raises(BadRequest, match=what):
        (fields.texts("Cmd"), fields.text("Image"), fields.within("HostConfig"), fields.number("Memory"))
        fields.pairs("Labels")


def test_only_fields_that_say_something_count_as_given() -> None:
    fields = Fields({"Links": None, "VolumesFrom": ["x"], "CpuCount": 0})

    assert fields.given(("Links", "VolumesFrom", "CpuCount", "Runtime")) == ["VolumesFrom"]
