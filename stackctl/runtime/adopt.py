"""Taking over what an earlier supervisor left: running containers, half-made ones, and leftovers."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from stackctl.errors import EngineError
from stackctl.runtime import health, set_aside
from stackctl.runtime.kernel.process import exit_code
from stackctl.runtime.life import Life
from stackctl.runtime.log_files import STDERR, STDOUT
from stackctl.runtime.record import Container, read_spec
from stackctl.runtime.state import Facts, Row
from stackctl.runtime.verbs import exits, remove, start
from stackctl.runtime.world import World

_UNKNOWN: Final = 255


def adopt_all(world: World, boot: str) -> None:
    """Bring memory and world together again. Starts nothing: that is the planner's, by the graph."""
    kept = world.kept.recover()
    lives = world.lives.read()
    rows = _rows(world, lives)
    for row in rows.values():
        if row.boot == boot and row.facts.pid:
            world.journal.expect(row.id, row.facts.pid, row.facts.start_ticks)
    died = [container for container in _take_in(world, rows, lives, boot, kept) if container is not None]
    for leftover in rows:
        world.store.delete(leftover)
        world.journal.forget(leftover)
    _drop_unused(world, kept)
    world.holder.settle()
    world.lives.drop_others({c.id for c in world.containers.values() if c.is_running})
    world.networks.restore(list(world.containers.values()))
    for container in died:
        # Its end was not seen by a supervisor: the restart policy is due now.
        exits.follow_policy(world, container, container.facts.exit_code or 0)
    world.cgroups.sweep(world.paths.engine_id, keep={c.id for c in world.containers.values() if c.is_running})
    for container in world.containers.values():
        if container.is_running:
            health.resume(world, container)
    if os.listdir(world.paths.trash):
        remove.empty_trash_soon(world)


def _rows(world: World, lives: Mapping[str, Life]) -> dict[str, Row]:
    """Return the rows by id. What ran is not lost with its row: one that names no living process, and the copy does."""
    rows = {row.id: row for row in world.store.rows()}
    for container_id, life in lives.items():
        row = rows.get(container_id)
        if row is None or (not _lives(world, row.facts) and _lives(world, life.row.facts)):
            print(f"supervisor: the row of {life.row.name} is lost: taken from its copy", file=sys.stderr, flush=True)
            rows[container_id] = life.row
    return rows


def _take_in(
    world: World, rows: dict[str, Row], lives: Mapping[str, Life], boot: str, kept: dict[str, int]
) -> Iterator[Container | None]:
    """Adopt what has a folder, taking its row out of ``rows``; yield what ``_adopt`` returns."""
    specs = world.store.specs()
    for container_id in sorted(os.listdir(world.paths.containers)):
        row = rows.pop(container_id, None)
        life = lives.get(container_id)
        copies = specs.get(container_id, b""), life.spec if life is not None else b""
        container = _read(world, container_id, row, copies)
        if container is None:
            _clear_away(world, container_id, row)
        else:
            yield _adopt(world, container, row, boot, kept)


def _drop_unused(world: World, kept: dict[str, int]) -> None:
    for name, fd in kept.items():
        container_id, _, what = name.partition("/")
        container = world.containers.get(container_id)
        is_used = container is not None and container.is_running
        if container is not None and what == "report":
            is_used = container.look_at_start is not None
        if world.kept.has(name) and not is_used:
            world.kept.drop(name)
            os.close(fd)


def _clear_away(world: World, container_id: str, row: Row | None) -> None:
    """Half made or half removed, it goes; one whose specification is lost leaves what it wrote to its owner."""
    if not _is_half(row) and set_aside.has_files(world.paths, container_id):
        set_aside.set_aside(world.paths, container_id, row.name if row is not None else "")
    else:
        os.rename(world.paths.container(container_id), f"{world.paths.trash}/{container_id}-{time.time_ns()}")
    world.store.delete(container_id)
    world.journal.forget(container_id)


def _adopt(world: World, container: Container, row: Row | None, boot: str, kept: dict[str, int]) -> Container | None:
    """Take one container in; return it when it died in this boot while nobody watched."""
    world.add(container)
    if row is not None and row.boot == boot and container.facts.pid and _reopen(world, container):
        _take_output(world, container, kept)
        exits.watch(world, container)
        report = kept.get(f"{container.id}/report", -1)
        if container.phase == "starting" and report >= 0:
            start.go_on(world, container, report)
            return None
        if container.facts.is_paused:
            # Recorded before it is done: once more does no harm.
            try:
                world.cgroups.freeze(world.paths.engine_id, container.id)
            except (OSError, EngineError) as error:
                print(f"supervisor: {container.name} goes on: {error}", file=sys.stderr, flush=True)
                container.facts.is_paused = False
        container.phase = "running"
        container.facts.started_ns = container.facts.started_ns or time.time_ns()
        world.save(container)
        return None
    is_same_boot = row is not None and row.boot == boot
    ran = container.phase in ("starting", "running", "restarting")
    _take_output(world, container, kept)
    _settle(world, container, is_same_boot)
    return container if ran and is_same_boot else None


