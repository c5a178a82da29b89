"""Registries as the built-in engine reaches them, in the words of Docker's clients."""

from __future__ import annotations

from collections.abc import Callable

from stackctl.images.store import ImageStore
from stackctl.model.image import DEFAULT_REGISTRY
from stackctl.model.registry import Credentials, TellProgress


class LocalRegistries:
    """Pulls into the engine's own store. Errors are those of ``ImageStore``."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store

    def pull(
        self,
        reference: str,
        platform: str,
        credentials: Credentials,
        tell: TellProgress,
        cancelled: Callable[[], bool],
    ) -> list[str]:
        """Pull an image; return what Docker says at the end of it."""
        from stackctl.images.registry.access import Access  # 60 ms, http and ssl: only for pulls

        access = Access(credentials=credentials, tell=tell, cancelled=cancelled)
        pulled = self._store.pull(reference, platform, access)
        news = "Downloaded newer image for" if pulled.is_new else "Image is up to date for"
        return [f"Digest: {pulled.digest}", f"Status: {news} {reference}"]

    def log_in(self, registry: str, credentials: Credentials) -> None:
        """Return when the registry, "" for Docker Hub, takes the credentials. Raises ImageError."""
        from stackctl.images.registry.access import Access  # as above

        self._store.check_login(registry or DEFAULT_REGISTRY, Access(credentials=credentials))
