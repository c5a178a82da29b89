"""``GET /events``. Source: Docker Engine API 1.51, SystemEvents."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from stackctl.api.connection import BadRequest, ClientGone, Connection, Request
from stackctl.api.query import filters_of
from stackctl.api.routing import Route
from stackctl.model.event import Event

Arguments = dict[str, str]
_NS: Final = 1_000_000_000


class Subscription(Protocol):
    """Events as one listener gets them."""

    def read(self, *, give_up_fd: int, until_ns: int | None = None) -> Iterator[Event]: ...
    def close(self) -> None: ...


class EventRoutes:
    """``/events``; ``subscribe`` takes ``since_ns``."""

    def __init__(self, subscribe: Callable[[int | None], Subscription]) -> None:
        self._subscribe = subscribe

    def routes(self) -> list[Route]:
        """Return the table."""
        return [Route("GET", "/events", self._events)]

    def _events(self, request: Request, connection: Connection, _: Arguments) -> None:
        since_ns, until_ns = moment_ns(request, "since"), moment_ns(request, "until")
        if since_ns is not None and until_ns is not None and until_ns < since_ns:
            raise BadRequest("`since` time cannot be after `until` time")
        filters = filters_of(request)
        # One that only wants the past gets it from the beginning of what is remembered.
        is_past = until_ns is not None and until_ns <= time.time_ns()
        subscription = self._subscribe(0 if since_ns is None and is_past else since_ns)
        try:
            connection.begin_stream("application/json")
            for event in subscription.read(give_up_fd=connection.fileno(), until_ns=until_ns):
                if passes(event, filters):
                    connection.stream(json.dumps(event_json(event), separators=(",", ":")).encode() + b"\n")
            connection.end_stream()
        except ClientGone:
            return
        finally:
            subscription.close()


def event_json(event: Event) -> dict[str, Any]:
    """Return an event as Docker's clients read it, the fields of old among them."""
    attributes = dict(event.attributes)
    shape: dict[str, Any] = {}
    if event.kind in ("container", "image"):
        shape = {"status": event.action, "id": event.id}
    if event.kind == "container":
        shape["from"] = attributes.get("image", "")
    return {
        **shape,
        "Type": event.kind,
        "Action": event.action,
        "Actor": {"ID": event.id, "Attributes": attributes},
        "scope": "local",
        "time": event.time_ns // _NS,
        "timeNano": event.time_ns,
    }


def passes(event: Event, filters: Mapping[str, Sequence[str]]) -> bool:
    """Whether an event is one of those asked for. Unknown filters hold for all, as in Docker."""
    attributes = dict(event.attributes)
    for key, wanted in filters.items():
        if not wanted:
            continue
        if key == "type":
            holds = event.kind in wanted
        elif key == "event":
            holds = event.action in wanted or event.action.partition(":")[0] in wanted
        elif key == "label":
            holds = all(_is_labelled(attributes, label) for label in wanted)
        elif key == "scope":
            holds = "local" in wanted
        elif key == "image":
            holds = _image_of(event, attributes) in _with_tags(wanted)
        elif key in ("container", "network", "volume", "daemon"):
            holds = event.kind == key and any(_is_named(event, attributes, name) for name in wanted)
        else:
            holds = True
        if not holds:
            return False
    return True


def moment_ns(request: Request, name: str) -> int | None:
    """Return a query value in seconds since the epoch, to the nanosecond; None for none. Raises BadRequest."""
    text = request.value(name)
    if not text:
        return None
    seconds, _, rest = text.partition(".")
    if not (seconds.isdecimal() and (not rest or rest.isdecimal())):
        raise BadRequest(f"{name}: {text!r} is no time in seconds since the epoch")
    return int(seconds) * _NS + int(rest[:9].ljust(9, "0") or 0)


def _is_labelled(attributes: Mapping[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in attributes and (not equals or attributes[key] == value)


def _is_named(event: Event, attributes: Mapping[str, str], wanted: str) -> bool:
    return event.id.startswith(wanted) or attributes.get("name", "").startswith(wanted)


def _image_of(event: Event, attributes: Mapping[str, str]) -> str:
    return attributes.get("name" if event.kind == "image" else "image", event.id)


def _with_tags(names: Sequence[str]) -> set[str]:
    return {*names, *(f"{name}:latest" for name in names)}
