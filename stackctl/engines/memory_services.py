"""The memory engine whose grain is the service: what another such engine does differently, that one does wrong.

Everything is instant. What the tasks of a service do is told by a script; any action can be made to fail.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from stackctl import labels
from stackctl.engines.observing import changed, network_key
from stackctl.errors import Conflict, ContainerError, EngineError, NotFound
from stackctl.model.fingerprint import fingerprint
from stackctl.model.image import ResolvedImage
from stackctl.model.key import ResourceKey
from stackctl.model.network import NetworkSpec
from stackctl.model.observed import Observed, ObservedContent, ObservedNetwork, ObservedService
from stackctl.model.service import ContentSpec, ServiceSpec
from stackctl.reconcile.action import Action, CreateNetwork, RemoveNetwork
from stackctl.reconcile.engine import CancelCheck, ImageRequest, ResourceNames, Traits
from stackctl.reconcile.service_action import (
    AwaitService,
    CreateContent,
    CreateService,
    RemoveContent,
    RemoveService,
    UpdateService,
)

SERVICE_TRAITS: Final = Traits(grain="service", network_driver="overlay")


@dataclass(frozen=True, slots=True)
class TaskBehaviour:
    """What a service's tasks do: run on, end with a code, or fail to start for a reason."""

    exit_code: int | None = None
    start_error: str = ""

    @property
    def runs(self) -> bool:
        """Whether a task goes on running."""
        return self.exit_code is None and not self.start_error


@dataclass(slots=True)
class _Service:
    id: str
    spec: ServiceSpec
    created_ns: int
    previous: ServiceSpec | None = None
    update: str = ""
    message: str = ""


@dataclass(slots=True)
class _World:
    services: dict[str, _Service] = field(default_factory=dict)
    networks: dict[str, tuple[str, NetworkSpec]] = field(default_factory=dict)
    contents: dict[tuple[str, str], tuple[str, ContentSpec]] = field(default_factory=dict)
    serial: int = 0

    def next_id(self) -> str:
        self.serial += 1
        return f"{self.serial:025d}"


