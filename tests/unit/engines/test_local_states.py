"""What the planner is told of a container that is between two states."""

from __future__ import annotations

import pytest

from stackctl.engines.local_observing import state_of


@pytest.mark.parametrize(
    ("phase", "started_ns", "state"),
    [
        ("starting", 0, "created"),
        ("starting", 5, "restarting"),
        ("restarting", 5, "restarting"),
        ("running", 5, "running"),
        ("exited", 5, "exited"),
        ("created", 0, "created"),
    ],
)
def test_a_container_being_started_again_is_one_that_can_be_stopped(phase: str, started_ns: int, state: str) -> None:
    assert state_of({"phase": phase, "started_ns": started_ns}) == state
