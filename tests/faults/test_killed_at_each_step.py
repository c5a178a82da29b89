"""Supervisor or daemon is killed at each step of a change, each time it is taken: the same command again ends it."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from stackctl.cli import main
from stackctl.client.engine_client import EngineClient
from stackctl.engines.start import ensure_engine
from tests.support.engine import Engine, wait_until
from tests.support.leaks import Leaks, wait_for_no_leftovers
from tests.support.ports import free_port

pytestmark = pytest.mark.changes_shared_engine

_STACK = """\
name: steps
services:
  base:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    environment: {{VERSION: "{version}"}}
    volumes: ["data:/data"]
    secrets: [token]
    ports: ["127.0.0.1:{port}:80"]
    restart: always
  top:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    environment: {{VERSION: "{version}"}}
    expose: ["80"]
    depends_on: [base]
volumes: {{data: {{}}}}
secrets: {{token: {{file: ./token}}}}
"""
_BESIDE = ("start: published", "apply: after", "stop: signal sent", "exit: all given back", "rename: ")
_BOTH_RUN = [("/steps-base-1", "running"), ("/steps-top-1", "running")]


class Bench:
    """A stack on an engine whose processes die when told."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder, self.engine, self.port = folder, engine, free_port()
        self.plan, self.trace = folder / "fault", folder / "fault.trace"
        (folder / "token").write_text("secret", encoding="utf-8")
        self.describe("1")

    def describe(self, version: str) -> None:
        """Write the stack file."""
        self.write(_STACK.format(version=version, port=self.port))

    def write(self, text: str) -> None:
        """Write another stack file."""
        (self.folder / "compose.yaml").write_text(text, encoding="utf-8")

    def run(self, *arguments: str) -> int:
        """Run a command here: a process for each would be most of the time."""
        return main.run(["-f", str(self.folder / "compose.yaml"), *arguments])

    def steps_of(self, *arguments: str) -> list[str]:
        """Run a command whole and return the steps it took, each with the number of its occurrence: ``STEP#1``."""
        self.trace.write_text("", encoding="utf-8")
        assert self.run(*arguments) == 0
        passed = self.trace.read_text(encoding="utf-8").splitlines()
        return [f"{step}#{passed[: at + 1].count(step)}" for at, step in enumerate(passed)]

    def run_with_a_kill(self, step: str, *arguments: str, may_be_done: bool = False) -> None:
        """Run a command during which a process dies at ``step``, then the same again, which must end well.

        One that ``may_be_done`` may also be refused then, as there may be nothing left to do.
        """
        doomed = os.pidfd_open(self.pids()["daemon" if step.startswith("apply") else "supervisor"])
        self.trace.write_text("", encoding="utf-8")
        self.plan.write_text(step, encoding="utf-8")
        self.run(*arguments)
        select.select([doomed], [], [], 10)
        os.close(doomed)
        assert not self.plan.exists(), f"nothing came by {step!r} in {arguments[0]}"
        assert self.run(*arguments) == 0 or may_be_done, f"{arguments[0]} after a death at {step!r}"

    def assert_up(self, step: str) -> None:
        """The stack runs as described, once."""
        assert self.run("plan", "--detailed-exitcode") == 0, f"after a death at {step!r}"
        # The restart policy may be about to start one whose start was cut short.
        wait_until(f"both run after a death at {step!r}", lambda: self.states() == _BOTH_RUN)

    def states(self) -> list[tuple[str, str]]:
        return sorted((row["Names"][0], row["State"]) for row in self.client().containers(all=True))

    def frozen(self) -> list[str]:
        """The containers whose processes really stand still."""
        found = []
        for row in self.client().containers(all=True):
            for path in Path("/sys/fs/cgroup").glob(f"**/stackctl-*/{row['Id']}/"):
                state = [path / name for name in ("freezer.state", "cgroup.freeze") if (path / name).exists()]
                if state and state[0].read_text().strip() in ("FROZEN", "1"):
                    found.append(row["Names"][0])
        return found

    def client(self) -> EngineClient:
        return EngineClient(ensure_engine(self.engine.variables()))

    def pids(self) -> dict[str, int]:
        found: dict[str, int] = self.client().engine_status()["pids"]
        return found


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, busybox_archive: Path) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("steps")
    engine = Engine(folder / "engine", {"STACKCTL_FAULT": str(folder / "fault")})
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**engine.variables(), "COMPOSE_PROGRESS": "quiet"}.items():
            patch.setenv(name, value)
        engine.run("image", "load", "-i", str(busybox_archive))
        try:
            yield Bench(folder, engine)
        finally:
            engine.stop()