class MemoryServiceEngine:
    """A cluster without machines. Any thread may call any method.

    ``images`` maps references to what registries have under them; ``behaviour_of`` says what tasks do.
    """

    def __init__(
        self,
        images: Mapping[str, ResolvedImage] | None = None,
        *,
        behaviour_of: Callable[[ServiceSpec], TaskBehaviour] = lambda _: TaskBehaviour(),
        nodes: int = 1,
    ) -> None:
        self.images = dict(images or {})
        self.contents: dict[str, bytes] = {}
        self.performed: list[Action] = []
        self.nodes = nodes
        self._behaviour_of = behaviour_of
        self._world = _World()
        self._lock = threading.Lock()

    def traits(self) -> Traits:
        """Return what every engine of this grain can do."""
        return SERVICE_TRAITS

    def resolve(self, requests: Sequence[ImageRequest]) -> Mapping[ImageRequest, ResolvedImage]:
        """Find images by their reference, as written."""
        return {request: self.images[request.reference] for request in requests if request.reference in self.images}

    def snapshot(self, stack: str, names: ResourceNames) -> Observed:
        """Return what there is of ``stack`` or under one of ``names``."""
        with self._lock:
            services = tuple(self._service(name) for name in sorted(self._world.services))
            contents = tuple(
                ObservedContent(kind=spec.kind, name=name, id=own_id, labels=spec.labels)
                for (_, name), (own_id, spec) in sorted(self._world.contents.items())
            )
            networks = tuple(self._network(name) for name in sorted(self._world.networks))
        return observed_services(stack, names, services, networks, contents)

    def perform(self, action: Action, cancelled: CancelCheck) -> str:
        """See ``reconcile.engine.Engine.perform``."""
        del cancelled  # nothing here takes time
        with self._lock:
            self._perform(action)
            self.performed.append(action)
        return ""

    # -- actions ----------------------------------------------------------------------------------------

    def _perform(self, action: Action) -> None:
        match action:
            case CreateNetwork(spec):
                self._create_network(spec)
            case RemoveNetwork(name, expect_id):
                self._remove_network(name, expect_id)
            case CreateContent(content):
                self._create_content(content)
            case RemoveContent(kind, name, expect_id):
                self._remove_content(kind, name, expect_id)
            case CreateService(service):
                self._create(service)
            case UpdateService(service, expect_id, base):
                self._update(service, expect_id, base)
            case RemoveService(name, expect_id):
                self._remove(name, expect_id)
            case AwaitService():
                self._await(action)
            case _:
                raise EngineError(f"{type(action).__name__} is unknown to this engine")

    def _create_network(self, spec: NetworkSpec) -> None:
        existing = self._world.networks.get(spec.name)
        if existing is None:
            self._world.networks[spec.name] = (self._world.next_id(), spec)
        elif replace(existing[1], labels=()) != replace(spec, labels=()):
            raise Conflict(f"network {spec.name} exists with another definition", code="network-differs")

    def _remove_network(self, name: str, expect_id: str) -> None:
        existing = self._world.networks.get(name)
        if existing is None:
            return
        if expect_id not in ("", existing[0]):
            raise changed("network", name)
        if users := self._users(name):
            raise Conflict(f"network {name} is in use by {', '.join(users)}", code="network-in-use")
        del self._world.networks[name]

    def _create_content(self, spec: ContentSpec) -> None:
        existing = self._world.contents.get((spec.kind, spec.name))
        if existing is not None:
            if existing[1].fingerprint != spec.fingerprint:
                raise Conflict(f"{spec.kind} {spec.name} has another content", code="content-differs")
            return
        if spec.fingerprint not in self.contents:
            raise NotFound(f"the content of {spec.kind} {spec.name} was not sent", code="content-missing")
        self._world.contents[spec.kind, spec.name] = (self._world.next_id(), spec)

    def _remove_content(self, kind: str, name: str, expect_id: str) -> None:
        existing = self._world.contents.get((kind, name))
        if existing is None:
            return
        if expect_id not in ("", existing[0]):
            raise changed(kind, name)
        users = [
            service
            for service, found in sorted(self._world.services.items())
            if any((use.kind, use.name) == (kind, name) for use in found.spec.contents)
        ]
        if users:
            raise Conflict(f"{kind} {name} is in use by {', '.join(users)}", code=f"{kind}-in-use")
        del self._world.contents[kind, name]

    def _create(self, spec: ServiceSpec) -> None:
        existing = self._world.services.get(spec.name)
        if existing is not None:
            if existing.spec == spec:
                return
            raise Conflict(f"service {spec.name} exists already", code="service-name-taken")
        self._check_needs(spec)
        self._world.services[spec.name] = _Service(self._world.next_id(), spec, self._world.serial)

    def _update(self, spec: ServiceSpec, expect_id: str, base: str) -> None:
        service = self._find(spec.name, expect_id)
        if service.spec == spec:
            return
        if fingerprint(service.spec) != base:
            raise changed("service", spec.name)
        if service.spec.mode != spec.mode:
            raise Conflict("the mode of a service cannot change", code="service-mode")
        self._check_needs(spec)
        service.previous, service.spec = service.spec, spec
        self._roll(service)

    def _roll(self, service: _Service) -> None:
        behaviour = self._behaviour_of(service.spec)
        service.update, service.message = "completed", ""
        if behaviour.runs or service.spec.is_job or service.spec.update.failure_action == "continue":
            return
        service.message = f"task failed: {_why(behaviour)}"
        if service.spec.update.failure_action == "rollback" and service.previous is not None:
            service.spec, service.previous = service.previous, None
            service.update = "rollback_completed"
        else:
            service.update = "paused"

    def _remove(self, name: str, expect_id: str) -> None:
        if name in self._world.services:
            self._find(name, expect_id)
            del self._world.services[name]

    def _await(self, action: AwaitService) -> None:
        service = self._find(action.name, "")
        behaviour = self._behaviour_of(service.spec)
        if service.update in ("paused", "rollback_completed"):
            self._give_up(service, action, f"its update is {service.update}: {service.message}")
        if action.condition == "service_completed_successfully":
            if behaviour.exit_code != 0:
                self._give_up(service, action, _why(behaviour))
        elif not behaviour.runs and service.spec.replicas:
            self._give_up(service, action, _why(behaviour))

    def _give_up(self, service: _Service, action: AwaitService, why: str) -> None:
        if action.rollback is not None and service.spec != action.rollback:
            service.previous, service.spec = service.spec, action.rollback
            service.update, service.message = "completed", ""
            why += "; it is back at what it was before"
        raise ContainerError(f"service {service.spec.name} is not as wanted: {why}", code="service-not-converged")

    # -- looking ----------------------------------------------------------------------------------------

    def _find(self, name: str, expect_id: str) -> _Service:
        service = self._world.services.get(name)
        if service is None:
            raise NotFound(f"no such service: {name}", code="no-such-service")
        if expect_id not in ("", service.id):
            raise changed("service", name)
        return service

    def _check_needs(self, spec: ServiceSpec) -> None:
        for attachment in spec.networks:
            if attachment.network not in self._world.networks and attachment.network not in ("host", "none"):
                raise NotFound(f"network {attachment.network} does not exist", code="no-such-network")
        for use in spec.contents:
            if (use.kind, use.name) not in self._world.contents:
                raise NotFound(f"{use.kind} {use.name} does not exist", code=f"no-such-{use.kind}")
        for other in self._world.services.values():
            for port in spec.ports:
                if other.spec.name != spec.name and port.published in {at.published for at in other.spec.ports} - {0}:
                    text = f"port {port.published} is published by service {other.spec.name}"
                    raise Conflict(text, code="port-taken", field=f"ports.{port.published}")

    def _users(self, network: str) -> list[str]:
        return [
            name
            for name, service in sorted(self._world.services.items())
            if any(at.network == network for at in service.spec.networks)
        ]

    def _service(self, name: str) -> ObservedService:
        service = self._world.services[name]
        behaviour = self._behaviour_of(service.spec)
        wanted = self.nodes if service.spec.mode in ("global", "global-job") else service.spec.replicas
        return ObservedService(
            id=service.id,
            name=name,
            spec=service.spec,
            key=service_key(dict(service.spec.labels)),
            labels=service.spec.labels,
            previous_contents=used_contents(service.previous),
            update=service.update,
            update_message=service.message,
            wanted=wanted,
            running=wanted if behaviour.runs else 0,
            completed=wanted if behaviour.exit_code == 0 else 0,
            created_ns=service.created_ns,
        )

    def _network(self, name: str) -> ObservedNetwork:
        own_id, spec = self._world.networks[name]
        return ObservedNetwork(
            id=own_id,
            name=name,
            key=network_key(dict(spec.labels)),
            spec=spec,
            labels=spec.labels,
            containers=tuple(self._users(name)),
        )


