"""Steps for what containers stand on: networks and volumes; and for the containers that go. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stackctl import labels
from stackctl.diagnostics import SourceRange
from stackctl.model.container import ContainerSpec, VolumeMount
from stackctl.model.key import ResourceKey
from stackctl.model.network import NetworkSpec
from stackctl.model.observed import Observed, ObservedContainer
from stackctl.reconcile.action import (
    CreateNetwork,
    CreateVolume,
    PullImage,
    RemoveContainer,
    RemoveNetwork,
    RenameContainer,
    StopContainer,
)
from stackctl.reconcile.changes import Changes, going_away, networks_of
from stackctl.reconcile.claims import Holders
from stackctl.reconcile.match import RUNNING, Matched, is_temporary
from stackctl.reconcile.plan import Change, Disruption, PlanBuilder, Reason
from stackctl.reconcile.policy import Policy


def grace_of(container: ObservedContainer, policy: Policy) -> float:
    """Return how long the container may take to stop."""
    if policy.grace_s is not None:
        return policy.grace_s
    return container.spec.stop_grace_s if container.spec is not None else 10.0


class ResourceSteps:
    """Adds the steps that come before any container is made, and remembers after which one may count on what."""

    def __init__(
        self,
        steps: PlanBuilder,
        observed: Observed,
        matched: Matched,
        changes: Changes,
        policy: Policy,
        oneoff_of: str,
    ) -> None:
        self._steps = steps
        self._observed = observed
        self._matched = matched
        self._changes = changes
        self._policy = policy
        self._oneoff_of = oneoff_of
        self._holders = Holders(observed.containers)
        self._removed: set[str] = set()  # ids
        self._stopped: dict[str, int] = {}  # id -> step after which it has let go of ports and addresses
        self._freed: dict[str, int] = {}  # container name -> step after which nobody has it
        self._detached: dict[str, set[int]] = {}  # network -> steps that take containers off it
        self._made: dict[tuple[str, str], int] = {}  # (kind, real name) -> step that makes it
        self.renamed: dict[ResourceKey, int] = {}
        self.changed: list[Change] = []

    def add(self) -> None:
        """Add all of it."""
        self._remove_superfluous()
        self._free_names()
        self._free_claims()
        self._images()
        self._networks()
        self._volumes()

    def freed(self, name: str) -> set[int]:
        """Return the step after which a container name is free, if it is not now."""
        return {self._freed[name]} if name in self._freed else set()

    def vacated(self, key: ResourceKey) -> set[int]:
        """Return the steps after which nobody else has the container's host ports and addresses."""
        spec = self._matched.wanted.containers[key].spec
        own = self._matched.current.get(key)
        holders = [holder for holder in self._holders.in_the_way_of(spec) if holder is not own]
        return {self._stopped[holder.id] for holder in holders if holder.id in self._stopped}

    def is_removed(self, container: ObservedContainer) -> bool:
        """Whether a step removes the container already."""
        return container.id in self._removed

    def under(self, key: ResourceKey) -> set[int]:
        """Return the steps that make what the container needs in order to exist: networks, volumes, its name."""
        spec = self._matched.wanted.containers[key].spec
        wanted = [("image", key.name)]
        wanted += [("network", name) for name in networks_of(spec)]
        wanted += [("volume", mount.volume) for mount in spec.mounts if isinstance(mount, VolumeMount)]
        return {self._made[thing] for thing in wanted if thing in self._made} | self.freed(spec.name)

    def networks_of(self, key: ResourceKey) -> set[int]:
        """Return the steps that make the networks which a container is to be on."""
        wanted = [("network", name) for name in networks_of(self._matched.wanted.containers[key].spec)]
        return {self._made[thing] for thing in wanted if thing in self._made}

    def remove(self, container: ObservedContainer, because: str, *, disruption: Disruption = "replace") -> int:
        """Add the steps that stop and remove a container; return the last."""
        after: set[int] = set()
        if container.state in RUNNING:
            stop = StopContainer(container.name, container.id, grace_of(container, self._policy))
            after = {self._steps.add(stop, because=because, disruption=disruption)}
        remove = RemoveContainer(container.name, container.id)
        step = self._steps.add(remove, after=after, because=because, disruption=disruption)
        self._removed.add(container.id)
        self._stopped[container.id] = next(iter(after), step)
        self._freed[container.name] = step
        for name in networks_of(container.spec) if container.spec is not None else []:
            self._detached.setdefault(name, set()).add(step)
        return step

    def _remove_superfluous(self) -> None:
        surplus = {container.id for container in self._matched.surplus}
        scaled_down = {container.id for container in self._matched.scaled_down}
        for container in going_away(self._matched, self._policy, self._changes.services):
            because = "its service is no longer in the stack"
            if container.id in surplus:
                because = "left over from an interrupted replacement"
            elif container.id in scaled_down:
                because = "scaled down"
            elif container.is_oneoff:
                because = "one-off that has ended"
            key = container.key or ResourceKey("container", container.name)
            self.changed.append(Change(key, "remove", container.name, (Reason(because),)))
            self.remove(container, because)

    def _free_names(self) -> None:
        """Give wanted containers their names, and remove first those whose successors get other names."""
        for key, change in self._changes.containers.items():
            existing = self._matched.current.get(key)
            name = self._matched.wanted.containers[key].spec.name
            if existing is None or existing.name == name:
                continue
            if change.kind == "replace":
                self.remove(existing, change.because)
                continue
            because = "left over from an interrupted replacement"
            if not is_temporary(existing.name):
                because = "container_name changed"
            step = self._steps.add(RenameContainer(existing.name, name), after=self.freed(name), because=because)
            self.renamed[key] = self._freed[existing.name] = step

    def _free_claims(self) -> None:
        """Remove first who has to give another its host port or address: two may exchange them."""
        if self._policy.no_start:
            return
        for key, change in self._changes.containers.items():
            if change.kind in ("keep", "update"):
                continue
            for holder in self._holders.in_the_way_of(self._matched.wanted.containers[key].spec):
                if holder.key is None or holder.key == key or self.is_removed(holder):
                    continue
                fate = self._changes.containers.get(holder.key)
                if fate is not None and fate.kind == "replace" and self._matched.current.get(holder.key) is holder:
                    self.remove(holder, fate.because)

    def _images(self) -> None:
        """Bring in what containers are made from, each image once; build what is built here."""
        made = {key.name for key, change in self._changes.containers.items() if change.kind in ("create", "replace")}
        made |= {self._oneoff_of} - {""}
        steps: dict[PullImage, int] = {}
        for service, pull in sorted(self._matched.wanted.pulls.items()):
            if service in made:
                if pull not in steps:
                    line = self._matched.wanted.stack.where("services", service, "image")
                    steps[pull] = self._steps.add(pull, because="is not here", source=line)
                self._made["image", service] = steps[pull]
        about = self._changes.services | ({self._oneoff_of} - {""})
        for service, build in sorted(self._matched.wanted.builds.items()):
            if service in about:
                step = self._steps.add(build.action, because=build.because, source=build.source)
                self._made["image", service] = step

    def _networks(self) -> None:
        used = {name for spec in self._users() for name in networks_of(spec)}
        changes = [
            (key, change)
            for key, change in sorted(self._changes.networks.items())
            if change.name in used and change.kind != "keep"
        ]
        removed = {
            change.name: self._remove_network(change.name, change.because, change.source)
            for _, change in changes
            if change.kind == "replace"
        }
        removed |= self._remove_old_networks([self._matched.wanted.networks[key] for key, _ in changes])
        for key, change in changes:
            spec = self._matched.wanted.networks[key]
            self.changed.append(change)
            # A subnet may be that of another network until that one is gone.
            after = {step for name, step in removed.items() if name == spec.name or spec.subnet}
            because = change.because if change.kind == "replace" else "is missing"
            source = change.source or self._line(key)
            made = self._steps.add(CreateNetwork(spec), after=after, because=because, source=source)
            self._made["network", spec.name] = made

    def _remove_old_networks(self, made: Sequence[NetworkSpec]) -> dict[str, int]:
        """Remove networks that the stack no longer has, where their subnet is wanted; return the steps.

        Others stay until `down`: nobody is in their way. So does one that somebody will still be on.
        """
        found: dict[str, int] = {}
        kept = {spec.name for spec in self._matched.wanted.networks.values()}
        moving = {
            existing.name
            for key, existing in self._matched.current.items()
            if (change := self._changes.containers.get(key)) is not None and change.kind == "replace"
        }
        for network in self._observed.networks:
            is_old = network.name not in kept and dict(network.labels).get(labels.PROJECT) == self._observed.stack
            wanting = [spec.name for spec in made if is_old and _overlap(spec.subnet, network.subnet)]
            users = set(network.containers) - self._freed.keys() - moving
            if wanting and not users:
                because = f"its subnet is wanted by {wanting[0]}"
                found[network.name] = self._remove_network(network.name, because, None)
                key = network.key or ResourceKey("network", network.name)
                self.changed.append(Change(key, "remove", network.name, (Reason(because),)))
        return found

    def _remove_network(self, name: str, because: str, source: SourceRange | None) -> int:
        existing = next(network for network in self._observed.networks if network.name == name)
        # State: all who run on it are replaced by this plan; they have to be gone before it can go.
        for container in self._matched.current.values():
            is_on_it = container.spec is not None and name in networks_of(container.spec)
            if is_on_it and not self.is_removed(container):
                self.remove(container, f"network {name} goes" if source is None else f"network {name} is replaced")
        return self._steps.add(
            RemoveNetwork(name, existing.id),
            after=self._detached.get(name, set()),
            because=because,
            disruption="replace",
            source=source,
        )

    def _volumes(self) -> None:
        used = {mount.volume for spec in self._users() for mount in spec.mounts if isinstance(mount, VolumeMount)}
        for key, change in sorted(self._changes.volumes.items()):
            volume = self._matched.wanted.volumes[key]
            if change.kind == "create" and volume.name in used:
                step = self._steps.add(CreateVolume(volume), because="is missing", source=self._line(key))
                self._made["volume", volume.name] = step
                self.changed.append(change)

    def _line(self, key: ResourceKey) -> SourceRange | None:
        return self._matched.wanted.stack.positions.get((f"{key.kind}s", key.name))

    def _users(self) -> Iterator[ContainerSpec]:
        """Yield all that the plan is about, and what a one-off has in common with its service's replicas."""
        for key, container in self._matched.wanted.containers.items():
            if key.name in self._changes.services:
                yield container.spec
        if self._oneoff_of:
            yield self._matched.wanted.common[self._oneoff_of]


def _overlap(first: str, second: str) -> bool:
    if not first or not second:
        return False
    from ipaddress import ip_network  # 4 ms: only for networks with a subnet that is written

    try:
        return ip_network(first).overlaps(ip_network(second))
    except (ValueError, TypeError):  # no subnet, or one of each family: whoever makes the network says so
        return False
