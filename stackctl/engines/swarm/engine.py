"""SwarmEngine: a Docker Swarm as the Engine protocol has it. See ``engines.memory_services`` for what is meant."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from stackctl import labels
from stackctl.engines.docker.contents import SentContents
from stackctl.engines.memory_services import SERVICE_TRAITS, observed_services
from stackctl.engines.observing import changed, volume_key
from stackctl.engines.swarm.api import Shape, SwarmApi
from stackctl.engines.swarm.awaiting import Rollout
from stackctl.engines.swarm.errors import is_name_conflict, is_out_of_sequence, told_by_swarm
from stackctl.engines.swarm.images import SwarmImages
from stackctl.engines.swarm.labels import FINGERPRINT, read
from stackctl.engines.swarm.placement import wanted_tasks
from stackctl.engines.swarm.read import observed_content, observed_network, observed_service, service_spec
from stackctl.engines.swarm.write import content_body, network_body, service_body
from stackctl.errors import Conflict, EngineError, NotFound, TransientError
from stackctl.model.fingerprint import fingerprint
from stackctl.model.image import ImageConfig, ResolvedImage
from stackctl.model.network import NetworkSpec
from stackctl.model.observed import Observed, ObservedVolume
from stackctl.model.registry import Credentials
from stackctl.model.service import ContentKind, ContentSpec, ServiceSpec
from stackctl.reconcile.action import Action, CreateNetwork, RemoveNetwork, RemoveVolume
from stackctl.reconcile.engine import CancelCheck, ImageRequest, ResourceNames, Traits
from stackctl.reconcile.service_action import (
    AwaitService,
    CreateContent,
    CreateService,
    RemoveContent,
    RemoveService,
    UpdateService,
)
from stackctl.reconcile.services.diff import compare_overlays

_ATTEMPTS: Final = 5
_PAUSE_S: Final = 0.2
_LEAVING_S: Final = 60.0
_KINDS: Final[tuple[ContentKind, ...]] = ("config", "secret")
_ACTIVE: Final = frozenset(
    "new allocated pending assigned accepted preparing ready starting running".split(),
)


class SwarmEngine:
    """The Swarm that a manager leads. Any thread may call any method; ``contents`` has those that were sent along."""

    def __init__(
        self, api: SwarmApi, contents: SentContents, credentials: Mapping[str, Credentials] | None = None
    ) -> None:
        self._api = api
        self._contents = contents
        self.images = SwarmImages(api, credentials or {})

    def for_caller(self, credentials: Mapping[str, Credentials]) -> SwarmEngine:
        """Return the same engine for one caller: registries know who asks."""
        return SwarmEngine(self._api, self._contents, credentials)

    def traits(self) -> Traits:
        """See ``reconcile.engine.Engine.traits``."""
        return SERVICE_TRAITS

    def resolve(self, requests: Sequence[ImageRequest]) -> Mapping[ImageRequest, ResolvedImage]:
        """Find images. Their configuration is not known: the machines that run them read it."""
        found = {}
        for request in requests:
            image, _ = self.images.pinned(request.reference)
            found[request] = ResolvedImage(image.partition("@")[2], ImageConfig())
        return found

    def snapshot(self, stack: str, names: ResourceNames) -> Observed:
        """See ``reconcile.engine.Engine.snapshot``; volumes are those of the manager itself."""
        with told_by_swarm(f"stack {stack}"):
            listed = self._api.networks()
            by_id = {network["Id"]: network["Name"] for network in listed}
            services = [observed_service(shape, by_id) for shape in self._api.services()]
            nodes = self._api.nodes()
            services = [replace(service, wanted=wanted_tasks(service.spec, nodes)) for service in services]
            contents = [observed_content(kind, shape) for kind in _KINDS for shape in self._api.contents(kind)]
            volumes = self._api.volumes(stack)
        users: dict[str, list[str]] = {}
        for service in services:
            for attachment in service.spec.networks:
                users.setdefault(attachment.network, []).append(service.name)
        # Networks of this one machine are nothing that a service could be on, but for these two.
        networks = [
            observed_network(shape, tuple(sorted(users.get(shape["Name"], ()))))
            for shape in listed
            if shape.get("Scope") == "swarm" or shape["Name"] in ("host", "none")
        ]
        found = observed_services(
            stack,
            names,
            sorted(services, key=lambda service: service.name),
            sorted(networks, key=lambda network: network.name),
            sorted(contents, key=lambda content: (content.kind, content.name)),
        )
        return replace(found, volumes=tuple(_volume(shape) for shape in volumes))

    def perform(self, action: Action, cancelled: CancelCheck) -> str:
        """See ``reconcile.engine.Engine.perform``."""
        match action:
            case CreateNetwork(spec):
                return self._create_network(spec)
            case RemoveNetwork(name, expect_id):
                return self._remove_network(name, expect_id)
            case RemoveVolume(name):
                with told_by_swarm(f"volume {name}"):
                    self._api.remove_volume(name)
            case CreateContent(content):
                self._create_content(content)
            case RemoveContent(kind, name, expect_id):
                self._remove_content(kind, name, expect_id)
            case _:
                return self._perform_on_service(action, cancelled)
        return ""

    def _perform_on_service(self, action: Action, cancelled: CancelCheck) -> str:
        match action:
            case CreateService(spec):
                return self._create(spec)
            case UpdateService(spec, expect_id, base):
                return self.update(spec, expect_id, base)
            case RemoveService(name, expect_id):
                self._remove(name, expect_id, cancelled)
            case AwaitService():
                with told_by_swarm(f"service {action.name}"):
                    Rollout(self._api, action, cancelled).wait(self._send_back)
            case _:
                raise EngineError(f"{type(action).__name__} is unknown to this engine")
        return ""

    # -- networks, configs and secrets --------------------------------------------------------------------

    def _create_network(self, spec: NetworkSpec) -> str:
        existing = self._network(spec.name)
        if existing is not None:
            known = observed_network(existing, ()).spec
            if known is not None and compare_overlays(spec, known):
                raise Conflict(f"network {spec.name} exists with another definition", code="network-differs")
            return ""
        with told_by_swarm(f"network {spec.name}"):
            self._api.create_network(network_body(spec))
        return ""

    def _remove_network(self, name: str, expect_id: str) -> str:
        existing = self._network(name)
        if existing is None:
            return ""
        if expect_id not in ("", existing["Id"]):
            raise changed("network", name)
        by_id = {existing["Id"]: name}
        users = [
            shape["Spec"]["Name"]
            for shape in self._api.services()
            if any(at.network == name for at in service_spec(shape["Spec"], by_id).networks)
        ]
        if users:
            raise Conflict(f"network {name} is in use by {', '.join(sorted(users))}", code="network-in-use")
        with told_by_swarm(f"network {name}"):
            self._api.remove_network(existing["Id"])
        return ""

    def _network(self, name: str) -> Shape | None:
        found = [shape for shape in self._api.networks() if shape["Name"] == name]
        return found[0] if found else None

    def _create_content(self, spec: ContentSpec) -> None:
        content = self._contents.get(spec.fingerprint)
        existing = self._content(spec.kind, spec.name)
        if existing is None and content is None:
            raise NotFound(f"the content of {spec.kind} {spec.name} was not sent", code="content-missing")
        if existing is None and content is not None:
            try:
                with told_by_swarm(f"{spec.kind} {spec.name}"):
                    self._api.create_content(spec.kind, content_body(spec, content))
            except EngineError as error:
                existing = self._content(spec.kind, spec.name) if is_name_conflict(error) else None
                if existing is None:
                    raise
        if existing is not None and (existing["Spec"].get("Labels") or {}).get(FINGERPRINT) != spec.fingerprint:
            raise Conflict(f"{spec.kind} {spec.name} has another content", code="content-differs")

    def _remove_content(self, kind: ContentKind, name: str, expect_id: str) -> None:
        existing = self._content(kind, name)
        if existing is None:
            return
        if expect_id not in ("", existing["ID"]):
            raise changed(kind, name)
        try:
            self._api.remove_content(kind, existing["ID"])
        except EngineError as error:
            if "in use" not in error.message:
                raise
            raise Conflict(f"{kind} {name} is in use", code=f"{kind}-in-use") from error

    def _content(self, kind: ContentKind, name: str) -> Shape | None:
        return next((shape for shape in self._api.contents(kind) if shape["Spec"]["Name"] == name), None)

    # -- services -------------------------------------------------------------------------------------------

    def _create(self, spec: ServiceSpec) -> str:
        body = self._body(spec)
        try:
            with told_by_swarm(f"service {spec.name}"):
                return _warnings(self._api.create_service(body, self.images.auth(spec.image_ref)))
        except EngineError as error:
            if not is_name_conflict(error):
                raise
            existing = self._api.service(spec.name)
            if existing is not None and self._spec(existing) == spec:
                return ""
            raise Conflict(f"service {spec.name} exists already", code="service-name-taken") from error

    def update(self, spec: ServiceSpec, expect_id: str, base: str) -> str:
        """See ``reconcile.service_action.UpdateService``.

        The version of a service moves whenever anything of it does, so a refused write is tried again as long as
        the specification is still the one that the plan saw.
        """
        body = self._body(spec)
        for _ in range(_ATTEMPTS):
            existing = self._find(spec.name, expect_id)
            known = self._spec(existing)
            if known == spec:
                return ""
            if fingerprint(known) != base:
                raise changed("service", spec.name)
            if known.mode != spec.mode:
                raise Conflict(f"service {spec.name}: the mode of a service cannot change", code="service-mode")
            try:
                with told_by_swarm(f"service {spec.name}"):
                    version = int(existing["Version"]["Index"])
                    auth = self.images.auth(spec.image_ref)
                    return _warnings(self._api.update_service(existing["ID"], version, body, auth))
            except EngineError as error:
                if not is_out_of_sequence(error):
                    raise
        raise TransientError(f"service {spec.name} is changed all the time by somebody else", code="out-of-sequence")

    def _send_back(self, spec: ServiceSpec) -> None:
        existing = self._find(spec.name, "")
        known = self._spec(existing)
        self.update(replace(spec, generation=max(spec.generation, known.generation)), "", fingerprint(known))

    def _remove(self, name: str, expect_id: str, cancelled: CancelCheck) -> None:
        existing = self._api.service(name)
        if existing is None:
            return
        if expect_id not in ("", existing["ID"]):
            raise changed("service", name)
        stack = dict(read(existing["Spec"].get("Labels"))).get(labels.PROJECT, "")
        grace_s = self._spec(existing).stop_grace_s
        with told_by_swarm(f"service {name}"):
            self._api.remove_service(existing["ID"])
            self._await_end(name, existing["ID"], stack, grace_s + _LEAVING_S, cancelled)

    def _await_end(self, name: str, service_id: str, stack: str, patience_s: float, cancelled: CancelCheck) -> None:
        """Wait until no task of a removed service is left, but on machines that do not answer."""
        deadline = time.monotonic() + patience_s
        lost = {node["ID"] for node in self._api.nodes() if (node.get("Status") or {}).get("State") != "ready"}
        while True:
            left = [
                task
                for task in self._api.tasks(stack=stack)
                if task.get("ServiceID") == service_id
                and (task.get("Status") or {}).get("State") in _ACTIVE
                and task.get("NodeID") not in lost
            ]
            if not left:
                return
            if cancelled():
                raise EngineError("cancelled", code="cancelled")
            if time.monotonic() > deadline:
                raise EngineError(f"{len(left)} tasks of service {name} do not end", code="tasks-left")
            time.sleep(_PAUSE_S)

    def _find(self, name: str, expect_id: str) -> Shape:
        existing = self._api.service(name)
        if existing is None:
            raise NotFound(f"no such service: {name}", code="no-such-service")
        if expect_id not in ("", existing["ID"]):
            raise changed("service", name)
        return existing

    def _spec(self, shape: Shape) -> ServiceSpec:
        return service_spec(shape["Spec"], {network["Id"]: network["Name"] for network in self._api.networks()})

    def _body(self, spec: ServiceSpec) -> dict[str, Any]:
        kinds = {use.kind for use in spec.contents}
        ids: dict[tuple[str, str], str] = {
            (kind, shape["Spec"]["Name"]): shape["ID"]
            for kind in _KINDS
            if kind in kinds
            for shape in self._api.contents(kind)
        }
        for use in spec.contents:
            if (use.kind, use.name) not in ids:
                raise NotFound(f"{use.kind} {use.name} does not exist", code=f"no-such-{use.kind}", field="contents")
        return service_body(spec, ids)


def _warnings(answer: Shape) -> str:
    return "; ".join(answer.get("Warnings") or ())


def _volume(shape: Shape) -> ObservedVolume:
    marks = read(shape.get("Labels"))
    return ObservedVolume(name=shape["Name"], key=volume_key(dict(marks)), labels=marks)
