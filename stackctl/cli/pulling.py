"""Pulling images side by side, each with its layers and how far they are."""

from __future__ import annotations

import json
import threading
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, NamedTuple

from stackctl.cli.credentials import Logins
from stackctl.cli.render.pull_course import PullCourse
from stackctl.cli.screen import Screen
from stackctl.cli.settings import Settings
from stackctl.errors import ImageError, StackctlError
from stackctl.model.image import parse_image_ref
from stackctl.wire.credentials import credentials_to_json
from stackctl.wire.error_json import error_from_json

if TYPE_CHECKING:
    from stackctl.client.engine_client import EngineClient

_AT_ONCE: Final = 4


class Wanted(NamedTuple):
    """An image to pull, and its platform ("" for the engine's)."""

    reference: str
    platform: str = ""


class Ended(NamedTuple):
    """How a pull ended: ``digest`` is what the name leads to, ``error`` what was in the way."""

    wanted: Wanted
    digest: str = ""
    status: str = ""
    error: StackctlError | None = None


def registry_auth(settings: Settings, reference: str) -> str:
    """Return what goes into X-Registry-Auth for an image, "" for nobody in particular. Raises StackctlError."""
    try:
        registry = parse_image_ref(reference).registry
    except ValueError:
        return ""  # the engine says what is wrong with it
    found = Logins(settings.environment).find(registry)
    if found.is_anonymous:
        return ""
    return urlsafe_b64encode(json.dumps(credentials_to_json(found, registry)).encode()).decode("ascii")


def pull_all(settings: Settings, engine: EngineClient, wanted: Sequence[Wanted], screen: Screen) -> list[Ended]:
    """Pull images, a few at a time; return how each ended, in their order. Call from the main thread.

    An interruption leaves: the engine stops what nobody waits for.
    """
    todo: SimpleQueue[int] = SimpleQueue()
    ended: SimpleQueue[tuple[int, Ended]] = SimpleQueue()
    for at in range(len(wanted)):
        todo.put(at)

    def work() -> None:
        with suppress(Empty):
            while True:
                at = todo.get_nowait()
                ended.put((at, _pull(settings, engine, wanted[at], screen)))

    for _ in range(min(_AT_ONCE, len(wanted))):
        threading.Thread(target=work, name="pull", daemon=True).start()
    found = dict(ended.get() for _ in wanted)
    return [found[at] for at in range(len(wanted))]


def _pull(settings: Settings, engine: EngineClient, wanted: Wanted, screen: Screen) -> Ended:
    course = PullCourse(wanted.reference)
    screen.show(course.begin())
    try:
        ended = _follow(settings, engine, wanted, course, screen)
    except StackctlError as error:
        ended = Ended(wanted, error=error)
    except Exception as error:  # the edge of a thread: the main one waits for every answer
        ended = Ended(wanted, error=ImageError(f"internal error: {type(error).__name__}: {error}", code="internal"))
    screen.show(course.end(str(ended.error) if ended.error else ""))
    return ended


def _follow(settings: Settings, engine: EngineClient, wanted: Wanted, course: PullCourse, screen: Screen) -> Ended:
    digest = status = ""
    for message in engine.image_pull(*wanted, registry_auth(settings, wanted.reference)):
        if message.get("error"):
            raise error_from_json(message.get("stackctlError") or {"message": message["error"]})
        text = str(message.get("status") or "")
        digest = text.removeprefix("Digest: ") if text.startswith("Digest: ") else digest
        status = text if text.startswith("Status: ") else status
        for update in course.take(message):
            screen.show_progress(update)
    return Ended(wanted, digest, status)
