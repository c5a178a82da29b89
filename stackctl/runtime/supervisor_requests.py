"""What the daemon may ask of the supervisor: one function an operation, listed in ``OPERATIONS``."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, Protocol

from stackctl.errors import Conflict, ContainerError, StackctlError
from stackctl.model.container import Attachment, ContainerSpec
from stackctl.model.event import Event
from stackctl.model.network import NetworkSpec
from stackctl.model.root import HostRoot, OverlayRoot
from stackctl.model.volume import VolumeSpec
from stackctl.runtime.network_store import describe
from stackctl.runtime.record import Container
from stackctl.runtime.verbs import (
    create,
    enter,
    exits,
    hooks,
    networking,
    pause,
    remove,
    rename,
    start,
    stop,
    switch,
    update,
)
from stackctl.runtime.waiting import Wait
from stackctl.runtime.world import World
from stackctl.wire import codec

Message = dict[str, Any]


class Reply(Protocol):
    """How an operation answers: once, now or later."""

    def ok(self, result: Message | None = None, fds: tuple[int, ...] = ()) -> None: ...
    def fail(self, error: Exception) -> None: ...
    def event(self, result: Message, fds: tuple[int, ...] = ()) -> None: ...
    def when_abandoned(self, callback: Callable[[], None]) -> None: ...


Operation = Callable[[World, Message, tuple[int, ...], Reply], None]


def facts_of(container: Container) -> Message:
    """Return what is known of a container, without its specification (that is in its ``spec.json``)."""
    facts = container.facts
    return {
        "id": container.id,
        "name": container.name,
        "revision": container.revision,
        "phase": container.phase,
        "pid": facts.pid,
        "is_paused": facts.is_paused,
        "is_standby": facts.is_standby,
        "is_to_return": facts.is_to_return,
        "is_post_start_due": facts.is_post_start_due,
        "exit_code": facts.exit_code,
        "error": facts.error,
        "oom_killed": facts.oom_killed,
        "health": facts.health,
        "health_log": facts.health_log,
        "health_failures": facts.health_failures,
        "restart_count": facts.restart_count,
        "created_ns": facts.created_ns,
        "started_ns": facts.started_ns,
        "finished_ns": facts.finished_ns,
        "addresses": facts.addresses,
        "ports": facts.ports,
    }


def _report_to(reply: Reply, result: Callable[[], Message] = dict) -> Callable[[Exception | None], None]:
    def done(error: Exception | None) -> None:
        if error is None:
            reply.ok(result())
        else:
            reply.fail(error)

    return done


def _status(world: World, _message: Message, _fds: tuple[int, ...], reply: Reply) -> None:
    running = sum(1 for container in world.containers.values() if container.is_running)
    reply.ok(
        {
            "pid": os.getpid(),
            "running": running,
            "total": len(world.containers),
            "notices": world.networks.notices() + world.cgroups.notices() + world.holder.notices(),
        }
    )


def _list(world: World, message: Message, _fds: tuple[int, ...], reply: Reply) -> None:
    containers = world.containers.values()
    reply.ok(
        {
            "containers": [facts_of(container) for container in containers],
            "cut_off": world.networks.cut_off(containers) if message.get("look") else [],
            "networks": [describe(network) for network in world.networks.all()],
            "volumes": [
                {"spec": codec.encode(v.spec), "mountpoint": v.mountpoint, "created_ns": v.created_ns}
                for v in world.volumes.all()
            ],
        }
    )


def _id_of(world: World, message: Message, _fds: tuple[int, ...], reply: Reply) -> None:
    """Answer with the id behind an exact name, "" when nobody has it."""
    container = world.names.get(message["name"])
    reply.ok({"id": container.id if container is not None else ""})


def _create(world: World, message: Message, _fds: tuple[int, ...], reply: Reply) -> None:
    spec = codec.decode(ContainerSpec, message["spec"])
    root = codec.decode_union(OverlayRoot | HostRoot, message["root"])
    reply.ok({"id": create.create(world, spec, root).id})


def _start(world: World, message: Message, _fds: tuple[int, ...], reply: Reply) -> None:
    container = world.find(message["name"])
    done = _report_to(reply, lambda: {"id": container.id, "told": list(container.told)})
    start.start(world, container, done, replaces=message.get("replaces", ""))


def _switch(world: World, message: Message, _fds: tuple[int, ...], reply: Reply) -> None:
    switch.switch(world, world.find(message["name"]), world.names.get(message["replaced"]))
    reply.ok()


def _stop(world: World, message: Message, _fds: tuple[int, ...], reply: Reply) -> None:
    container = world.find(message["name"])
    grace = message.get("grace_s")
    grace_s = container.spec.stop_grace_s if grace is None else grace
    if message.get("until_next_start"):  # the engine goes: what is told to people has no place here
        returns = exits.is_due(container)
        stop.stop(world, container, grace_s, _report_to(reply))
        # Written with its exit.
        container.facts.is_to_return = returns
        return

    def hooks_ran(error: Exception | None) -> None:
        told = [str(error)] if error is not None else []
        hold_s = message.get("hold_s", 0.0)
        stop.stop(world, container, grace_s, _report_to(reply, lambda: {"told": told}), hold_s=hold_s)

    hooks.before_stop(world, container, hooks_ran)


def _kill(world: World, message: Message, _fds: tuple[int, ...], reply: Reply) -> None:
    stop.kill(world, world.find(message["name"]), message["signal"])
    reply.ok()


def _pause(world: World, message: Message, _fds: tuple[int, ...], reply: Reply) -> None:
    pause.pause(world, world.find(message["name"]))
    reply.ok()


def _unpause(world: World, message: Message, _fds: tuple[int, ...], reply: Reply) -> None:
    pause.unpause(world, world.find(message["name"]))
    reply.ok()


def _remove(world: World, message: Message, _fds: tuple[int, ...], reply: Reply) -> None:
    container = world.find(message["name"])

    def stopped(error: Exception | None = None) -> None:
        try:
            if error is not None:
                raise error
            remove.remove(world, container)
        except StackctlError as problem:
            reply.fail(problem)
            return
        reply.ok()

    if message.get("force"):
        stop.stop(world, container, 0, stopped)
        return
    stopped()


def _rename(world: World, message: Message, _fds: tuple[int, ...], reply: Reply) -> None:
    rename.rename(world, world.find(message["name"]), message["new_name"])
    reply.ok()


def _update(world: World, message: Message, _fds: tuple[int, ...], reply: Reply) -> None:
    spec = codec.decode(ContainerSpec, message["spec"])
    container = world.find(message["name"])
    update.update(world, container, spec, message["fields"])
    reply.ok({"told": list(container.told)})


def _wait(world: World, message: Message, _fds: tuple[int, ...], reply: Reply) -> None:
    """Answer with the exit code once the container has ended (or is gone), or for ``next-start`` runs anew."""
    container = world.find(message["name"])
    condition = message.get("condition", "not-running")

    def answer() -> None:
        reply.ok({"exit_code": container.facts.exit_code or 0, "error": container.facts.error})

    if condition == "not-running" and not _is_alive(container):
        answer()
        return

    # The next exit is one that is not told yet: a container that is only renamed meanwhile has not ended.
    last_end, last_start = container.facts.finished_ns, container.facts.started_ns

    def look(changed: Container) -> None:
        if changed is not container:
            return
        is_over = not _is_alive(container) and container.facts.finished_ns != last_end
        if condition == "next-start":
            is_over = is_over or (container.phase == "running" and container.facts.started_ns != last_start)
        if container.phase == "removing" or (condition != "removed" and is_over):
            world.listeners.remove(look)
            answer()

    world.listeners.append(look)
    reply.when_abandoned(lambda: world.listeners.remove(look) if look in world.listeners else None)


def _is_alive(container: Container) -> bool:
    return container.phase in ("starting", "running", "restarting")


def _await(world: World, message: Message, _fds: tuple[int, ...], reply: Reply) -> None:
    wait = Wait(
        world,
        tuple(message["names"]),
        message["condition"],
        _report_to(reply),
        lambda text: reply.event({"note": text}),
        monitor_s=message.get("monitor_s"),
    )
    reply.when_abandoned(wait.cancel)
    wait.begin(message.get("timeout_s", 0))


def _follow(world: World, message: Message, _fds: tuple[int, ...], reply: Reply) -> None:
    """Tell what happens, and before that what has happened since the event numbered ``after`` of ``epoch``."""

    def tell(number: int, event: Event) -> None:
        reply.event({"epoch": world.events.epoch, "number": number, "event": codec.encode(event)})

    after = message["after"] if message["epoch"] == world.events.epoch else 0
    world.events.follow(after, tell)
    reply.when_abandoned(lambda: world.events.leave(tell))


def _exec(world: World, message: Message, fds: tuple[int, ...], reply: Reply) -> None:
    container = world.find(message["name"])
    has_terminal = bool(message.get("tty"))
    if not has_terminal and len(fds) != 3:
        raise ContainerError("an exec without a terminal needs three descriptors", code="protocol")
    request = enter.EnterRequest(
        argv=tuple(message["argv"]),
        env=tuple(message.get("env", ())),
        user=message.get("user", ""),
        working_dir=message.get("working_dir", ""),
        has_terminal=has_terminal,
        is_privileged=bool(message.get("privileged")),
        descriptors=(-1, -1, -1) if has_terminal else (fds[0], fds[1], fds[2]),
    )

    def started(entered: enter.Entered | None, error: Exception | None) -> None:
        if entered is None:
            reply.fail(error or ContainerError("exec failed"))
            return
        if entered.terminal_fd < 0:
            reply.event({"pid": entered.pid})
            return
        # The daemon is the only reader of an exec's terminal: our copy goes once it has its own.
        reply.event({"pid": entered.pid}, (entered.terminal_fd,))
        os.close(entered.terminal_fd)

    enter.enter(world, container, request, started, lambda code: reply.ok({"exit_code": code}))


def _attach(world: World, message: Message, _fds: tuple[int, ...], reply: Reply) -> None:
    """Hand out what the daemon writes to: a terminal's master, or the write end of stdin."""
    container = world.find(message["name"])
    fd = container.terminal_fd if container.spec.tty else container.stdin_fd
    if fd < 0:
        reply.ok({"has_input": False})
        return
    reply.ok({"has_input": True, "tty": container.spec.tty}, (fd,))
    if not container.spec.tty and message.get("once"):
        # From now on the end of the client's input is the end of the container's: no copy may stay anywhere.
        world.kept.withdraw(f"{container.id}/stdin")
        os.close(container.stdin_fd)
        container.stdin_fd = -1


