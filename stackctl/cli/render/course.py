"""The course of an apply: from the engine's events to what each resource is doing. Pure.

The words are Compose's: scripts look for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

Event: TypeAlias = Mapping[str, Any]
Status = Literal["working", "done", "warning", "error"]

_TEMPORARY: Final = re.compile(r"[0-9a-f]{12}_")


class Update(NamedTuple):
    """What a resource does now, or has done: ``Container shop-web-1``, ``Starting``."""

    resource: str
    status: Status
    text: str
    detail: str = ""


class Wait(NamedTuple):
    """Containers that something waits for, and why: ``waiting for db to be healthy, which web needs``."""

    services: tuple[str, ...]
    verb: str
    because: str = ""

    def __str__(self) -> str:
        why = f", {self.because}" if self.because else ""
        return f"waiting for {_enumerate(self.services)} to {self.verb}{why}"


# action -> kind of resource, word while it goes on, word once done
_WORDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "PullImage": ("Image", "Pulling", "Pulled"),
    "BuildImage": ("Image", "Building", "Built"),
    "CreateNetwork": ("Network", "Creating", "Created"),
    "RemoveNetwork": ("Network", "Removing", "Removed"),
    "CreateVolume": ("Volume", "Creating", "Created"),
    "RemoveVolume": ("Volume", "Removing", "Removed"),
    "CreateContainer": ("Container", "Creating", "Created"),
    "StartContainer": ("Container", "Starting", "Started"),
    "StopContainer": ("Container", "Stopping", "Stopped"),
    "KillContainer": ("Container", "Killing", "Killed"),
    "RemoveContainer": ("Container", "Removing", "Removed"),
    "RenameContainer": ("Container", "Renaming", "Renamed"),
    "UpdateContainer": ("Container", "Updating", "Updated"),
    "SwitchTraffic": ("Container", "Taking over", "Took over"),
    "CreateContent": ("", "Creating", "Created"),
    "RemoveContent": ("", "Removing", "Removed"),
    "CreateService": ("Service", "Creating", "Created"),
    "UpdateService": ("Service", "Updating", "Updated"),
    "RemoveService": ("Service", "Removing", "Removed"),
}
# condition -> what is waited for, word once met
_CONDITIONS: Final[Mapping[str, tuple[str, str]]] = {
    "healthy": ("be healthy", "Healthy"),
    "started": ("start", "Started"),
    "completed_successfully": ("complete", "Exited"),
}


class Course:
    """Follows one apply from its plan to its end."""

    def __init__(self) -> None:
        self._actions: dict[int, str] = {}
        self._services: dict[str, str] = {}
        self._final_names: dict[str, str] = {}
        self._replaced: set[str] = set()
        self._waits: dict[int, Wait] = {}
        self._waiting: dict[int, list[str]] = {}
        self.plan: Mapping[str, Any] = {}

    @property
    def waits(self) -> tuple[Wait, ...]:
        """What is waited for now, the longest first."""
        return tuple(dict.fromkeys(self._waits.values()))

    def begin(self, plan: Mapping[str, Any]) -> Iterator[Update]:
        """Take the plan; yield what stays as it is."""
        self.plan = plan
        for change in _objects(plan.get("changes")):
            name, kind = str(change.get("name")), change.get("change")
            parts = str(change.get("key")).split("/")
            if parts[0] not in ("container", "service"):
                continue
            self._services[name] = parts[1] if len(parts) > 1 else name
            if kind == "replace":
                self._replaced.add(name)
            if kind == "keep":
                # A reason to stay as it is: it has ended, as it should.
                word = "Exited" if change.get("reasons") else "Running"
                yield Update(f"{parts[0].capitalize()} {name}", "done", word)
        for step in _objects(plan.get("steps")):
            self._note_who_waits(step)
            self._actions[int(step.get("n") or 0)] = str(step.get("action") or "")
            if step.get("action") == "RenameContainer":
                before, _, after = _target(step).partition(" to ")
                self._final_names[before] = after

    def _note_who_waits(self, step: Mapping[str, Any]) -> None:
        if step.get("action") in ("StartContainer", "CreateService", "UpdateService"):
            service = self._service(_target(step))
            for before in (*(step.get("after") or ()), *(step.get("soft_after") or ())):
                self._waiting.setdefault(before, []).append(service)

    def follow(self, event: Event) -> Iterator[Update]:
        """Take the event of a step; yield what it changes."""
        number = int(event.get("n") or 0)
        action = str(event.get("action") or self._actions.get(number, ""))
        if action in ("AwaitCondition", "AwaitService"):
            yield from self._follow_wait(number, event)
        elif action in _WORDS:
            yield from self._follow_action(action, event)

    def _follow_action(self, action: str, event: Event) -> Iterator[Update]:
        kind, doing, done = _WORDS[action]
        name = _target(event)
        # Configs and secrets are told apart by the title alone.
        kind = kind or str(event.get("title")).split(" ")[1].capitalize()
        if action == "KillContainer":
            name = name.partition(" with ")[0]
        if str(event.get("because") or "").startswith("rollback"):
            name = name.rpartition(" to ")[2]
            name, doing, done = self._final_names.get(name, name), "Rolling back", "Rolled back"
        elif action == "SwitchTraffic":
            name = name.rpartition(" to ")[2]
            name = self._final_names.get(name, name)
        elif action == "RenameContainer":
            name, doing, done = name.partition(" to ")[2], "", "Recreated"
        elif name in self._final_names:
            name, doing, done = self._final_names[name], "Recreate", ""
        elif name in self._replaced and action == "RemoveContainer":
            doing, done = "", ""
        yield from _updates(f"{kind} {name}", event, doing=doing, done=done)

    def _follow_wait(self, number: int, event: Event) -> Iterator[Update]:
        condition, _, names = _target(event).partition(" of ")
        verb, done = _CONDITIONS.get(condition, (condition, "Healthy"))
        kind = "Service" if names.startswith("service ") else "Container"
        containers = [self._final_names.get(name, name) for name in names.removeprefix("service ").split()]
        if event.get("state") == "started":
            services = dict.fromkeys(self._service(name) for name in containers)
            self._waits[number] = Wait(tuple(services), verb, self._why(number, event))
        elif event.get("state") != "waiting":
            self._waits.pop(number, None)
        for name in containers:
            yield from _updates(f"{kind} {name}", event, doing="Waiting", done=done)

    def _service(self, container: str) -> str:
        return self._services.get(container) or _service_of(container)

    def _why(self, number: int, event: Event) -> str:
        waiting = tuple(dict.fromkeys(self._waiting.get(number, ())))
        if waiting:
            return f"which {_enumerate(waiting)} need{'s' if len(waiting) == 1 else ''}"
        return str(event.get("because") or "")


def _updates(resource: str, event: Event, *, doing: str, done: str) -> Iterator[Update]:
    detail = str(event.get("detail") or "")
    match event.get("state"):
        case "started" | "waiting" if doing:
            yield Update(resource, "working", doing)
        case "done" | "unchanged" if done:
            yield Update(resource, "warning" if detail else "done", done, detail)
        case "failed":
            yield Update(resource, "error", "Error", detail)
        case "skipped":
            yield Update(resource, "warning", "Skipped", detail)
        case "cancelled":
            yield Update(resource, "warning", "Cancelled", detail)


def _target(step: Event) -> str:
    """Return what follows the verb in a title: ``create network shop_default`` → ``shop_default``."""
    title = str(step.get("title") or "")
    _, _, rest = title.partition(" ")
    for kind in ("image ", "network ", "volume ", "service ", "config ", "secret "):
        if rest.startswith(kind):
            return rest.removeprefix(kind)
    return rest


def _service_of(container: str) -> str:
    """Guess a service from a container's name: one that the plan does not change may be waited for."""
    parts = _TEMPORARY.sub("", container).split("-")
    return "-".join(parts[1:-1]) if len(parts) > 2 and parts[-1].isdecimal() else container


def _enumerate(names: Sequence[str]) -> str:
    if len(names) > 3:
        return f"{', '.join(names[:2])} and {len(names) - 2} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1] if names else ""]))


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []
