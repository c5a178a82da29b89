"""Registries as the built-in engine reaches them: for plans, for their steps, and for Docker's clients."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from stackctl.engines.hosting import TellPull
from stackctl.errors import Conflict, NotFound
from stackctl.images.config import StoredImage
from stackctl.images.exports import Pushed
from stackctl.images.incoming import parse_tag
from stackctl.images.store import ImageStore
from stackctl.model.image import DEFAULT_REGISTRY, HOST_IMAGE, ImageRef, ResolvedImage, parse_image_ref
from stackctl.model.registry import ANONYMOUS, Credentials, PullProgress, TellProgress
from stackctl.reconcile.action import PullImage
from stackctl.reconcile.engine import CancelCheck, ImageRequest

if TYPE_CHECKING:
    from stackctl.images.registry.access import Access

_NOBODY: Final[Mapping[str, Credentials]] = MappingProxyType({})
_LOOKS: Final = 3


def _silence(_: str, __: PullProgress) -> None:
    return


class LocalRegistries:
    """Finds and pulls images into the engine's own store, as who ``credentials`` say, by registry.

    Errors are those of ``ImageStore``.
    """

    def __init__(
        self, store: ImageStore, credentials: Mapping[str, Credentials] = _NOBODY, tell: TellPull = _silence
    ) -> None:
        self._store = store
        self._credentials = credentials
        self._tell = tell

    def resolve(self, request: ImageRequest) -> ResolvedImage | None:
        """Find an image as its policy says; None when it is neither here nor to be looked for elsewhere."""
        here = self._store.resolve(request.reference, request.platform)
        is_local = request.policy == "never" or request.reference in (HOST_IMAGE, f"{HOST_IMAGE}:latest")
        is_fresh = here is not None and not self._is_old(request)
        if is_local or (is_fresh and request.policy == "missing"):
            return here
        from stackctl.images.registry.patience import Patience  # with what it imports 60 ms: only for registries

        # Somebody waits for the plan.
        access = self._access(request.reference, patience=Patience(attempts=_LOOKS))
        return self._store.find_remote(request.reference, request.platform, access)

    def _is_old(self, request: ImageRequest) -> bool:
        if not request.max_age_s:
            return False
        age_ns = time.time_ns() - self._store.inspect(request.reference).tagged_ns
        return age_ns > request.max_age_s * 1e9

    def perform(self, action: PullImage, cancelled: CancelCheck) -> None:
        """Pull what a plan found. Raises Conflict when the registry has something else there now."""
        access = self._access(
            action.reference, tell=lambda progress: self._tell(action.reference, progress), cancelled=cancelled
        )
        pulled = self._store.pull(action.reference, action.platform, access, digest=action.digest)
        if pulled.id != action.image_id:
            raise Conflict(
                f"image {action.reference} is no longer the one the plan was made for",
                code="image-changed",
                hint="run the command again",
            )

    def pull(
        self,
        reference: str,
        platform: str,
        credentials: Credentials,
        tell: TellProgress,
        cancelled: Callable[[], bool],
    ) -> list[str]:
        """Pull an image; return what Docker says at the end of it."""
        access = self._access(reference, credentials=credentials, tell=tell, cancelled=cancelled)
        pulled = self._store.pull(reference, platform, access)
        news = "Downloaded newer image for" if pulled.is_new else "Image is up to date for"
        return [f"Digest: {pulled.digest}", f"Status: {news} {reference}"]

    def push(
        self,
        reference: str,
        credentials: Credentials,
        tell: TellProgress,
        cancelled: Callable[[], bool],
    ) -> list[tuple[str, Pushed]]:
        """Push an image under its name, or under all its tags in a repository when that names none.

        Return the tags and what they lead to.
        """
        access = self._access(reference, credentials=credentials, tell=tell, cancelled=cancelled)
        pushed = []
        for name, image in self._to_push(reference):
            tell(PullProgress(f"The push refers to repository [{name.registry}/{name.repository}]"))
            pushed.append((name.tag, self._store.exports.push(image, name, access)))
        return pushed

    def _to_push(self, reference: str) -> list[tuple[ImageRef, StoredImage]]:
        name = parse_tag(reference)
        if ":" in reference.rpartition("/")[2]:
            return [(name, self._store.inspect(reference))]
        found = [
            (other, image)
            for image in self._store.list()
            for other in map(parse_image_ref, image.tags)
            if (other.registry, other.repository) == (name.registry, name.repository)
        ]
        if not found:
            raise NotFound(f"An image does not exist locally with the tag: {reference}", code="image-not-found")
        return found

    def fetch(self, reference: str, platform: str, cancelled: Callable[[], bool]) -> str:
        """Pull an image as who the engine was asked by, and return its id."""
        access = self._access(reference, tell=lambda progress: self._tell(reference, progress), cancelled=cancelled)
        return self._store.pull(reference, platform, access).id

    def log_in(self, registry: str, credentials: Credentials) -> None:
        """Return when the registry, "" for Docker Hub, takes the credentials. Raises ImageError."""
        self._store.check_login(registry or DEFAULT_REGISTRY, self._access("", credentials=credentials))

    def _access(self, reference: str, **options: object) -> Access:
        from stackctl.images.registry.access import Access  # as above

        try:
            registry = parse_image_ref(reference).registry
        except ValueError:
            registry = ""  # the store says what is wrong with it
        settings = {"credentials": self._credentials.get(registry, ANONYMOUS), **options}
        return Access(**settings)  # type: ignore[arg-type]  # the fields of Access, as the callers above name them