def _create_network(world: World, message: Message, _fds: tuple[int, ...], reply: Reply) -> None:
    world.stamps.spoil_all()
    spec = codec.decode(NetworkSpec, message["spec"])
    is_new = world.networks.find(spec.name) is None
    network = world.networks.create(spec)
    if is_new:
        world.events.tell_network(network, "create")
    reply.ok(describe(network))


def _remove_network(world: World, message: Message, _fds: tuple[int, ...], reply: Reply) -> None:
    world.stamps.spoil_all()
    network = world.networks.find(message["name"])
    world.networks.remove(message["name"], [c for c in world.containers.values() if c.is_running])
    if network is not None:
        world.events.tell_network(network, "destroy")
    reply.ok()


def _connect_network(world: World, message: Message, _fds: tuple[int, ...], reply: Reply) -> None:
    place = codec.decode(Attachment, message["place"])
    networking.connect(world, world.find(message["name"]), place)
    reply.ok()


def _disconnect_network(world: World, message: Message, _fds: tuple[int, ...], reply: Reply) -> None:
    networking.disconnect(world, world.find(message["name"]), message["network"])
    reply.ok()


def _create_volume(world: World, message: Message, _fds: tuple[int, ...], reply: Reply) -> None:
    world.stamps.spoil_all()
    spec = codec.decode(VolumeSpec, message["spec"])
    is_new = world.volumes.find(spec.name) is None
    volume = world.volumes.create(spec)
    if is_new:
        world.events.tell("volume", "create", spec.name, (("driver", "local"),))
    reply.ok({"mountpoint": volume.mountpoint})


