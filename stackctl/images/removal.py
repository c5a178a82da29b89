"""Which images may go, and the words for those that may not: Docker's, as clients look for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from stackctl.errors import Conflict
from stackctl.images.config import StoredImage
from stackctl.model.image import ImageRef, parse_image_ref


class ImageUser(NamedTuple):
    """A container made from an image."""

    container: str
    is_running: bool


UsersOf: TypeAlias = Callable[[str], Sequence[ImageUser]]
"""Returns the containers made from the image with an id."""


def names_to_go(image: StoredImage, name: ImageRef | None, users: Sequence[ImageUser], *, force: bool) -> list[str]:
    """Return which of an image's names, in familiar form, go when ``name`` is removed, or it is by id (None).

    With the last tag of a repository go the digests by which it was pulled from there. Raises Conflict.
    """
    references = [*image.tags, *image.digests]
    if name is None:
        check_removable(image, users, force=force)
        return references
    going = [name.familiar]
    same = [other for other in map(parse_image_ref, references) if _repository(other) == _repository(name)]
    if not name.digest and not any(other.tag and other.tag != name.tag and not other.digest for other in same):
        going += [other.familiar for other in same if other.digest]
    if users and len(going) == len(references) and not force:
        raise name_in_use(name.familiar, users[0], image.id)
    return going


def _repository(name: ImageRef) -> tuple[str, str]:
    return name.registry, name.repository


def name_in_use(name: str, user: ImageUser, image_id: str) -> Conflict:
    """Return the error for a last name that a container was made from."""
    return Conflict(
        f'conflict: unable to remove repository reference "{name}" (must force) - container '
        f"{user.container[:12]} is using its referenced image {_short(image_id)}",
        code="image-in-use",
    )


def check_removable(image: StoredImage, users: Sequence[ImageUser], *, force: bool) -> None:
    """Raise Conflict for an image that may not be removed by its id."""
    running = [user for user in users if user.is_running]
    if running:
        raise _conflict(image, f"image is being used by running container {running[0].container[:12]}", "cannot be")
    if force:
        return
    if len(image.tags) + len(image.digests) > 1:
        raise _conflict(image, "image is referenced in multiple repositories", "must be")
    if users:
        raise _conflict(image, f"image is being used by stopped container {users[0].container[:12]}", "must be")


def _conflict(image: StoredImage, why: str, verb: str) -> Conflict:
    return Conflict(f"conflict: unable to delete {_short(image.id)} ({verb} forced) - {why}", code="image-in-use")


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:12]
