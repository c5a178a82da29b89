"""Checks between the parts of a stack: names that must exist, values that must agree."""

from __future__ import annotations

from collections.abc import Iterable

from stackctl.model.path import Path
from stackctl.stackfile.check_cycles import check_cycles
from stackctl.stackfile.check_service import check_service
from stackctl.stackfile.node import Json
from stackctl.stackfile.problems import Problems, did_you_mean, listing
from stackctl.stackfile.schema import Places
from stackctl.stackfile.tree import as_dict, as_int, as_list, as_text, said, texts

_TOP_LEVEL = ("networks", "volumes", "configs", "secrets", "include", "name", "version")
_SHARED = ("network_mode", "ipc", "pid", "uts", "cgroup")


def check(
    tree: dict[str, Json],
    places: Places,
    problems: Problems,
    *,
    disabled: Iterable[str] = (),
    is_complete: bool = True,
    is_normalised: bool = True,
) -> None:
    """Report everything in a canonical tree that does not fit together; total over any tree.

    ``disabled`` are the services switched off by profiles. A tree is not complete when a file or a base is
    missing; then nobody can say that something is not defined. In a tree that is not normalised, as in Compose, what
    implies a dependency is none.
    """
    checks = _Checks(tree, places, problems, frozenset(disabled))
    checks.is_complete = is_complete
    checks.is_normalised = is_normalised
    for name, service in checks.services.items():
        if isinstance(service, dict):
            checks.service(name, service)
    check_cycles(checks.services, places, problems)
    checks.container_names()
    checks.job_names()
    checks.host_ports()
    for section in ("secrets", "configs"):
        checks.contents(section)
    checks.volumes()


