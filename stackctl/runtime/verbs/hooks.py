"""Hooks: commands that run in a container just after it was started, and just before it is stopped."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack

from stackctl.errors import ContainerError, EngineError
from stackctl.model.hook import Hook
from stackctl.runtime.faults import fault_point
from stackctl.runtime.log_files import STDERR, STDOUT
from stackctl.runtime.record import Container
from stackctl.runtime.verbs.enter import Entered, EnterRequest, enter
from stackctl.runtime.verbs.pause import thaw
from stackctl.runtime.world import World

Done = Callable[[Exception | None], None]


def after_start(world: World, container: Container, done: Done) -> None:
    """Run ``post_start`` in a container that runs, unless it has been since the container was started.

    One after the other; the first that fails is what ``done`` gets, and those after it do not run. That all have run
    is remembered: a start that was cut short, or failed here, is completed by asking for it again.
    """
    if not container.facts.is_post_start_due:
        done(None)
        return

    def ran(error: Exception | None) -> None:
        if error is None:
            container.facts.is_post_start_due = False
            world.save(container)
            world.notify(container)
        done(error)

    _run(world, container, "post_start", container.spec.post_start, ran)


def before_stop(world: World, container: Container, done: Done) -> None:
    """Run ``pre_stop`` in a container if it runs; ``done`` gets why one failed. The caller stops it either way."""
    if not container.spec.pre_stop or not container.is_running or container.phase != "running":
        done(None)
        return
    thaw(world, container)

    def ran(error: Exception | None) -> None:
        # Ended meanwhile, perhaps by the very command: that is what was wanted.
        done(error if container.is_running else None)

    _run(world, container, "pre_stop", container.spec.pre_stop, ran)


def _run(world: World, container: Container, point: str, hooks: tuple[Hook, ...], done: Done) -> None:
    """Run all of them once, however many ask for it meanwhile."""
    key = f"{container.id}/{point}"
    if key in world.hook_runs:
        world.hook_runs[key].append(done)
        return
    world.hook_runs[key] = [done]

    def ended(error: Exception | None) -> None:
        for each in world.hook_runs.pop(key):
            each(error)

    def go_on(index: int) -> None:
        if index == len(hooks):
            ended(None)
            return
        fault_point(f"{point}: a command is due")

        def exited(code: int) -> None:
            if code:
                ended(_failure(container, f"{point}.{index}", hooks[index], code))
            else:
                go_on(index + 1)

        _begin(world, container, hooks[index], ended, exited)

    go_on(0)


def _begin(
    world: World,
    container: Container,
    hook: Hook,
    failed: Callable[[Exception], None],
    exited: Callable[[int], None],
) -> None:
    def started(entered: Entered | None, error: Exception | None) -> None:
        if entered is None:
            failed(error or ContainerError(f"exec in {container.name} failed"))

    with ExitStack() as used:
        try:
            null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
            used.callback(os.close, null)
            request = EnterRequest(
                argv=hook.argv,
                env=hook.env,
                user=hook.user,
                working_dir=hook.working_dir,
                is_privileged=hook.privileged,
                descriptors=(null, _into_log(container, STDOUT, used), _into_log(container, STDERR, used)),
            )
            enter(world, container, request, started, exited)
        except (OSError, EngineError) as error:
            failed(error)


def _into_log(container: Container, stream: int, used: ExitStack) -> int:
    """Return a descriptor whose output becomes part of the container's log."""
    assert container.logs is not None
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    container.logs.add(read_end, stream)
    used.callback(os.close, write_end)
    return write_end


def _failure(container: Container, field: str, hook: Hook, code: int) -> ContainerError:
    return ContainerError(
        f"{field.partition('.')[0]} of container {container.name}: {' '.join(hook.argv)} ended with exit code {code}",
        code="hook-failed",
        field=field,
        hint="what it wrote is in the container's log",
    )