def _remove_volume(world: World, message: Message, _fds: tuple[int, ...], reply: Reply) -> None:
    name = message["name"]
    users = [
        c.name for c in world.containers.values() if any(getattr(m, "volume", None) == name for m in c.spec.mounts)
    ]
    if users:
        raise Conflict(f"volume {name} is in use by {', '.join(users)}", code="volume-in-use")
    world.stamps.spoil_all()
    world.volumes.remove(name)
    world.events.tell("volume", "destroy", name, (("driver", "local"),))
    remove.empty_trash_soon(world)
    reply.ok()


def _stamp(world: World, message: Message, _fds: tuple[int, ...], reply: Reply) -> None:
    reply.ok({"stamp": world.stamps.take(message["group"])})


def _spoil_stamps(world: World, _message: Message, _fds: tuple[int, ...], reply: Reply) -> None:
    """Images, which we know nothing of, have changed."""
    world.stamps.spoil_all()
    reply.ok()


OPERATIONS: Final[dict[str, Operation]] = {
    "status": _status,
    "list": _list,
    "id-of": _id_of,
    "create": _create,
    "start": _start,
    "switch": _switch,
    "stop": _stop,
    "kill": _kill,
    "pause": _pause,
    "unpause": _unpause,
    "remove": _remove,
    "rename": _rename,
    "update": _update,
    "wait": _wait,
    "await": _await,
    "follow": _follow,
    "exec": _exec,
    "attach": _attach,
    "create-network": _create_network,
    "remove-network": _remove_network,
    "connect-network": _connect_network,
    "disconnect-network": _disconnect_network,
    "create-volume": _create_volume,
    "remove-volume": _remove_volume,
    "stamp": _stamp,
    "spoil-stamps": _spoil_stamps,
}
