"""What an engine sees. All live things that claim a key are kept; choosing among them is the reconciler's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from stackctl.model.container import ContainerSpec
from stackctl.model.health import Health, ProbeResult
from stackctl.model.key import ResourceKey
from stackctl.model.network import NetworkSpec
from stackctl.model.service import ContentKind, ServiceSpec
from stackctl.model.volume import VolumeSpec

ContainerState = Literal["created", "running", "restarting", "paused", "exited"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedPort:
    """A port as it is published now; ``host_ip`` "" means every address."""

    host_ip: str
    host_port: int
    container_port: int
    protocol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedAddress:
    """A container's place on one network, by the network's real name."""

    network: str
    ipv4: str
    mac: str
    prefix_length: int
    gateway: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedContainer:
    """One live container.

    ``key`` is None when its labels claim no service of a stack (a one-off, or not ours to manage).
    ``spec`` is None when the engine cannot tell it in full; then only ``fingerprint`` (of the spec it was
    made from, "" if unknown) says whether it is up to date. ``exit_code`` is None unless exited.
    ``is_post_start_due``: it runs, and what is to run after its start has not, or failed.
    Times are nanoseconds since the epoch, 0 for never. ``network_ids`` has the name and id of each network
    it is on, running or not. ``is_standby``: no traffic is led to it, though it runs.
    ``is_cut_off``: a network it is on has gone from under it while it runs.
    """

    id: str
    name: str
    state: ContainerState
    key: ResourceKey | None = None
    spec: ContainerSpec | None = None
    fingerprint: str = ""
    health: Health = "none"
    exit_code: int | None = None
    is_oneoff: bool = False
    is_standby: bool = False
    is_cut_off: bool = False
    image_ref: str = ""
    image_id: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    networks: tuple[ObservedAddress, ...] = ()
    ports: tuple[ObservedPort, ...] = ()
    volumes: tuple[str, ...] = ()
    pid: int = 0
    restart_count: int = 0
    created_ns: int = 0
    started_ns: int = 0
    finished_ns: int = 0
    error: str = ""
    oom_killed: bool = False
    is_post_start_due: bool = False
    health_failures: int = 0
    probes: tuple[ProbeResult, ...] = field(default=(), compare=False)
    network_ids: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    def label(self, key: str) -> str:
        """Return the label's value, "" when it is not there."""
        return dict(self.labels).get(key, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedNetwork:
    """One live network. ``containers`` are the names of all containers on it, ours or not."""

    id: str
    name: str
    key: ResourceKey | None = None
    spec: NetworkSpec | None = None
    subnet: str = ""
    gateway: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    containers: tuple[str, ...] = ()
    created_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedVolume:
    """One live volume. ``used_by`` are the names of all containers that mount it."""

    name: str
    key: ResourceKey | None = None
    spec: VolumeSpec | None = None
    labels: tuple[tuple[str, str], ...] = ()
    mountpoint: str = ""
    used_by: tuple[str, ...] = ()
    created_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedTask:
    """One container that an engine runs for a service, or ran: ``web.2``, or ``web.NODE`` of a global one.

    ``state`` is the engine's word; ``is_wanted`` tells whether it is meant to run, or to have run, under what the
    service is now. ``exit_code`` is None unless it ended by itself.
    """

    id: str
    name: str
    node: str
    state: str
    is_wanted: bool
    image: str = ""
    error: str = ""
    exit_code: int | None = None
    since_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedService:
    """One live service of an engine that runs the containers of services by itself.

    ``update`` is how its last change goes: "" when there was none, else ``updating``, ``paused``, ``completed``,
    ``rollback_started``, ``rollback_paused``, ``rollback_completed``. ``previous_contents`` has (kind, name) of the
    configs and secrets that the specification before this one used. ``wanted`` and ``running`` count tasks.
    """

    id: str
    name: str
    spec: ServiceSpec
    key: ResourceKey | None = None
    labels: tuple[tuple[str, str], ...] = ()
    previous_contents: tuple[tuple[str, str], ...] = ()
    update: str = ""
    update_message: str = ""
    wanted: int = 0
    running: int = 0
    completed: int = 0
    tasks: tuple[ObservedTask, ...] = ()
    created_ns: int = 0

    def label(self, key: str) -> str:
        """Return the label's value, "" when it is not there."""
        return dict(self.labels).get(key, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedContent:
    """One config or secret that an engine keeps."""

    kind: ContentKind
    name: str
    id: str
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Everything that carries the stack's label, and whatever has a name the stack wants."""

    stack: str
    containers: tuple[ObservedContainer, ...] = ()
    networks: tuple[ObservedNetwork, ...] = ()
    volumes: tuple[ObservedVolume, ...] = ()
    services: tuple[ObservedService, ...] = ()
    contents: tuple[ObservedContent, ...] = ()
    fingerprint: str = field(default="", compare=False)
