"""Planning a large stack takes as much more work as it is larger: counted in calls, as times depend on the machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import pytest

from stackctl.reconcile.desired import Desired
from stackctl.reconcile.plan_text import plan_text
from tests.support.shop import Shop

MORE = 2.4
"""For twice the size; work that grows with the square would take four times the calls."""


def chain(count: int, tag: str) -> str:
    """Return services that wait for each other in chains of ten, each with a volume and a host port."""
    lines = ["services:"]
    for number in range(count):
        lines += [
            f"  s{number}:",
            f"    image: img:{tag}",
            f"    ports: ['{20000 + number}:80']",
            f"    volumes: ['v{number}:/data']",
            "    healthcheck: {test: [CMD, ok]}",
        ]
        if number % 10:
            lines.append(f"    depends_on: {{s{number - 1}: {{condition: service_healthy, restart: true}}}}")
    return "\n".join([*lines, "volumes:", *(f"  v{number}:" for number in range(count))])


def calls(act: Callable[[], object]) -> int:
    """Return how many functions of Python are called by ``act``."""
    count = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(before)
    return count


@pytest.fixture(scope="module")
def sizes() -> list[tuple[Shop, Desired, Desired]]:
    """Stacks of 30 and of 60 services that are up, as they are and with other images."""
    found = []
    for count in (30, 60):
        shop = Shop()
        wanted = shop.desired(chain(count, "1"))
        shop.apply(shop.plan_of(wanted))
        found.append((shop, wanted, shop.desired(chain(count, "2"))))
    return found


@pytest.mark.parametrize("what", ["nothing", "create", "replace", "down", "restart", "text"])
def test_twice_the_services_take_twice_the_work(sizes: list[tuple[Shop, Desired, Desired]], what: str) -> None:
    def work(shop: Shop, wanted: Desired, other: Desired) -> Callable[[], object]:
        plan = shop.plan_of(other)
        return {
            "nothing": lambda: shop.plan_of(wanted),
            "create": lambda: Shop().plan_of(wanted),
            "replace": lambda: shop.plan_of(other),
            "down": lambda: shop.plan_existing("down"),
            "restart": lambda: shop.plan_existing("restart"),
            "text": lambda: plan_text(plan),
        }[what]

    small, large = (calls(work(*size)) for size in sizes)
    assert large < MORE * small, (small, large)
