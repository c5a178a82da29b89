"""What is waited for and never comes is given up, not waited for without end."""

from __future__ import annotations

import pytest

from stackctl.errors import ContainerError
from stackctl.model.container import ContainerSpec
from stackctl.model.root import HostRoot
from stackctl.runtime.record import Container
from stackctl.runtime.state import Facts
from stackctl.runtime.waiting import holds


def _restarting(times: int) -> Container:
    facts = Facts(started_ns=1, exit_code=3, back_off=times)
    spec = ContainerSpec(name="web", image_ref="i", image_id="sha256:1", argv=("serve",))
    return Container("1" * 64, spec, HostRoot("", ()), "restarting", facts)


def test_the_tenth_restart_in_a_row_ends_waiting_for_health() -> None:
    assert not holds(_restarting(9), "service_healthy")
    with pytest.raises(ContainerError, match=r"restarted again and again: it exited \(3\) 10 times") as caught:
        holds(_restarting(10), "service_healthy")
    assert caught.value.code == "restart-loop"


def test_a_one_shot_may_try_as_often_as_its_policy_says() -> None:
    assert not holds(_restarting(100), "service_completed_successfully")
