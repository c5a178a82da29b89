"""Which image the tasks of a service run: pinned by digest, so that every machine runs the same."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from stackctl.engines.swarm.api import SwarmApi
from stackctl.errors import EngineError, ImageError
from stackctl.model.image import ImageRef, parse_image_ref
from stackctl.model.registry import ANONYMOUS, Credentials
from stackctl.wire.credentials import credentials_to_json


class SwarmImages:
    """Pins images; the manager asks registries, as who ``credentials`` say, by registry."""

    def __init__(self, api: SwarmApi, credentials: Mapping[str, Credentials]) -> None:
        self._api = api
        self._credentials = credentials
        self._known: dict[str, tuple[str, str]] = {}

    def pinned(self, reference: str) -> tuple[str, str]:
        """Return what tasks run for ``reference``, and why it is not pinned, "" when it is.

        Where no registry answers, an image of the manager's own is good enough: by the digest it came with, if any.
        Raises ImageError when neither knows the image.
        """
        if reference not in self._known:
            self._known[reference] = self._pin(reference)
        return self._known[reference]

    def _pin(self, reference: str) -> tuple[str, str]:
        name = _parsed(reference)
        if name.digest:
            return reference, ""
        try:
            digest = self._api.registry_digest(name.familiar, self.auth(reference))
        except EngineError as error:
            return self._without_registry(reference, name, error)
        return f"{name.familiar}@{digest}", ""

    def _without_registry(self, reference: str, name: ImageRef, why: EngineError) -> tuple[str, str]:
        repository = ImageRef(name.registry, name.repository, "").familiar
        for known in self._api.local_digests(name.familiar):
            if known.startswith(f"{repository}@"):
                return f"{name.familiar}@{known.partition('@')[2]}", ""
        if self._api.has_image(name.familiar):
            return name.familiar, why.message
        raise ImageError(
            f"{reference} is in no registry that the manager reaches: {why.message}",
            code="image-not-found",
            hint="push it to a registry that all machines of the Swarm reach, or log in: stackctl login",
        )

    def auth(self, reference: str) -> dict[str, str]:
        """Return the header by which machines pull the image; none for anybody's."""
        registry = _parsed(reference).registry
        credentials = self._credentials.get(registry, ANONYMOUS)
        if credentials.is_anonymous:
            return {}
        text = json.dumps(credentials_to_json(credentials, registry))
        return {"X-Registry-Auth": base64.urlsafe_b64encode(text.encode()).decode()}


def _parsed(reference: str) -> ImageRef:
    try:
        return parse_image_ref(reference)
    except ValueError as error:
        raise ImageError(f"{reference}: {error}", code="image-name-invalid") from error
