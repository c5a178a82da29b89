"""Builds of a stack's images by a Docker Engine."""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Iterable, Mapping
from typing import Final

from stackctl.engines.docker.api import Api
from stackctl.engines.docker.images import DockerImages
from stackctl.engines.hosting import BuildWishes
from stackctl.errors import EngineError, NotFound
from stackctl.images.chunks import Readable
from stackctl.model.registry import Credentials
from stackctl.reconcile.action import BuildImage
from stackctl.reconcile.engine import CancelCheck

_PIECE_BYTES: Final = 1 << 20


class SpooledContexts:
    """Contexts in temporary files, for the time of one command."""

    def __init__(self) -> None:
        self._folder = ""

    def add(self, stream: Readable) -> str:
        """Take a context, a tar; return its name."""
        self._folder = self._folder or tempfile.mkdtemp(prefix="stackctl-")
        name = os.urandom(8).hex()
        with open(self.path(name), "wb") as file:
            while piece := stream.read(_PIECE_BYTES):
                file.write(piece)
        return name

    def path(self, name: str) -> str:
        """Return where a context is."""
        return f"{self._folder}/{name}"

    def drop(self, names: Iterable[str]) -> None:
        """Remove contexts; the last one takes the folder along."""
        for name in names:
            if self._folder and os.path.exists(self.path(name)):
                os.unlink(self.path(name))
        if self._folder and not os.listdir(self._folder):
            os.rmdir(self._folder)
            self._folder = ""


class DockerBuilds:
    """Has the engine build, and knows what it has built."""

    def __init__(self, api: Api, images: DockerImages) -> None:
        self._api = api
        self._images = images
        self._wishes = BuildWishes()
        self.contexts = SpooledContexts()

    def for_caller(self, credentials: Mapping[str, Credentials], wishes: BuildWishes | None) -> DockerBuilds:
        """Return the same for one caller."""
        del credentials
        own = copy.copy(self)
        own._wishes = wishes or self._wishes
        return own

    def image_id(self, reference: str) -> str:
        """See ``reconcile.builds.KnownImages``."""
        found = self._images.inspect(reference)
        return str(found["Id"]) if found is not None else ""

    def build_inputs(self, reference: str) -> str:
        """See ``reconcile.builds.KnownImages``."""
        del reference
        return ""

    def perform(self, action: BuildImage, cancelled: CancelCheck) -> None:
        """Build an image of what was sent for its service. Raises NotFound when nothing was."""
        del cancelled
        inputs = self._wishes.inputs.get(action.service)
        if inputs is None or not inputs.context:
            raise NotFound(f"the context of service {action.service} has not been sent", code="build-context-missing")
        raise EngineError(
            f"service {action.service}: builds on this engine are not supported yet",
            code="not-supported",
            hint=f"build it with docker build -t {action.reference}, and leave build: out",
        )
