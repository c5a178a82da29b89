"""A Docker Engine behind the Engine protocol."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

from stackctl import labels
from stackctl.diagnostics import Diagnostic
from stackctl.engines.docker.api import Api
from stackctl.engines.docker.builds import DockerBuilds
from stackctl.engines.docker.completing import complete
from stackctl.engines.docker.contents import SentContents
from stackctl.engines.docker.create import (
    content_folders,
    create_body,
    network_body,
    spec_label,
    update_body,
    volume_body,
)
from stackctl.engines.docker.errors import told_by_docker
from stackctl.engines.docker.hooks import is_post_start_due, run_post_start, run_pre_stop
from stackctl.engines.docker.images import DockerImages
from stackctl.engines.docker.observe import observed_container, observed_network, observed_volume
from stackctl.engines.docker.waiting import await_condition
from stackctl.engines.hosting import BuildWishes, Note, TellPull, tell_nobody
from stackctl.engines.observing import changed, observed
from stackctl.errors import Conflict, ContainerError, EngineError, NotFound
from stackctl.model.container import ContainerSpec, JoinNetworks
from stackctl.model.image import ResolvedImage
from stackctl.model.network import NetworkSpec
from stackctl.model.observed import Observed, ObservedContainer, ObservedNetwork, ObservedVolume
from stackctl.model.registry import Credentials
from stackctl.model.stack import Stack
from stackctl.model.volume import VolumeSpec
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
    UpdateContainer,
)
from stackctl.reconcile.engine import CancelCheck, ImageRequest, ResourceNames, Traits

_AT_ONCE: Final = 8
_TRAITS: Final = Traits(
    can_lift_limits=False,
    fixed_limits=frozenset({"swappiness", "oom_kill_disable", "block"}),
    can_share_ports=False,
)


class DockerEngine:
    """Containers on any Docker Engine of API 1.41 or later. Any thread may call any method."""

    def __init__(self, api: Api, info: Mapping[str, Any], contents: SentContents) -> None:
        self._api = api
        self._contents = contents
        self._images = DockerImages(api, info)
        self._builds = DockerBuilds(api, self._images)

    @property
    def builds(self) -> DockerBuilds:
        """What is known of images that stacks build."""
        return self._builds

    def for_caller(
        self,
        credentials: Mapping[str, Credentials],
        tell: TellPull,
        wishes: BuildWishes | None = None,
        note: Note = tell_nobody,
    ) -> DockerEngine:
        """See ``hosting.HostEngine``. Nothing is noted: the engine is asked, it does not tell."""
        del note
        own = copy.copy(self)
        own._images = self._images.for_caller(credentials, tell)
        own._builds = self._builds.for_caller(credentials, wishes)
        return own

    def traits(self) -> Traits:
        """Limits change live, but are not lifted so; host ports are not shared."""
        return _TRAITS

    def misfits(self, stack: Stack) -> tuple[Diagnostic, ...]:
        """What cannot be there the engine says itself."""
        del stack
        return ()

    def resolve(self, requests: Sequence[ImageRequest]) -> Mapping[ImageRequest, ResolvedImage]:
        """Find images in the engine, or where their policy says so in their registries."""
        found = {}
        for request in requests:
            image = self._images.resolve(request)
            if image is not None:
                found[request] = image
        return found

    # -- looking --------------------------------------------------------------------------------------

    def snapshot(self, stack: str, names: ResourceNames) -> Observed:
        """Return what the engine has of ``stack`` or under one of ``names``."""
        with told_by_docker():
            listed: list[dict[str, Any]] = self._api.ask("GET", "/containers/json", query={"all": 1})
            networks = self._networks(listed)
            volumes = self._volumes(listed)
            wanted = set(names.containers)
            chosen = [one["Id"] for one in listed if _is_of(one, stack) or wanted.intersection(_names(one))]
            containers = self._inspected(chosen, {network.name: network.id for network in networks})
        return observed(stack, names, containers, networks, volumes)

    def containers(self) -> tuple[ObservedContainer, ...]:
        """Return none: nothing of ours is kept for containers here."""
        return ()

    def _inspected(self, ids: Sequence[str], networks: Mapping[str, str]) -> tuple[ObservedContainer, ...]:
        if not ids:
            return ()
        with ThreadPoolExecutor(min(_AT_ONCE, len(ids)), thread_name_prefix="inspect") as pool:
            shapes = list(pool.map(self._inspect, ids))
        found = [self._observed(shape, networks) for shape in shapes if shape is not None]
        return tuple(sorted(found, key=lambda container: container.name))

    def _observed(self, shape: Mapping[str, Any], networks: Mapping[str, str]) -> ObservedContainer:
        found = observed_container(shape, networks)
        if found.spec is not None and is_post_start_due(self._api, shape, found.spec):
            return replace(found, is_post_start_due=True)
        return found

    def _inspect(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._api.ask("GET", f"/containers/{name}/json")
        except NotFound:
            return None
        return found

    def _networks(self, listed: Sequence[Mapping[str, Any]]) -> tuple[ObservedNetwork, ...]:
        users: dict[str, list[str]] = {}
        for one in listed:
            for network in (one.get("NetworkSettings") or {}).get("Networks") or ():
                users.setdefault(network, []).extend(_names(one)[:1])
        shapes: list[dict[str, Any]] = self._api.ask("GET", "/networks")
        found = (observed_network(shape, users.get(shape["Name"], ())) for shape in shapes)
        return tuple(sorted(found, key=lambda network: network.name))

    def _volumes(self, listed: Sequence[Mapping[str, Any]]) -> tuple[ObservedVolume, ...]:
        users: dict[str, list[str]] = {}
        for one in listed:
            for mount in one.get("Mounts") or ():
                if mount.get("Type") == "volume":
                    users.setdefault(mount["Name"], []).extend(_names(one)[:1])
        shapes = self._api.ask("GET", "/volumes").get("Volumes") or ()
        found = (observed_volume(shape, users.get(shape["Name"], ())) for shape in shapes)
        return tuple(sorted(found, key=lambda volume: volume.name))

    # -- for whoever hosts stacks ---------------------------------------------------------------------

    def last_words(self, name: str, count: int) -> tuple[str, ...]:
        """Return the last lines of a container's log; none when there is no such container."""
        shape = self._inspect(name)
        if shape is None:
            return ()
        query = {"stdout": 1, "stderr": 1, "tail": count}
        pieces = self._api.frames(
            f"/containers/{shape['Id']}/logs", query=query, is_framed=not shape["Config"].get("Tty")
        )
        text = b"".join(data for _, data in pieces).decode("utf-8", "replace")
        return tuple(text.splitlines()[-count:])

    def stamp(self, stack: str) -> str:
        """Return "": nobody tells when something changes."""
        del stack
        return ""

    def notices(self) -> list[str]:
        """Return none."""
        return []

    def boot_notices(self) -> list[str]:
        """Docker starts with its machine."""
        return []

    def set_aside(self) -> list[str]:
        """Return none."""
        return []

    # -- actions --------------------------------------------------------------------------------------

    def perform(self, action: Action, cancelled: CancelCheck) -> str:
        """See ``reconcile.engine.Engine.perform``."""
        match action:
            case PullImage():
                self._images.pull(action, cancelled)
            case BuildImage():
                self._builds.perform(action, cancelled)
            case CreateNetwork(spec):
                self._create_network(spec)
            case RemoveNetwork(name, expect_id):
                self._remove_network(name, expect_id)
            case CreateVolume(spec):
                self._create_volume(spec)
            case RemoveVolume(name):
                with told_by_docker():
                    _ignore_missing(lambda: self._api.ask("DELETE", f"/volumes/{name}"))
            case CreateContainer(spec):
                self.create(spec)
            case AwaitCondition():
                await_condition(action, self._look, cancelled)
            case StopContainer(name, expect_id, grace_s):
                return self._stop(name, expect_id, grace_s)
            case _:
                self._perform_on_container(action)
        return ""

    def _perform_on_container(self, action: Action) -> None:
        match action:
            case StartContainer(name, expect_id):
                self._start(name, expect_id)
            case KillContainer(name, expect_id, signal):
                self._kill(name, expect_id, signal)
            case RemoveContainer(name, expect_id):
                self._remove(name, expect_id)
            case RenameContainer(name, new_name):
                self._rename(name, new_name)
            case UpdateContainer(name, expect_id, spec, _):
                found = self._find(name, expect_id)
                body = update_body(spec.limits, spec.restart)
                with told_by_docker(f"container {name}"):
                    self._api.ask("POST", f"/containers/{found['Id']}/update", body=body)
            case _:
                raise EngineError(f"{type(action).__name__} is unknown to this engine")

    def create(self, spec: ContainerSpec) -> str:
        """Create a container, not started; return its id."""
        if not spec.argv:
            raise ContainerError(f"container {spec.name}: no command", code="no-command", field="argv")
        existing = self._find_or_none(spec.name, "")
        if existing is not None:
            self._check_is(existing, spec)
            created = str(existing["Id"])
        else:
            self._check_networks(spec)
            with told_by_docker(f"container {spec.name}"):
                body = create_body(spec, self._image_for(spec))
                made = self._api.ask("POST", "/containers/create", query={"name": spec.name}, body=body)
            created = str(made["Id"])
        complete(self._api, created, spec, self._contents)
        return created

    def _check_is(self, existing: Mapping[str, Any], spec: ContainerSpec) -> None:
        """Raise Conflict unless the container is what would be made, not started yet."""
        marks = existing["Config"].get("Labels") or {}
        if marks.get(labels.SPEC) == spec_label(spec) and existing["State"]["Status"] == "created":
            return
        raise Conflict(
            f"the container name {spec.name!r} is already in use by container {existing['Id'][:12]}",
            code="name-taken",
            field="name",
        )

    def _check_networks(self, spec: ContainerSpec) -> None:
        # The engine would find out at the start only.
        for place in spec.networking.attachments if isinstance(spec.networking, JoinNetworks) else ():
            with told_by_docker(f"container {spec.name}"):
                self._api.ask("GET", f"/networks/{place.network}")

    def _image_for(self, spec: ContainerSpec) -> str:
        """Return the image as people call it, as long as that leads to the right one."""
        for name in (spec.image_ref, spec.image_id):
            found = self._images.inspect(name)
            if found is not None and found["Id"] == spec.image_id:
                return name
        raise NotFound(f"image {spec.image_ref} is gone", code="image-not-found", field="image_ref")

    def _start(self, name: str, expect_id: str) -> None:
        found = self._find(name, expect_id)
        spec = observed_container(found, {}).spec
        is_running = found["State"]["Running"] and not found["State"]["Restarting"]
        if found["State"]["Status"] == "created" and spec is not None:
            # Whoever created it may have died before it was whole.
            complete(self._api, found["Id"], spec, self._contents)
        with told_by_docker(f"container {name}"):
            if not is_running:
                self._api.ask("POST", f"/containers/{found['Id']}/start")
            if spec is not None and (not is_running or is_post_start_due(self._api, found, spec)):
                run_post_start(self._api, found["Id"], spec)

    def _stop(self, name: str, expect_id: str, grace_s: float) -> str:
        found = self._find_or_none(name, expect_id)
        if found is None:
            return ""
        spec = observed_container(found, {}).spec
        said = ""
        with told_by_docker(f"container {name}"):
            if spec is not None and found["State"]["Status"] == "running":
                said = run_pre_stop(self._api, found["Id"], spec)
            query = {"t": max(0, round(grace_s))}
            _ignore_missing(lambda: self._api.ask("POST", f"/containers/{found['Id']}/stop", query=query))
        return said

    def _kill(self, name: str, expect_id: str, signal: str) -> None:
        found = self._find(name, expect_id)
        try:
            with told_by_docker(f"container {name}"):
                self._api.ask("POST", f"/containers/{found['Id']}/kill", query={"signal": signal})
        except Conflict as error:
            if error.code != "container-not-running":
                raise

    def _remove(self, name: str, expect_id: str) -> None:
        found = self._find_or_none(name, expect_id)
        if found is None:
            return
        spec = observed_container(found, {}).spec
        # Volumes without a name are those of configs and secrets alone: all of a stack's have one.
        query = {"v": int(spec is not None and bool(content_folders(spec)))}
        with told_by_docker(f"container {name}"):
            _ignore_missing(lambda: self._api.ask("DELETE", f"/containers/{found['Id']}", query=query))

    def _rename(self, name: str, new_name: str) -> None:
        found = self._find_or_none(name, "")
        if found is None and self._find_or_none(new_name, "") is not None:
            return
        found = found or self._find(name, "")
        with told_by_docker(f"container {name}"):
            self._api.ask("POST", f"/containers/{found['Id']}/rename", query={"name": new_name})

    def _find(self, name: str, expect_id: str) -> dict[str, Any]:
        """Return the container of an exact name. Raises NotFound; Conflict when it is not ``expect_id``."""
        found = self._find_or_none(name, expect_id)
        if found is None:
            raise NotFound(f"no such container: {name}", code="no-such-container")
        return found

    def _find_or_none(self, name: str, expect_id: str) -> dict[str, Any] | None:
        """Return the same, None when nothing has the name: engines also take the beginning of an id for one."""
        with told_by_docker():
            found = self._inspect(name)
        if found is None or found["Name"] != f"/{name}":
            return None
        if expect_id and found["Id"] != expect_id:
            raise changed("container", name)
        return found

    def _look(self, name: str) -> ObservedContainer | None:
        with told_by_docker():
            shape = self._inspect(name)
        return None if shape is None else observed_container(shape, {})

    def _create_network(self, spec: NetworkSpec) -> None:
        with told_by_docker(f"network {spec.name}"):
            existing = self._network(spec.name)
            if existing is None:
                self._api.ask("POST", "/networks/create", body=network_body(spec))
                return
        if (existing.get("Labels") or {}).get(labels.SPEC) != spec_label(spec):
            raise Conflict(f"network {spec.name} exists with another definition", code="network-differs")

    def _remove_network(self, name: str, expect_id: str) -> None:
        with told_by_docker(f"network {name}"):
            existing = self._network(name)
            if existing is None:
                return
            if expect_id and existing["Id"] != expect_id:
                raise changed("network", name)
            _ignore_missing(lambda: self._api.ask("DELETE", f"/networks/{existing['Id']}"))

    def _network(self, name: str) -> dict[str, Any] | None:
        """Return the network of an exact name: engines also take the beginning of an id for one."""
        try:
            found: dict[str, Any] = self._api.ask("GET", f"/networks/{name}")
        except NotFound:
            return None
        return found if found["Name"] == name else None

    def _create_volume(self, spec: VolumeSpec) -> None:
        with told_by_docker(f"volume {spec.name}"):
            self._api.ask("POST", "/volumes/create", body=volume_body(spec))


def _is_of(listed: Mapping[str, Any], stack: str) -> bool:
    return (listed.get("Labels") or {}).get(labels.PROJECT) == stack


def _names(listed: Mapping[str, Any]) -> list[str]:
    """Return a container's own names: those by which others link to it have a further slash."""
    names: Iterable[str] = listed.get("Names") or ()
    return [name.removeprefix("/") for name in names if name.count("/") == 1]


def _ignore_missing(act: Callable[[], object]) -> None:
    try:
        act()
    except NotFound:
        return
