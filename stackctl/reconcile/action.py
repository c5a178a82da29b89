"""Actions: the closed list of things a plan can do to the world.

Each names its target by its deterministic name. ``expect_id`` is the id that the plan believes the
name has, "" for a thing the plan itself creates; an engine refuses with Conflict when it has another.
Where nothing has the name, what asks for its absence is done already; all else is NotFound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from stackctl.model.build import BuildSpec
from stackctl.model.container import ContainerSpec
from stackctl.model.network import NetworkSpec
from stackctl.model.stack import Condition
from stackctl.model.volume import VolumeSpec
from stackctl.reconcile.service_action import ServiceAction


@dataclass(frozen=True, slots=True)
class PullImage:
    """The image ``image_id`` is in the engine, and ``reference`` leads to it.

    ``digest`` is what its registry has it under: a tag may lead elsewhere by the time this is performed.
    """

    reference: str
    platform: str
    image_id: str
    digest: str


@dataclass(frozen=True, slots=True)
class BuildImage:
    """The image ``reference`` is what ``spec`` comes to, built of the files that were sent for ``service``.

    ``written`` is the same as the stack file has it, without what a command line added for this once: what the
    image is known to be built from. ContainerError, ImageError when a step of it fails; its diagnostics say which.
    """

    reference: str
    service: str
    spec: BuildSpec
    written: BuildSpec


@dataclass(frozen=True, slots=True)
class CreateNetwork:
    """The network exists with this specification. Conflict when it exists with another, or its subnet is taken."""

    spec: NetworkSpec


@dataclass(frozen=True, slots=True)
class RemoveNetwork:
    """No network has this name. Conflict while containers run on it."""

    name: str
    expect_id: str


@dataclass(frozen=True, slots=True)
class CreateVolume:
    """The volume exists; one that is there already keeps its content."""

    spec: VolumeSpec


@dataclass(frozen=True, slots=True)
class RemoveVolume:
    """No volume has this name. Destroys data. Conflict while a container has it, running or not."""

    name: str


@dataclass(frozen=True, slots=True)
class CreateContainer:
    """A container exists with this specification, not started; ``spec.name`` may be temporary.

    Conflict when the name is taken by any other. Volumes that are missing are made; a missing network or
    image is NotFound.
    """

    spec: ContainerSpec


@dataclass(frozen=True, slots=True)
class StartContainer:
    """The container runs: its command was executed, and what is to run after that (``post_start``) has ended well.

    That it is ready is awaited by AwaitCondition.

    Conflict when a port or address of it is taken; ContainerError when it cannot run, or runs and its ``post_start``
    failed: performed again, that runs again. With ``replaces``, the name of another container, it stands by: it has
    no traffic until SwitchTraffic gives it that of the other.
    """

    name: str
    expect_id: str = ""
    replaces: str = ""


@dataclass(frozen=True, slots=True)
class SwitchTraffic:
    """Names and published ports lead to the container, and nothing new to ``replaced``, from one moment to the next.

    Connections stay where they are. ``replaced`` need not be there. It stands by from now on.
    """

    name: str
    replaced: str
    replaced_id: str = ""
    expect_id: str = ""


@dataclass(frozen=True, slots=True)
class StopContainer:
    """The container does not run: ``pre_stop``, stop signal, then after ``grace_s`` seconds SIGKILL.

    Not restarted by policy. A ``pre_stop`` that fails is told, and does not keep it running. Who connects to a
    published TCP port that nobody else serves waits up to ``hold_s`` seconds for a successor.
    """

    name: str
    expect_id: str
    grace_s: float
    hold_s: float = 0.0


@dataclass(frozen=True, slots=True)
class KillContainer:
    """The signal, by name, was sent to the container's first process. One that does not run needs none."""

    name: str
    expect_id: str
    signal: str


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    """No container has this name; Conflict when it runs. Its anonymous volumes stay."""

    name: str
    expect_id: str


@dataclass(frozen=True, slots=True)
class RenameContainer:
    """The container that was ``name`` is ``new_name``. Conflict when another has that name."""

    name: str
    new_name: str


@dataclass(frozen=True, slots=True)
class UpdateContainer:
    """The ``fields`` of the container's specification are as ``spec`` has them; its processes did not notice.

    Only fields that the engine's traits name as live can be asked for. Conflict when a port or address is taken.
    """

    name: str
    expect_id: str
    spec: ContainerSpec
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AwaitCondition:
    """Every named container fulfils the condition.

    ``service_started``: was started. ``service_healthy``: reported healthy (runs, where it has no check).
    ``service_completed_successfully``: exited 0. Fails at once when it can no longer happen.
    ``timeout_s`` 0 waits without bound. With ``monitor_s`` it must go on to hold for so long, and a container that
    is restarted by its policy has failed.
    """

    names: tuple[str, ...]
    condition: Condition
    timeout_s: float = 0.0
    monitor_s: float | None = None


Action: TypeAlias = (
    PullImage
    | BuildImage
    | CreateNetwork
    | RemoveNetwork
    | CreateVolume
    | RemoveVolume
    | CreateContainer
    | StartContainer
    | SwitchTraffic
    | StopContainer
    | KillContainer
    | RemoveContainer
    | RenameContainer
    | UpdateContainer
    | AwaitCondition
    | ServiceAction
)
