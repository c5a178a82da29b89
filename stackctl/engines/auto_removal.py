"""Containers that are to be removed once they have ended: by the daemon, when all has been read that they wrote."""

from __future__ import annotations

import os
import threading
import time
from typing import Final

from stackctl.engines.console import LocalConsole
from stackctl.engines.events import EventBus
from stackctl.errors import StackctlError
from stackctl.model.observed import ObservedContainer

_PAUSE_S: Final = 0.5


def begin_auto_removal(console: LocalConsole, events: EventBus) -> None:
    """Remove from now on what is to be removed, also what ended while no daemon ran."""
    threading.Thread(target=_follow, args=(console, events), name="auto-removal", daemon=True).start()


def _follow(console: LocalConsole, events: EventBus) -> None:
    never = os.eventfd(0, os.EFD_CLOEXEC)
    # Order: listen first, then look: what ends in between is seen twice, not never.
    subscription = events.subscribe(is_internal=True)
    for container in _all(console):
        if container.state == "exited":
            _remove_later(console, container)
    for event in subscription.read(give_up_fd=never):
        if event.kind == "container" and event.action == "die":
            try:
                _remove_later(console, console.find(event.id))
            except StackctlError:  # it is gone already
                continue


def _all(console: LocalConsole) -> list[ObservedContainer]:
    while True:
        try:
            return console.list(is_all=True, filters={})
        except StackctlError:  # the supervisor is being replaced
            time.sleep(_PAUSE_S)


def _remove_later(console: LocalConsole, container: ObservedContainer) -> None:
    if container.spec is None or not container.spec.auto_remove:
        return
    threading.Thread(target=_remove, args=(console, container), name="auto-removal", daemon=True).start()


def _remove(console: LocalConsole, container: ObservedContainer) -> None:
    console.readers.wait_until_gone(container.id)
    console.remove_quietly(container)