class _Checks:
    def __init__(self, tree: dict[str, Json], places: Places, problems: Problems, disabled: frozenset[str]) -> None:
        self.services = as_dict(tree.get("services"))
        self._tree = tree
        self._places = places
        self._problems = problems
        self._disabled = disabled
        self.is_complete = True
        self.is_normalised = True

    def service(self, name: str, service: dict[str, Json]) -> None:
        path: Path = ("services", name)
        if self.is_complete and not service.keys() & {"image", "build", "provider"}:
            self._problems.error(
                "missing-image",
                "Service has no image",
                self._places.of_key(path),
                detail=f"The service `{name}` has neither `image` nor `build`.",
                hint=f"`{name}` belongs to the top level: move it out of `services`"
                if name in _TOP_LEVEL
                else "add `image: …`",
            )
        self._networks(path, service)
        self._mounts(path, service)
        self._content_uses(path, service)
        self._dependencies(name, path, service)
        self._references(path, service)
        self._replicas(name, path, service)
        self._agreement(path, service)
        self._contexts(path, service)
        check_service(path, service, self._places, self._problems)
        for model in as_dict(service.get("models")):
            if model not in as_dict(self._tree.get("models")):
                self._unknown("model", model, (*path, "models", model), as_dict(self._tree.get("models")), by_key=True)

    def job_names(self) -> None:
        """A job may not be called as a service is, be that one switched on or off."""
        for name in as_dict(self._tree.get("jobs")):
            if name in self.services or name in self._disabled:
                self._problems.error(
                    "duplicate-name",
                    "Name is used twice",
                    self._places.of_key(("jobs", name)),
                    self._places.of_key(("services", name)),
                    detail=f"`{name}` is a service and a job, and `run {name}` would not know which is meant.",
                    hint="rename one of the two",
                )

    def _unknown(self, kind: str, name: str, path: Path, known: Iterable[str], *, by_key: bool = False) -> None:
        if not self.is_complete:
            return
        known = list(known)
        mark = self._places.of_key(path) if by_key else self._places.of_value(path)
        hint = did_you_mean(name, known)
        if not hint:
            hint = f"define it under the top-level `{kind}s:`"
            if known and kind == "service":
                hint = f"the services are {listing(known[:8])}"
        self._problems.error(
            f"unknown-{kind}",
            f"{kind.capitalize()} is not defined",
            mark,
            detail=f"`{path[1]}` uses the {kind} `{name}`, which this stack does not define.",
            hint=hint,
        )

    def _unknown_service(self, name: str, path: Path, *, by_key: bool = False) -> None:
        if name not in self._disabled:
            self._unknown("service", name, path, self.services, by_key=by_key)
            return
        self._problems.error(
            "disabled-service",
            "Service is switched off",
            self._places.of_key(path) if by_key else self._places.of_value(path),
            detail=f"`{path[1]}` needs the service `{name}`, whose profiles are not active.",
            hint=f"activate one of its profiles with --profile, or name `{name}` on the command line",
        )

    def _networks(self, path: Path, service: dict[str, Json]) -> None:
        known = as_dict(self._tree.get("networks"))
        used = as_dict(service.get("networks"))
        for name in used:
            if name not in known:
                self._unknown("network", name, (*path, "networks", name), known, by_key=True)
        if used and "network_mode" in service:
            self._problems.error(
                "conflicting-keys",
                "Keys exclude each other",
                self._places.of_key((*path, "network_mode")),
                self._places.of_key((*path, "networks")),
                detail=f"`{path[1]}` has both `network_mode` and `networks`.",
                hint="keep one of the two",
            )

    def _mounts(self, path: Path, service: dict[str, Json]) -> None:
        known = as_dict(self._tree.get("volumes"))
        targets: dict[str, Path] = {}
        for at, item in enumerate(as_list(service.get("volumes"))):
            mount = as_dict(item)
            source = as_text(mount.get("source"))
            here: Path = (*path, "volumes", at)
            if mount.get("type") == "volume" and source and source not in known:
                self._unknown_volume(source, here, known)
            if "target" not in mount and mount:
                self._problems.error(
                    "missing-key",
                    "Required key is missing",
                    self._places.of_value(here),
                    detail="A mount needs the key `target`: the path inside the container.",
                )
            targets.setdefault(as_text(mount.get("target")), here)
        for at, text in enumerate(said(service.get("tmpfs"))):
            here = (*path, "tmpfs", at)
            target = text.partition(":")[0]  # as it is written: Compose does not clean it either
            if target in targets:
                self._problems.error(
                    "duplicate-target",
                    "Path is mounted twice",
                    self._places.of_value(here),
                    self._places.of_value(targets[target]),
                    detail=f"Something else is mounted at `{target}` already.",
                )
            targets.setdefault(target, here)

    def _unknown_volume(self, source: str, path: Path, known: dict[str, Json]) -> None:
        written = (*path, "source")
        if "/" in source:
            self._problems.error(
                "unknown-volume",
                "Volume is not defined",
                self._places.of_value(written),
                detail=f"`{source}` is read as the name of a volume, because it does not start with `.` or `/`.",
                hint=f"for a folder, write `./{source}`",
            )
            return
        self._unknown("volume", source, written, known)

    def _content_uses(self, path: Path, service: dict[str, Json]) -> None:
        places = [
            (service, (*path, "secrets"), "secret"),
            (service, (*path, "configs"), "config"),
            (as_dict(service.get("build")), (*path, "build", "secrets"), "secret"),
        ]
        for holder, where, kind in places:
            known = as_dict(self._tree.get(f"{kind}s"))
            for at, item in enumerate(as_list(holder.get(f"{kind}s"))):
                source = as_text(as_dict(item).get("source"))
                if source not in known:
                    self._unknown(kind, source, (*where, at, "source"), known)

    def _dependencies(self, name: str, path: Path, service: dict[str, Json]) -> None:
        for dependency, entry in as_dict(service.get("depends_on")).items():
            here = (*path, "depends_on", dependency)
            details = as_dict(entry)
            if dependency == name:
                self._problems.error(
                    "self-dependency",
                    "Service depends on itself",
                    self._places.of_key(here),
                    detail=f"`{name}` cannot depend on itself.",
                )
            elif dependency not in self.services:
                if details.get("required") is not False or dependency not in self._disabled:
                    self._unknown_service(dependency, here, by_key=True)
            elif details.get("condition") == "service_healthy":
                self._healthy(name, dependency, here)

    def _healthy(self, name: str, dependency: str, path: Path) -> None:
        if not as_dict(self.services[dependency]).get("healthcheck"):
            self._problems.note(
                "no-healthcheck",
                "Dependency has no health check here",
                self._places.of_value((*path, "condition")),
                detail=f"`{name}` waits until `{dependency}` is healthy: its image must bring a health check.",
                hint=f"add `healthcheck:` to `{dependency}`, or wait for `service_started`",
            )

    def _contexts(self, path: Path, service: dict[str, Json]) -> None:
        for key, entry in as_dict(as_dict(service.get("build")).get("additional_contexts")).items():
            text = as_text(entry)
            if not text.startswith("service:"):
                continue
            target, here = text.removeprefix("service:"), (*path, "build", "additional_contexts", key)
            if target not in self.services:
                self._unknown_service(target, here)
            elif "build" not in as_dict(self.services[target]):
                self._problems.error(
                    "conflicting-keys",
                    "Service is not built",
                    self._places.of_value(here),
                    detail=f"`{path[1]}` is built on what `{target}` builds, but `{target}` has no `build`.",
                    hint=f"for its image, write `docker-image://{as_text(as_dict(self.services[target]).get('image'))}`",
                )

    def _references(self, path: Path, service: dict[str, Json]) -> None:
        for key in _SHARED if self.is_normalised else _SHARED[:1]:
            text = as_text(service.get(key))
            if text.startswith("service:") and text.removeprefix("service:") not in self.services:
                self._unknown_service(text.removeprefix("service:"), (*path, key))
        for key in ("links", "volumes_from") if self.is_normalised else ():
            for at, text in enumerate(texts(service.get(key))):
                target = text.partition(":")[0]
                is_ours = not (key == "volumes_from" and text.startswith("container:"))
                if is_ours and target not in self.services:
                    self._unknown_service(target, (*path, key, at))

    def _replicas(self, name: str, path: Path, service: dict[str, Json]) -> None:
        deploy = as_dict(service.get("deploy"))
        scale, replicas = service.get("scale"), deploy.get("replicas")
        if scale is not None and replicas is not None and scale != replicas:
            self._differ(path, ("scale",), ("deploy", "replicas"))
        count = as_int(scale if scale is not None else replicas, 1)
        if count <= 1:
            return
        if "container_name" in service:
            self._problems.error(
                "conflicting-keys",
                "Keys exclude each other",
                self._places.of_value((*path, "container_name")),
                self._places.of_value((*path, *(("scale",) if scale is not None else ("deploy", "replicas")))),
                detail=f"`{name}` has {count} containers, which cannot all have the name of `container_name`.",
                hint="remove `container_name`",
            )
        for network, entry in as_dict(service.get("networks")).items():
            if "ipv4_address" in as_dict(entry):
                self._problems.warning(
                    "conflicting-keys",
                    "Keys exclude each other",
                    self._places.of_value((*path, "networks", network, "ipv4_address")),
                    detail=f"`{name}` has {count} containers, which cannot all have one address.",
                    hint="remove `ipv4_address`",
                )

    def _agreement(self, path: Path, service: dict[str, Json]) -> None:
        limits = as_dict(as_dict(as_dict(service.get("deploy")).get("resources")).get("limits"))
        reservations = as_dict(as_dict(as_dict(service.get("deploy")).get("resources")).get("reservations"))
        for key, holder, part, other in (
            ("cpus", limits, "limits", "cpus"),
            ("mem_limit", limits, "limits", "memory"),
            ("pids_limit", limits, "limits", "pids"),
            ("mem_reservation", reservations, "reservations", "memory"),
        ):
            if service.get(key) in (None, 0, "0") or not holder or service[key] == holder.get(other):
                continue
            if other in holder:
                self._differ(path, (key,), ("deploy", "resources", part, other))
                continue
            self._problems.error(
                "conflicting-keys",
                "Keys contradict each other",
                self._places.of_value((*path, key)),
                self._places.of_key((*path, "deploy", "resources", part)),
                detail=f"`deploy.resources.{part}` of `{path[1]}` has no `{other}`, and so contradicts `{key}`.",
                hint=f"write `{other}` there instead of `{key}`",
            )

    def _differ(self, path: Path, left: Path, right: Path) -> None:
        names = [f"`{'.'.join(map(str, part))}`" for part in (left, right)]
        self._problems.error(
            "conflicting-keys",
            "Keys contradict each other",
            self._places.of_value((*path, *left)),
            self._places.of_value((*path, *right)),
            detail=f"{names[0]} and {names[1]} of `{path[1]}` mean the same and have different values.",
            hint="keep one of the two",
        )

    def container_names(self) -> None:
        taken: dict[str, Path] = {}
        for name, service in self.services.items():
            chosen = as_text(as_dict(service).get("container_name"))
            here: Path = ("services", name, "container_name")
            if chosen and chosen in taken:
                self._problems.error(
                    "duplicate-name",
                    "Container name is used twice",
                    self._places.of_value(here),
                    self._places.of_value(taken[chosen]),
                    detail=f"`{name}` and `{taken[chosen][1]}` both want the container name `{chosen}`.",
                )
            elif chosen:
                taken[chosen] = here

    def host_ports(self) -> None:
        taken: dict[tuple[str, str, str], Path] = {}
        for name, service in self.services.items():
            for at, item in enumerate(as_list(as_dict(service).get("ports"))):
                port = as_dict(item)
                published = as_text(port.get("published"))
                key = (as_text(port.get("host_ip")), published, as_text(port.get("protocol")))
                here: Path = ("services", name, "ports", at, "published")
                if published.isdigit() and key in taken and taken[key][1] != name:
                    self._problems.warning(
                        "duplicate-port",
                        "Host port is published twice",
                        self._places.of_value(here),
                        self._places.of_value(taken[key]),
                        detail=f"`{name}` and `{taken[key][1]}` both want port {published} of this machine.",
                        hint="publish one of them on another port",
                    )
                taken.setdefault(key, here)

    def contents(self, section: str) -> None:
        for name, entry in as_dict(self._tree.get(section)).items():
            resource = as_dict(entry)
            ways = [key for key in ("file", "content", "environment") if key in resource]
            if resource.get("external") is True or (section == "configs" and "external" in resource and not ways):
                continue
            if section == "secrets" and len(ways) == 1 and not resource[ways[0]]:
                ways = []
            choices = "`file` or `environment`" if section == "secrets" else "`file`, `content` or `environment`"
            if len(ways) != 1:
                what = "says nowhere what it contains" if not ways else f"has more than one source: {listing(ways)}"
                self._problems.error(
                    "bad-content",
                    f"{section[:-1].capitalize()} needs one source",
                    self._places.of_key((section, name)),
                    detail=f"The {section[:-1]} `{name}` {what}.",
                    hint=f"give it exactly one of {choices}",
                )

    def volumes(self) -> None:
        for name, entry in as_dict(self._tree.get("volumes")).items():
            volume = as_dict(entry)
            extra = [key for key in volume if key not in ("external", "name") and not key.startswith("x-")]
            if volume.get("external") is True and extra:
                self._problems.error(
                    "conflicting-keys",
                    "Keys exclude each other",
                    *(self._places.of_key(("volumes", name, key)) for key in extra),
                    detail=f"The volume `{name}` is external, so {listing(extra)} cannot be set here.",
                    hint="remove them, or `external`",
                )
