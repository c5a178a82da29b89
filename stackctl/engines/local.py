"""The built-in engine behind the Engine protocol: images of the daemon, containers of the supervisor."""

from __future__ import annotations

import copy
import os
import queue
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from stackctl.diagnostics import Diagnostic
from stackctl.engines import systemd
from stackctl.engines.hosting import BuildWishes, Note, TellPull, tell_nobody
from stackctl.engines.local_builds import LocalBuilds
from stackctl.engines.local_observing import container_of, networks_of, volumes_of
from stackctl.engines.local_registries import LocalRegistries
from stackctl.engines.misfits import misfits
from stackctl.engines.observing import changed, observed
from stackctl.errors import Conflict, EngineError, ImageError, NotFound
from stackctl.images.store import ImageStore
from stackctl.model.container import ContainerSpec
from stackctl.model.image import ResolvedImage
from stackctl.model.observed import (
    Observed,
    ObservedContainer,
    ObservedNetwork,
    ObservedVolume,
)
from stackctl.model.registry import Credentials
from stackctl.model.stack import Stack
from stackctl.reconcile.action import (
    Action,
    AwaitCondition,
    BuildImage,
    CreateContainer,
    CreateNetwork,
    CreateVolume,
    KillContainer,
    PullImage,
    RemoveContainer,
    RemoveNetwork,
    RemoveVolume,
    RenameContainer,
    StartContainer,
    StopContainer,
    SwitchTraffic,
    UpdateContainer,
)
from stackctl.reconcile.engine import CancelCheck, ImageRequest, ResourceNames, Traits
from stackctl.reconcile.live import ALL_LIVE
from stackctl.runtime import set_aside
from stackctl.runtime.faults import fault_point
from stackctl.runtime.log_reader import LogReader, last_lines
from stackctl.runtime.paths import EnginePaths
from stackctl.runtime.record import read_spec
from stackctl.runtime.supervisor_client import Call, Message, SupervisorClient
from stackctl.wire import codec

_LOOK_S: Final = 0.2


class LocalEngine:
    """Containers on this machine, by our own supervisor. Any thread may call any method."""

    def __init__(self, paths: EnginePaths, supervisor: SupervisorClient, images: ImageStore) -> None:
        self._paths = paths
        self._supervisor = supervisor
        self._images = images
        self._registries = LocalRegistries(images)
        self.builds = LocalBuilds(paths, supervisor, images)
        self._wishes = BuildWishes()
        self._note: Note = tell_nobody
        self._specs: dict[tuple[str, int], ContainerSpec] = {}

    def for_caller(
        self,
        credentials: Mapping[str, Credentials],
        tell: TellPull,
        wishes: BuildWishes | None = None,
        note: Note = tell_nobody,
    ) -> LocalEngine:
        """Return the same engine for one caller: registries know who asks; pulls, builds, waits are told of."""
        own = copy.copy(self)
        own._note = note
        own._wishes = wishes or self._wishes
        own._registries = LocalRegistries(self._images, credentials, tell)
        return own

    def traits(self) -> Traits:
        """All that is not the process's own changes live; containers can be renamed."""
        return Traits(live_fields=ALL_LIVE, can_switch_traffic=True)

    def misfits(self, stack: Stack) -> tuple[Diagnostic, ...]:
        """See ``hosting.HostEngine``."""
        return misfits(stack, len(os.sched_getaffinity(0)))

    def resolve(self, requests: Sequence[ImageRequest]) -> Mapping[ImageRequest, ResolvedImage]:
        """Find images in the local store, or where their policy says so in their registries."""
        found = {}
        for request in requests:
            image = self._registries.resolve(request)
            if image is not None:
                found[request] = image
        return found

    def snapshot(self, stack: str, names: ResourceNames) -> Observed:
        """Return what the supervisor has of ``stack`` or under one of ``names``."""
        answer = self._supervisor.call("list", look=True)
        cut_off = answer.get("cut_off", ())  # a supervisor from before does not tell
        containers = tuple(replace(c, is_cut_off=True) if c.id in cut_off else c for c in self._containers(answer))
        networks = networks_of(answer, containers)
        volumes = volumes_of(answer, containers)
        return observed(stack, names, containers, networks, volumes)

    def notices(self) -> list[str]:
        """Return what was found or done on this machine that its owner should know."""
        return list(self._supervisor.call("status")["notices"])

    def boot_notices(self) -> list[str]:
        """See ``hosting.HostEngine``. Where nothing can be installed there is nothing to say."""
        return systemd.boot_notices(self._paths)

    def set_aside(self) -> list[str]:
        """Return where the files of containers are whose specification was lost."""
        return set_aside.notices(self._paths)

    def stamp(self, stack: str) -> str:
        """Return a text that is true of ``stack`` until something of it changes, "" if there is none."""
        try:
            stamp: str = self._supervisor.call("stamp", group=stack)["stamp"]
        except EngineError as error:
            if error.code != "protocol":
                raise
            return ""  # a supervisor from before there were stamps
        return stamp

    def images_changed(self) -> None:
        """What was known of any stack is no longer sure."""
        self._supervisor.call("spoil-stamps")

    def containers(self) -> tuple[ObservedContainer, ...]:
        """Return every container, by name."""
        return self._containers(self._supervisor.call("list"))

    def networks(self) -> tuple[ObservedNetwork, ...]:
        """Return every network, by name."""
        answer = self._supervisor.call("list")
        return networks_of(answer, self._containers(answer))

    def volumes(self) -> tuple[ObservedVolume, ...]:
        """Return every volume, by name."""
        answer = self._supervisor.call("list")
        return volumes_of(answer, self._containers(answer))

    def last_words(self, name: str, count: int) -> tuple[str, ...]:
        """Return the last lines of a container's log; none when there is no such container."""
        container_id = self._id_of(name)
        if not container_id:
            return ()
        chunks = last_lines(LogReader(f"{self._paths.container(container_id)}/log").read(), count)
        text = b"".join(chunk.data for chunk in chunks).decode("utf-8", "replace")
        return tuple(text.splitlines()[-count:])

    def perform(self, action: Action, cancelled: CancelCheck) -> str:
        """See ``reconcile.engine.Engine.perform``."""
        fault_point(f"apply: before {type(action).__name__}")
        detail = self._perform(action, cancelled)
        fault_point(f"apply: after {type(action).__name__}")
        return detail

    def _perform(self, action: Action, cancelled: CancelCheck) -> str:
        match action:
            case PullImage():
                self._registries.perform(action, cancelled)
            case BuildImage():
                self._build(action, cancelled)
            case CreateNetwork(spec):
                self._supervisor.call("create-network", spec=codec.encode(spec))
            case RemoveNetwork(name, expect_id):
                self._remove_network(name, expect_id)
            case CreateVolume(spec):
                self._supervisor.call("create-volume", spec=codec.encode(spec))
            case RemoveVolume(name):
                _ignore_missing(lambda: self._supervisor.call("remove-volume", name=name))
            case CreateContainer(spec):
                self.create(spec)
            case AwaitCondition():
                self._await(action, cancelled)
            case _:
                return self._perform_on_container(action, cancelled)
        return ""

    def _perform_on_container(self, action: Action, cancelled: CancelCheck) -> str:
        match action:
            case StartContainer(name, expect_id, replaces):
                call = self._supervisor.begin("start", name=self._find(name, expect_id), replaces=replaces)
                return _told(self._wait_for(call, cancelled))
            case SwitchTraffic():
                self._switch(action)
            case StopContainer():
                return self._stop(action)
            case UpdateContainer(name, expect_id, spec, fields):
                shape = {"spec": codec.encode(spec), "fields": list(fields)}
                return _told(self._supervisor.call("update", name=self._find(name, expect_id), **shape))
            case KillContainer(name, expect_id, signal):
                self._kill(self._find(name, expect_id), signal)
            case RemoveContainer(name, expect_id):
                if self._id_of(name):
                    found = self._find(name, expect_id)
                    _ignore_missing(lambda: self._supervisor.call("remove", name=found))
            case RenameContainer(name, new_name):
                self._rename(name, new_name)
            case _:
                raise EngineError(f"{type(action).__name__} is unknown to this engine")
        return ""

    def create(self, spec: ContainerSpec) -> str:
        """Create a container, not started; return its id. Raises EngineError, ImageError."""
        try:
            root = self._images.root_of(spec.image_id)
        except ImageError as error:
            raise NotFound(f"image {spec.image_ref} is gone: {error}", code="image-not-found") from error
        answer = self._supervisor.call("create", spec=codec.encode(spec), root=codec.encode(root))
        created: str = answer["id"]
        return created

    def _build(self, action: BuildImage, cancelled: CancelCheck) -> None:
        def pull(reference: str, platform: str) -> str:
            return self._registries.fetch(reference, platform, cancelled)

        self.builds.perform(action, self._wishes, pull, cancelled)

    def spec_of(self, facts: Message) -> ContainerSpec | None:
        """Return a container's specification, None when it was removed meanwhile."""
        key = (facts["id"], facts["revision"])
        found = self._specs.get(key)
        if found is None:
            try:
                with open(f"{self._paths.container(facts['id'])}/spec.json", "rb") as file:
                    spec, _, revision, _ = read_spec(file.read())
            except (OSError, ValueError, KeyError):
                return None
            self._specs[facts["id"], revision] = found = spec
        return found

    def _containers(self, answer: Message) -> tuple[ObservedContainer, ...]:
        live = {(facts["id"], facts["revision"]) for facts in answer["containers"]}
        networks = {network["name"]: network for network in answer["networks"]}
        found = []
        for facts in answer["containers"]:
            spec = self.spec_of(facts)
            if spec is not None:
                found.append(container_of(facts, spec, networks))
        for gone in [key for key in self._specs if key not in live]:
            self._specs.pop(gone, None)
        return tuple(sorted(found, key=lambda container: container.name))

    def _find(self, name: str, expect_id: str) -> str:
        """Return the id behind an exact name. Raises NotFound; Conflict when it is not ``expect_id``."""
        found = self._id_of(name)
        if not found:
            raise NotFound(f"no such container: {name}", code="no-such-container")
        if expect_id and found != expect_id:
            raise changed("container", name)
        return found

    def _id_of(self, name: str) -> str:
        found: str = self._supervisor.call("id-of", name=name)["id"]
        return found

    def _switch(self, action: SwitchTraffic) -> None:
        if self._id_of(action.replaced):
            self._find(action.replaced, action.replaced_id)
        found = self._find(action.name, action.expect_id)
        self._supervisor.call("switch", name=found, replaced=action.replaced)

    def _stop(self, action: StopContainer) -> str:
        """Stop a container, if there is one; return what is to be told of it."""
        if not self._id_of(action.name):
            return ""
        found = self._find(action.name, action.expect_id)
        try:
            answer = self._supervisor.call("stop", name=found, grace_s=action.grace_s, hold_s=action.hold_s)
            return _told(answer)
        except NotFound:
            return ""

    def _kill(self, container_id: str, signal: str) -> None:
        try:
            self._supervisor.call("kill", name=container_id, signal=signal)
        except Conflict as error:
            if error.code != "container-not-running":
                raise

    def _rename(self, name: str, new_name: str) -> None:
        if self._id_of(name) or not self._id_of(new_name):
            self._supervisor.call("rename", name=self._find(name, ""), new_name=new_name)

    def _remove_network(self, name: str, expect_id: str) -> None:
        known = {network["name"]: network["id"] for network in self._supervisor.call("list")["networks"]}
        if name not in known:
            return
        if expect_id and known[name] != expect_id:
            raise changed("network", name)
        _ignore_missing(lambda: self._supervisor.call("remove-network", name=name))

    def _await(self, action: AwaitCondition, cancelled: CancelCheck) -> None:
        call = self._supervisor.begin(
            "await",
            names=list(action.names),
            condition=action.condition,
            timeout_s=action.timeout_s,
            monitor_s=action.monitor_s,
        )
        self._wait_for(call, cancelled)

    def _wait_for(self, call: Call, cancelled: CancelCheck) -> Message:
        while True:
            try:
                kind, message, _ = call.next(_LOOK_S)
                if kind == "ok":
                    return message
                if "note" in message:
                    self._note(message["note"])
            except queue.Empty:
                if cancelled():
                    self._supervisor.withdraw(call)
                    raise EngineError("cancelled", code="cancelled") from None


def _told(answer: Message) -> str:
    """Return what a supervisor tells besides that it is done; one of an older version tells nothing."""
    return "; ".join(answer.get("told", ()))


def _ignore_missing(act: Any) -> None:
    try:
        act()
    except NotFound:
        return
