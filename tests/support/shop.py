"""A stack called shop on an engine in memory: written as stack files, planned, applied, looked at."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from stackctl.engines.memory import MemoryEngine
from stackctl.engines.memory_world import Behaviour
from stackctl.engines.observing import is_oneoff
from stackctl.labels import SERVICE
from stackctl.model.container import ContainerSpec
from stackctl.model.image import ImageConfig, ResolvedImage
from stackctl.model.observed import Observed, ObservedContainer
from stackctl.model.stack import Stack
from stackctl.reconcile.apply import Outcome, Report, apply
from stackctl.reconcile.desired import Desired, desired, image_requests, resource_names
from stackctl.reconcile.engine import ResourceNames
from stackctl.reconcile.existing import plan_down, plan_kill, plan_restart, plan_start, plan_stop
from stackctl.reconcile.plan import Plan, Step
from stackctl.reconcile.plan_text import plan_text
from stackctl.reconcile.policy import Policy
from stackctl.reconcile.up import plan_dependencies, plan_up
from stackctl.stackfile.decode import decode
from stackctl.stackfile.load import Loaded, LoadRequest, load

NAME = "shop"
VERSION = "1.0.0"
_FILE = "shop.yaml"
_FOLDER = "/shop"
_EXISTING = {"down": plan_down, "stop": plan_stop, "start": plan_start, "restart": plan_restart, "kill": plan_kill}


class Silent:
    """A reporter that only remembers."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def step_started(self, step: Step) -> None:
        """Nothing to tell."""

    def step_finished(self, outcome: Outcome) -> None:
        """Remember."""
        self.outcomes.append(outcome)


def image(reference: str, config: ImageConfig | None = None) -> ResolvedImage:
    """Return an image whose id comes from its reference; its command is ``serve``."""
    digest = hashlib.sha256(reference.encode()).hexdigest()
    return ResolvedImage(f"sha256:{digest}", config or ImageConfig(cmd=("serve",)))


class Shop:
    """``behaviours`` are by service. Every image that a stack names exists, unless ``images`` says which do.

    What is put into the engine's ``remote_images`` only a registry has.
    """

    def __init__(
        self, behaviours: Mapping[str, Behaviour] | None = None, images: Mapping[str, ResolvedImage] | None = None
    ) -> None:
        self.behaviours = dict(behaviours or {})
        self.images = dict(images or {})
        self.engine = MemoryEngine({"img:1": image("img:1")}, behaviour_of=self._behaviour)

    def _behaviour(self, spec: ContainerSpec) -> Behaviour:
        marks = dict(spec.labels)
        return Behaviour() if is_oneoff(marks) else self.behaviours.get(marks.get(SERVICE, ""), Behaviour())

    def loaded(self, text: str, **options: Any) -> Loaded:
        """Load a stack file; its name is put before its text."""
        content = f"name: {NAME}\n{text}"

        def read(path: str) -> bytes:
            if path != f"{_FOLDER}/{_FILE}":
                raise FileNotFoundError(2, "No such file or directory", path)
            return content.encode()

        return load(LoadRequest(files=(_FILE,), cwd=_FOLDER, **options), read=read)

    def desired(self, text: str, **options: Any) -> Desired:
        """Return what the stack file wants."""
        document = (loaded := self.loaded(text, **options)).document
        assert document is not None, loaded.diagnostics
        stack, diagnostics = decode(document)
        assert stack is not None, diagnostics
        fingerprints = {key: hashlib.sha256(value).hexdigest() for key, value in document.contents.items()}
        return self.desired_of(stack, fingerprints)

    def desired_of(self, stack: Stack, contents: Mapping[str, str] | None = None) -> Desired:
        """Return what a stack wants."""
        for request in image_requests(stack).values():
            if request.reference in self.engine.remote_images:
                continue
            known = self.images.get(request.reference) or image(request.reference)
            self.engine.images[request.reference] = known
        requests = image_requests(stack)
        found = self.engine.resolve(tuple(requests.values()))
        images = {service: found[request] for service, request in requests.items()}
        return desired(stack, images, contents or {}, version=VERSION)

    def plan_of(self, wanted: Desired, **policy: Any) -> Plan:
        """Return the plan of ``up``."""
        observed = self.engine.snapshot(NAME, resource_names(wanted.stack))
        return plan_up(wanted, observed, Policy(**policy), self.engine.traits())

    def plan(self, text: str, *, profiles: tuple[str, ...] = (), **policy: Any) -> Plan:
        """Return the plan of ``up`` for a stack file."""
        services = policy.get("services", ())
        return self.plan_of(self.desired(text, profiles=profiles, services=services), **policy)

    def plan_run(self, text: str, service: str, **policy: Any) -> Plan:
        """Return the plan of what comes before a one-off of ``service``."""
        wanted = self.desired(text)
        observed = self.engine.snapshot(NAME, resource_names(wanted.stack))
        return plan_dependencies(wanted, observed, service, Policy(**policy), self.engine.traits())

    def plan_existing(self, verb: str, **policy: Any) -> Plan:
        """Return the plan of ``down``, ``stop``, ``start``, ``restart`` or ``kill``."""
        return _EXISTING[verb](self.look(), Policy(**policy))

    def apply(self, plan: Plan, cancelled: Callable[[], bool] = lambda: False) -> Report:
        """Perform a plan."""
        return apply(plan, self.engine, Silent(), cancelled)

    def up(self, text: str, **policy: Any) -> Plan:
        """Plan and perform; every step must succeed."""
        plan = self.plan(text, **policy)
        report = self.apply(plan)
        assert report.is_ok, [(outcome.step, outcome.error) for outcome in report.failures]
        return plan

    def do(self, verb: str, **policy: Any) -> Plan:
        """Plan a verb about what exists and perform it; every step must succeed."""
        plan = self.plan_existing(verb, **policy)
        report = self.apply(plan)
        assert report.is_ok, [(outcome.step, outcome.error) for outcome in report.failures]
        return plan

    def look(self) -> Observed:
        """Return what there is of the stack."""
        return self.engine.snapshot(NAME, ResourceNames())

    def containers(self) -> dict[str, ObservedContainer]:
        """Return the stack's containers by name, without the stack's own."""
        return {container.name.removeprefix(f"{NAME}-"): container for container in self.look().containers}

    def containers_by_name(self) -> dict[str, ObservedContainer]:
        """Return the stack's containers by their full names."""
        return {container.name: container for container in self.look().containers}

    def states(self) -> dict[str, str]:
        """Return the state of each container."""
        return {name: container.state for name, container in self.containers().items()}


def up_text(before: str, after: str, *, behaviours: Mapping[str, Behaviour] | None = None, **policy: Any) -> str:
    """Return the text of the plan from one stack file to another; "" as the first is nothing."""
    shop = Shop(behaviours)
    if before:
        shop.up(before)
    return plan_text(shop.plan(after, **policy))
