"""What the built-in engine tells of itself as a whole, in Docker's shapes. Source: Engine API 1.51, SystemInfo."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from typing import Any, Final

from stackctl.engines.events import EventBus
from stackctl.engines.local import LocalEngine
from stackctl.images.store import ImageStore
from stackctl.model.image import DEFAULT_REGISTRY

_THIS_MACHINE: Final = ("::1/128", "127.0.0.0/8")


class LocalFacts:
    """Counts and settings. Any thread may call any method."""

    def __init__(
        self, status: Callable[[], dict[str, Any]], engine: LocalEngine, images: ImageStore, events: EventBus
    ) -> None:
        self.status = status
        self._engine = engine
        self._images = images
        self._events = events

    def container_states(self) -> Sequence[str]:
        """Return the state of each container."""
        return [container.state for container in self._engine.containers()]

    def image_count(self) -> int:
        """Return how many images there are, but for the built-in one."""
        return sum(not image.is_builtin for image in self._images.list())

    def listener_count(self) -> int:
        """Return how many clients listen to events."""
        return self._events.count()

    def registries(self) -> dict[str, Any]:
        """Return how registries are reached."""
        settings = self._images.registry_settings()
        networks = [text for text in settings.insecure if _is_network(text)]
        insecure = [name for name in settings.insecure if not _is_network(name)]
        entries = {name: _entry(name, is_secure=False) for name in insecure}
        hub = _entry(DEFAULT_REGISTRY, is_secure=True)
        entries[DEFAULT_REGISTRY] = {**hub, "Mirrors": list(settings.mirrors_of(DEFAULT_REGISTRY))}
        return {
            "IndexConfigs": entries,
            "InsecureRegistryCIDRs": [*_THIS_MACHINE, *networks],
            "Mirrors": list(settings.mirrors_of(DEFAULT_REGISTRY)) or None,
        }

    def proxies(self) -> dict[str, str]:
        """Return the proxies that pulls go through, without what is secret."""
        return self._images.registry_settings().proxies.shown()


def _entry(name: str, *, is_secure: bool) -> dict[str, Any]:
    return {"Name": name, "Mirrors": [], "Secure": is_secure, "Official": name == DEFAULT_REGISTRY}


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True