def service_key(marks: Mapping[str, str]) -> ResourceKey | None:
    """Return the service of a stack that labels claim to be."""
    service = marks.get(labels.SERVICE)
    return ResourceKey("service", service) if service and labels.PROJECT in marks else None


def used_contents(spec: ServiceSpec | None) -> tuple[tuple[str, str], ...]:
    """Return (kind, real name) of the configs and secrets that a specification uses."""
    return tuple(sorted({(use.kind, use.name) for use in spec.contents})) if spec is not None else ()


def observed_services(
    stack: str,
    names: ResourceNames,
    services: Sequence[ObservedService],
    networks: Sequence[ObservedNetwork],
    contents: Sequence[ObservedContent],
) -> Observed:
    """Return what belongs to ``stack`` or has one of ``names``, with the fingerprint of all that is decided.

    How many tasks run at the moment takes no part in it.
    """
    found = Observed(
        stack=stack,
        services=tuple(s for s in services if _project(s.labels) == stack or s.name in names.services),
        networks=tuple(n for n in networks if _project(n.labels) == stack or n.name in names.networks),
        contents=tuple(c for c in contents if _project(c.labels) == stack or c.name in names.contents),
    )
    decided = (
        tuple((service.id, service.spec) for service in found.services),
        tuple((network.id, network.spec) for network in found.networks),
        tuple((content.kind, content.id) for content in found.contents),
    )
    return replace(found, fingerprint=fingerprint(decided))


def _project(pairs: tuple[tuple[str, str], ...]) -> str:
    return dict(pairs).get(labels.PROJECT, "")


def _why(behaviour: TaskBehaviour) -> str:
    return behaviour.start_error or f"task: non-zero exit ({behaviour.exit_code})"