def test_a_death_at_any_step_of_up_change_and_down_is_made_good_by_the_same_command(bench: Bench) -> None:
    up = bench.steps_of("up", "-d")
    bench.describe("2")
    change = bench.steps_of("up", "-d")
    assert "switch: recorded#1" in change, "one is replaced by another that starts beside it"
    down = bench.steps_of("down", "-v")
    idle = Leaks.look()
    # Before one step of a plan is after another; once is enough, as each costs a new daemon.
    up = [step for step in up if "apply: before" not in step or step.endswith("#1")]
    change, down = ([step for step in steps if "apply: before" not in step] for steps in (change, down))
    # The second replacement differs from the first once its new container runs beside the old one.
    change = [step for step in change if step.endswith("#1") or step.startswith(_BESIDE)]
    assert len(up) > 40 and len(change) > 25 and len(down) > 20, (up, change, down)

    for number in range(max(len(up), len(change), len(down))):
        bench.describe("1")
        if number < len(up):
            _up(bench, up, number)
        else:
            assert bench.run("up", "-d") == 0
        if number < len(change):
            bench.describe("2")
            _up(bench, change, number)
        if number < len(down):
            bench.run_with_a_kill(down[number], "down", "-v")
        else:
            assert bench.run("down", "-v") == 0
        assert wait_for_no_leftovers(bench.engine.root) == [], f"after round {number}"
    _assert_nothing_new(bench, idle)


def _up(bench: Bench, steps: list[str], number: int) -> None:
    bench.run_with_a_kill(steps[number], "up", "-d")
    bench.assert_up(steps[number])


def _assert_nothing_new(bench: Bench, idle: Leaks) -> None:
    """But for the engine\'s own processes, which were replaced, the machine is as it was with the idle engine."""
    own = tuple(f"process {pid}:" for pid in bench.pids().values())
    assert [thing for thing in idle.wait_until_gone(2.0) if not thing.startswith(own)] == []


_SMALL = """\
name: small
services:
  one:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    mem_limit: {memory}m
    volumes: ["data:/data"]
    ports: ["127.0.0.1:{port}:80"]
    networks: {networks}
  more:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    network_mode: none
    deploy: {{replicas: {replicas}}}
networks: {{default: {{}}, extra: {{}}}}
volumes: {{data: {{}}}}
"""
_FULL = {"memory": "20", "networks": "[default, extra]", "replicas": "3"}
# What is changed of a container that runs, and of how many there are.
_LESS = {"memory": "30", "networks": "[default]", "replicas": "1"}
_UP = ("up", "-d")


class Small(NamedTuple):
    """A command, what is done before it each time, and what of the stack there is after it."""

    before: tuple[tuple[str, ...], ...]
    command: tuple[str, ...]
    states: list[tuple[str, str]]
    least_steps: int
    wanted: dict[str, str] = _FULL
    may_be_done: bool = False  # the second time it may be refused: there is nothing left to do


_ONE, _MORE = ("/small-one-1", "running"), [(f"/small-more-{n}", "running") for n in (1, 2, 3)]
_SMALL_CHANGES = {
    "change of what runs": Small((_UP,), _UP, [_MORE[0], _ONE], 8, wanted=_LESS),
    "pause": Small((_UP,), ("pause", "one"), [*_MORE, ("/small-one-1", "paused")], 1, may_be_done=True),
    "unpause": Small((_UP, ("pause", "one")), ("unpause", "one"), [*_MORE, _ONE], 1, may_be_done=True),
    "rm": Small((_UP, ("stop", "one")), ("rm", "-f", "one"), _MORE, 4),
    "volume rm": Small((_UP, ("down",)), ("volume", "rm", "small_data"), [], 1, may_be_done=True),
}


@pytest.mark.parametrize("name", _SMALL_CHANGES)
def test_a_death_at_any_step_of_a_small_change_is_made_good_by_the_same_command(bench: Bench, name: str) -> None:
    case, seen = _SMALL_CHANGES[name], []
    _prepare(bench, case)
    steps = bench.steps_of(*case.command)
    # What the daemon does between is the same as for every plan; so is each further occurrence.
    for step in [step for step in steps if step.endswith("#1") and not step.startswith("apply")]:
        _prepare(bench, case)
        bench.run_with_a_kill(step, *case.command, may_be_done=case.may_be_done)
        wait_until(f"all is as wanted after a death at {step!r}", lambda: bench.states() == case.states)
        assert bench.frozen() == [name for name, state in case.states if state == "paused"], step
        seen.append(step)
    assert len(seen) >= case.least_steps, seen
    if case.command == _UP:
        assert bench.run("plan", "--detailed-exitcode") == 0
    assert bench.run("down", "-v") == 0
    assert wait_for_no_leftovers(bench.engine.root) == []


def _prepare(bench: Bench, case: Small) -> None:
    """Bring the stack to where the command begins, whatever it was before."""
    bench.write(_SMALL.format(port=bench.port, **_FULL))
    if "pause" in case.command[0]:
        bench.run("unpause", "one")
    for command in case.before:
        assert bench.run(*command) == 0
    bench.write(_SMALL.format(port=bench.port, **case.wanted))
