"""What differs between one specification of a service and another, by what it does to its tasks. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Final

from stackctl import labels
from stackctl.model.container import Attachment, BindMount, TmpfsMount, VolumeMount
from stackctl.model.deploy import ServicePort
from stackctl.model.network import NetworkSpec
from stackctl.model.service import ServiceSpec, TaskContent
from stackctl.model.volume import VolumeSpec
from stackctl.reconcile.plan import Reason
from stackctl.reconcile.value_text import limits_text, mount_text, value_text

_LIVE: Final = frozenset({"labels", "replicas", "update", "rollback"})
_NOT_COMPARED: Final = frozenset({"name", "origin", "image_ref", "image", "mode", "generation"})
_COMPARED: Final = tuple(item.name for item in fields(ServiceSpec) if item.name not in _NOT_COMPARED)
_TITLES: Final = {
    "mounts": "volumes",
    "update": "update_config",
    "rollback": "rollback_config",
    "restart": "restart_policy",
    "health": "healthcheck",
    "stop_grace_s": "stop_grace_period",
    "container_labels": "labels",
    "labels": "deploy.labels",
    "log": "logging",
    "nano_cpus": "cpus",
    "memory_bytes": "memory",
    "max_per_node": "max_replicas_per_node",
    "spread": "preferences",
}
_NETWORK_FIELDS: Final = ("is_internal", "is_attachable", "driver", "subnet", "ip_range", "gateway", "enable_ipv6")
_CHOSEN_BY_ENGINE: Final = frozenset({"subnet", "ip_range", "gateway"})


@dataclass(frozen=True, slots=True)
class ServiceDifference:
    """Reasons, by what they do: nothing to running tasks, replace them one after the other, make the service anew."""

    live: tuple[Reason, ...] = ()
    rolling: tuple[Reason, ...] = ()
    anew: tuple[Reason, ...] = ()

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """All of them, the gravest first."""
        return (*self.anew, *self.rolling, *self.live)


def compare_services(wanted: ServiceSpec, existing: ServiceSpec) -> ServiceDifference:
    """Say what must change about a service.

    Any change of a job runs it again: what would be live elsewhere is not worth that, and is not told.
    """
    live: list[Reason] = []
    rolling = list(_image(wanted, existing))
    anew = [] if wanted.mode == existing.mode else [_reason("mode", existing.mode, wanted.mode, wanted)]
    for name in _COMPARED:
        before, after = getattr(existing, name), getattr(wanted, name)
        if before == after or (anew and name == "replicas"):
            continue
        found = list(_reasons(name, before, after, wanted))
        if name not in _LIVE or (wanted.is_job and name == "replicas"):
            rolling += found
        elif not wanted.is_job:
            live += found
    return ServiceDifference(tuple(live), tuple(rolling), tuple(anew))


def compare_overlays(wanted: NetworkSpec, existing: NetworkSpec) -> list[tuple[str, str, str]]:
    """Return (field, before, after) for what can only be changed by making the network anew.

    The engine tells no difference between addresses it chose and those it was asked for: none are asked for any more,
    any are right.
    """
    found = []
    for name in _NETWORK_FIELDS:
        before, after = getattr(existing, name), getattr(wanted, name)
        if before != after and (after or name not in _CHOSEN_BY_ENGINE):
            found.append((name.removeprefix("is_"), value_text(before), value_text(after)))
    return found


def _image(wanted: ServiceSpec, existing: ServiceSpec) -> Iterator[Reason]:
    where = wanted.origin.get("image_ref")
    if wanted.image_ref != existing.image_ref:
        yield Reason("image", existing.image_ref, wanted.image_ref, where)
    elif wanted.image != existing.image:
        yield Reason(f"image {wanted.image_ref}", _digest(existing.image), _digest(wanted.image), where)


def _digest(image: str) -> str:
    return image.partition("@")[2].removeprefix("sha256:")[:12]


def _reasons(name: str, before: object, after: object, wanted: ServiceSpec) -> Iterator[Reason]:
    match name:
        case "env":
            yield from _keys(name, "environment", _pairs(before), _pairs(after), wanted)
        case "labels" | "container_labels":
            yield from _keys(name, _TITLES[name], _own(before), _own(after), wanted)
        case "volumes":
            yield from _volumes(before, after, wanted)
        case "contents":
            yield from _contents(before, after, wanted)
        case "limits":
            for title, old, new in limits_text(before, after):
                yield Reason(title, old, new, wanted.origin.get("limits") or wanted.origin.get(""))
        case _ if is_dataclass(before) and type(before) is type(after):
            for item in fields(before):
                old, new = getattr(before, item.name), getattr(after, item.name)
                if old != new:
                    yield _reason(f"{_TITLES.get(name, name)}.{_sub_title(item.name)}", old, new, wanted, field=name)
        case _:
            yield _reason(_TITLES.get(name, name), before, after, wanted, field=name)


def _sub_title(name: str) -> str:
    return _TITLES.get(name, name.removesuffix("_s"))


def _reason(title: str, before: object, after: object, wanted: ServiceSpec, *, field: str = "") -> Reason:
    where = wanted.origin.get(field or title) or wanted.origin.get("")
    old, new = _text(title, before), _text(title, after)
    return Reason(title, old, new, where) if old != new else Reason(f"{title} changed", source=where)


def _text(title: str, value: object) -> str:
    if isinstance(value, bool):
        return value_text(value)
    if isinstance(value, float):
        return f"{value:g}s" if not title.endswith("ratio") else f"{value:g}"
    if title.endswith(".cpus") and isinstance(value, int):
        return f"{value / 1e9:g}"
    if isinstance(value, tuple):
        return value_text(tuple(_item(item) for item in value))
    return value_text(value)


def _item(item: object) -> object:
    match item:
        case ServicePort():
            protocol = "" if item.protocol == "tcp" else f"/{item.protocol}"
            published = f"{item.published}:" if item.published else ""
            return f"{published}{item.target}{protocol}" + (" (host)" if item.mode == "host" else "")
        case Attachment():
            return item.network
        case BindMount() | VolumeMount() | TmpfsMount():
            return f"{item.target}: {mount_text(item)}"
        case _:
            return item


def _pairs(env: object) -> dict[str, str]:
    entries = env if isinstance(env, tuple) else ()
    return {entry.partition("=")[0]: entry.partition("=")[2] for entry in entries}


def _own(pairs: object) -> dict[str, str]:
    entries = pairs if isinstance(pairs, tuple) else ()
    return {key: value for key, value in entries if not key.startswith(labels.PREFIX)}


def _keys(
    field: str, title: str, before: Mapping[str, str], after: Mapping[str, str], wanted: ServiceSpec
) -> Iterator[Reason]:
    """Name the keys that differ and never the values: those may be secrets, and plans get logged."""
    if before == after:
        return
    changed = [key for key in after if key in before and before[key] != after[key]]
    added = [key for key in after if key not in before]
    removed = [key for key in before if key not in after]
    marked = [f"~{key}" for key in changed] + [f"+{key}" for key in added] + [f"-{key}" for key in removed]
    places = [wanted.origin.get(f"{field}.{key}") for key in (*changed, *added)]
    where = next((place for place in places if place is not None), None)
    source = where or wanted.origin.get(field) or wanted.origin.get("")
    yield Reason(f"{title} {' '.join(marked)}", source=source)


def _volumes(before: object, after: object, wanted: ServiceSpec) -> Iterator[Reason]:
    old, new = _volume_facts(before), _volume_facts(after)
    for name in sorted(old.keys() | new.keys()):
        # A volume that comes or goes is told of among the mounts.
        if name in old and name in new and old[name] != new[name]:
            yield Reason(f"definition of volume {name} changed", source=wanted.origin.get("mounts"))


def _volume_facts(volumes: object) -> dict[str, object]:
    found: Sequence[VolumeSpec] = volumes if isinstance(volumes, tuple) else ()
    return {volume.name: (volume.driver, volume.options, _own(volume.labels)) for volume in found}


def _contents(before: object, after: object, wanted: ServiceSpec) -> Iterator[Reason]:
    old, new = _by_target(before), _by_target(after)
    where = wanted.origin.get("contents") or wanted.origin.get("")
    for (kind, target), use in new.items():
        other = old.get((kind, target))
        if other is None:
            yield Reason(f"{kind} at {target}", "", use.name, where)
        elif other != use:
            what = "content" if other.name != use.name else "use"
            yield Reason(f"{what} of the {kind} at {target} changed", source=where)
    for (kind, target), use in old.items():
        if (kind, target) not in new:
            yield Reason(f"{kind} at {target}", use.name, "", where)


def _by_target(contents: object) -> dict[tuple[str, str], TaskContent]:
    found: Sequence[TaskContent] = contents if isinstance(contents, tuple) else ()
    return {(use.kind, use.target): use for use in found}