def _is_half(row: Row | None) -> bool:
    return row is not None and row.phase in ("creating", "removing")


def _read(world: World, container_id: str, row: Row | None, copies: tuple[bytes, bytes]) -> Container | None:
    """Return the container as its file has it, or else the copy in the index, or the one of what runs.

    None when none can be read, or when it was half made or half removed.
    """
    if _is_half(row):
        return None
    path = f"{world.paths.container(container_id)}/spec.json"
    try:
        with open(path, "rb") as file:
            text = file.read()
        container = _parse(container_id, text, row)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return _read_copy(world, container_id, row, copies, f"{path}: {error}")
    if text != copies[0]:
        world.store.save_spec(container_id, text)
    return container


def _read_copy(
    world: World, container_id: str, row: Row | None, copies: tuple[bytes, bytes], problem: str
) -> Container | None:
    for copy in copies:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            container = _parse(container_id, copy, row)
            print(f"supervisor: {problem}: written anew from a copy", file=sys.stderr, flush=True)
            world.save_spec(container)
            return container
    print(f"supervisor: {problem}: lost", file=sys.stderr, flush=True)
    return None


def _parse(container_id: str, text: bytes, row: Row | None) -> Container:
    spec, root, revision, created_ns = read_spec(text)
    facts = row.facts if row is not None else Facts(created_ns=created_ns)
    return Container(container_id, spec, root, row.phase if row else "exited", facts, revision)


def _reopen(world: World, container: Container) -> bool:
    """Open the first process anew, if it is still the one we knew."""
    container.pidfd = _process(world, container.facts)
    return container.pidfd >= 0


def _lives(world: World, facts: Facts) -> bool:
    pidfd = _process(world, facts)
    if pidfd < 0:
        return False
    os.close(pidfd)
    return True


def _process(world: World, facts: Facts) -> int:
    """Return a new descriptor of the process that ``facts`` name, -1 when there is none, or no more."""
    if facts.pid <= 0:
        return -1
    try:
        pidfd = os.pidfd_open(facts.pid)
    except (OSError, OverflowError):  # gone, or never one
        return -1
    try:
        if world.identity(pidfd) == facts.identity:
            return pidfd
    except OSError:
        pass
    os.close(pidfd)
    return -1


def _take_output(world: World, container: Container, kept: dict[str, int]) -> None:
    container.logs = world.open_log(container)
    for stream in (STDOUT, STDERR):
        name = f"{container.id}/{stream}"
        fd = kept.get(name, -1)
        if fd < 0 and container.is_running:
            fd = _reopen_output(container, stream)
            if fd >= 0:
                world.kept.keep(name, fd)
        if fd >= 0:
            container.logs.add(fd, stream, partial(world.kept.drop, name))
    if not container.is_running:
        return
    container.stdin_fd = kept.get(f"{container.id}/stdin", -1)
    container.terminal_fd = kept.get(f"{container.id}/terminal", -1)
    if container.terminal_fd >= 0 or container.stdin_fd >= 0:
        try:
            world.holder.need(container.id)
        except OSError as error:
            print(f"supervisor: no holder: {error}", file=sys.stderr, flush=True)
    if container.terminal_fd >= 0:
        container.logs.add(os.dup(container.terminal_fd), STDOUT)


def _reopen_output(container: Container, stream: int) -> int:
    """Open a pipe that nobody kept through its first process; -1 when that does not have it any more."""
    folder = f"/proc/{container.facts.pid}/fd"
    wanted = f"pipe:[{container.facts.output.get(str(stream), 0)}]"
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(folder), key=int):
            with contextlib.suppress(OSError):
                if os.readlink(f"{folder}/{name}") == wanted:
                    return os.open(f"{folder}/{name}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    return -1


def _settle(world: World, container: Container, is_same_boot: bool) -> None:
    """Record the end of what ran when we, or the machine, went away."""
    facts = container.facts
    ran = container.phase in ("starting", "running", "restarting")
    if ran and facts.pid:
        found = world.journal.find(container.id) if is_same_boot else None
        facts.exit_code = exit_code(found.status) if found else _UNKNOWN
        facts.finished_ns = found.time_ns if found else time.time_ns()
        facts.error = "" if found else "the machine was restarted" if not is_same_boot else "its end was not seen"
    if ran:
        container.phase = "exited" if facts.started_ns else "created"
        # Who starts it, and in which order, is the daemon's to say.
        facts.is_to_return = not is_same_boot and exits.is_due(container)
    facts.pid = facts.identity = 0
    facts.is_paused = False
    facts.ports = []
    if facts.health == "healthy":
        facts.health = "unhealthy"
    if container.logs is not None:
        container.logs.finish()
        container.logs.mark_ended()
        container.logs = None
    world.save(container)
