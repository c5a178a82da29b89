"""Images that are here: listed, shown, named, removed. Source: Docker Engine API 1.51, Image."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from stackctl.api.connection import Connection, Request
from stackctl.api.image_filters import PRUNE_FILTERS, chosen, passes
from stackctl.api.query import filters_of
from stackctl.api.routing import Answer, Route
from stackctl.api.selecting import check_known, truth
from stackctl.images.config import unix_time

Arguments = dict[str, str]
# Before these, an image without a name was called so, and the size was there twice.
_EMPTY_NAMES_SINCE: Final = (1, 43)
_ONE_SIZE_SINCE: Final = (1, 44)


class Images(Protocol):
    """What these routes need of images."""

    def list_json(self) -> list[dict[str, Any]]: ...
    def inspect_json(self, reference: str) -> dict[str, Any]: ...
    def history_json(self, reference: str) -> list[dict[str, Any]]: ...
    def tag(self, reference: str, name: str) -> None: ...
    def remove(self, reference: str, *, force: bool) -> list[dict[str, str]]: ...
    def prune(self, *, only_untagged: bool, passes: Callable[[Mapping[str, Any]], bool]) -> dict[str, Any]: ...


class ImageRoutes:
    """``/images``, but for what brings images in or takes them out."""

    def __init__(self, images: Images) -> None:
        self._images = images

    def routes(self) -> list[Route]:
        """Return the table."""
        return [
            Route("GET", "/images/json", self._list),
            Route("GET", "/images/search", _search),
            Route("POST", "/images/prune", self._prune),
            Route("POST", "/images/{name}/tag", self._tag),
            Route("GET", "/images/{name}/json", self._inspect),
            Route("GET", "/images/{name}/history", self._history),
            Route("DELETE", "/images/{name}", self._remove),
        ]

    def _list(self, request: Request, _: Connection, __: Arguments) -> Answer:
        version = _asked_version(request)
        found = chosen(self._images.list_json(), filters_of(request), self._created_s, time.time_ns())
        return Answer(200, [_as_of(version, image) for image in found])

    def _created_s(self, reference: str) -> int:
        return unix_time(str(self._images.inspect_json(reference)["Created"]))

    def _inspect(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        shape = self._images.inspect_json(arguments["name"])
        if _asked_version(request) < _ONE_SIZE_SINCE:
            shape["VirtualSize"] = shape["Size"]
        return Answer(200, shape)

    def _history(self, _: Request, __: Connection, arguments: Arguments) -> Answer:
        return Answer(200, self._images.history_json(arguments["name"]))

    def _prune(self, request: Request, _: Connection, __: Arguments) -> Answer:
        filters = filters_of(request)
        check_known(filters, PRUNE_FILTERS)
        dangling = truth(filters, "dangling")
        now_ns = time.time_ns()
        pruned = self._images.prune(
            only_untagged=dangling is not False, passes=lambda image: passes(image, filters, now_ns)
        )
        return Answer(200, pruned)

    def _tag(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        repository, tag = request.value("repo"), request.value("tag")
        if repository:
            self._images.tag(arguments["name"], f"{repository}:{tag}" if tag else repository)
        return Answer(201)

    def _remove(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        return Answer(200, self._images.remove(arguments["name"], force=request.flag("force")))


def _search(*_: object) -> Answer:
    return Answer(501, {"message": "searching is not supported by this engine: look in the registry itself"})


def _as_of(version: tuple[int, int], image: dict[str, Any]) -> dict[str, Any]:
    if version < _ONE_SIZE_SINCE:
        image = {**image, "VirtualSize": image["Size"]}
    if version < _EMPTY_NAMES_SINCE and not image["RepoTags"]:
        digests = image["RepoDigests"] or ["<none>@<none>"]
        image = {**image, "RepoTags": ["<none>:<none>"], "RepoDigests": digests}
    return image


def _asked_version(request: Request) -> tuple[int, int]:
    return request.version or _ONE_SIZE_SINCE
