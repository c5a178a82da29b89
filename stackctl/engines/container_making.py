"""Making containers that belong to no stack, as Docker's API asks for them."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from stackctl.engines.local import LocalEngine
from stackctl.engines.observing import network_names
from stackctl.engines.random_names import random_name
from stackctl.errors import Conflict, NotFound, UsageError
from stackctl.images.store import ImageStore
from stackctl.model.container import ContainerSpec
from stackctl.model.image import ResolvedImage
from stackctl.model.network import NetworkSpec
from stackctl.model.volume import VolumeSpec
from stackctl.reconcile.action import CreateNetwork, CreateVolume
from stackctl.reconcile.engine import ImageRequest

DEFAULT_NETWORK: Final = NetworkSpec(name="bridge")
"""The network of containers that name none; made with the first of them."""
_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_NAME_TRIES: Final = 20


class ContainerMaker:
    """What a new container needs to be looked up and made. Any thread may call any method."""

    def __init__(self, engine: LocalEngine, images: ImageStore) -> None:
        self._engine = engine
        self._images = images

    def image(self, reference: str, platform: str) -> ResolvedImage:
        """Return an image that is here, by name or id. Raises NotFound in the words that clients look for."""
        stored = self._images.inspect(reference)
        asked = ImageRequest(stored.id if not platform else reference, platform, "never")
        found = self._engine.resolve([asked]).get(asked)
        if found is None:
            raise NotFound(
                f"image with reference {reference} was found but does not match the specified platform: {platform}",
                code="image-not-found",
            )
        return found

    def network_name(self, reference: str) -> str:
        """Return the name of a network, given by name, id or beginning of an id. Raises UsageError."""
        networks = self._engine.networks()
        names = {network.name for network in networks}
        if reference in names or reference == DEFAULT_NETWORK.name:
            return reference
        found = [network.name for network in networks if reference and network.id.startswith(reference)]
        if len(found) != 1:
            raise UsageError(f"network {reference} not found", code="no-such-network")
        return found[0]

    def new_volume(self) -> str:
        """Return a name for an anonymous volume."""
        return os.urandom(32).hex()

    def create(self, spec: ContainerSpec, volumes: Sequence[VolumeSpec]) -> str:
        """Make a container, with a name of our own if it has none, and return its id. Raises Conflict, EngineError."""
        if spec.name:
            _check_name(spec.name)
            self._refuse_taken(spec.name)
        if DEFAULT_NETWORK.name in network_names(spec):
            self._engine.perform(CreateNetwork(DEFAULT_NETWORK), lambda: False)
        for volume in volumes:
            self._engine.perform(CreateVolume(volume), lambda: False)
        return self._create(spec) if spec.name else self._create_unnamed(spec)

    def check_new_name(self, name: str, present: str) -> str:
        """Return the name that a container named ``present`` may get. Raises UsageError, Conflict."""
        wanted = name.removeprefix("/")
        _check_name(wanted)
        if wanted == present:
            raise UsageError("Renaming a container with the same name as its current name", code="invalid-name")
        return wanted

    def _create(self, spec: ContainerSpec) -> str:
        try:
            return self._engine.create(spec)
        except NotFound as error:
            if error.code == "image-not-found":
                raise
            # A client takes "not found" for an image that is to be pulled.
            raise UsageError(error.message, code=error.code) from error

    def _create_unnamed(self, spec: ContainerSpec) -> str:
        for _ in range(_NAME_TRIES):
            named = replace(spec, name=random_name(random.choice))
            try:
                self._refuse_taken(named.name)
                return self._create(named)
            except Conflict as error:
                if error.code != "name-taken":
                    raise
        return self._create(replace(spec, name=f"{random_name(random.choice)}_{os.urandom(4).hex()}"))

    def _refuse_taken(self, name: str) -> None:
        for container in self._engine.containers():
            if container.name == name:
                raise Conflict(
                    f'Conflict. The container name "/{name}" is already in use by container "{container.id}". '
                    "You have to remove (or rename) that container to be able to reuse that name.",
                    code="name-taken",
                )


def _check_name(name: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", code="invalid-name"
        )
