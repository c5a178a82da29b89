"""Errors that cross a socket keep the class that decides their status."""

from __future__ import annotations

from stackctl.errors import Conflict
from stackctl.runtime.network.ports import PortTaken
from stackctl.wire.error_json import error_from_json, error_to_json


def test_a_room_s_own_error_arrives_as_the_class_it_narrows() -> None:
    error = error_from_json(error_to_json(PortTaken("127.0.0.1", 80, "tcp", "pid 1 (nginx)")))
    assert type(error) is Conflict
    assert (error.code, str(error)) == ("port-taken", "127.0.0.1:80 is held by pid 1 (nginx)")
