"""What differs between one specification and another, in words and with its place. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

from stackctl import labels
from stackctl.diagnostics import SourceRange
from stackctl.model.container import ContainerSpec, ContentMount
from stackctl.model.network import NetworkSpec
from stackctl.reconcile.engine import Traits
from stackctl.reconcile.live import is_live
from stackctl.reconcile.plan import Reason
from stackctl.reconcile.value_text import field_title, limits_text, mount_text, value_text

_NOT_COMPARED: Final = frozenset({"name", "labels", "origin", "image_ref", "image_id"})
_COMPARED: Final = tuple(item.name for item in fields(ContainerSpec) if item.name not in _NOT_COMPARED)
_NETWORK_FIELDS: Final = (
    "is_internal",
    "driver",
    "subnet",
    "ip_range",
    "gateway",
    "enable_ipv6",
    "options",
    "reserved",
)


@dataclass(frozen=True, slots=True)
class SpecDifference:
    """Reasons, by what they need: nothing but a live update, or a new container."""

    live: tuple[Reason, ...] = ()
    replacing: tuple[Reason, ...] = ()


def compare(wanted: ContainerSpec, existing: ContainerSpec, traits: Traits) -> SpecDifference:
    """Say what must change about a container made from ``existing``."""
    live: list[Reason] = []
    replacing: list[Reason] = []
    is_retagged = bool(wanted.image_id) and wanted.image_id == existing.image_id
    for name, reasons in (
        ("image_ref" if is_retagged else "image_id", _image_reasons(wanted, existing)),
        ("labels", label_reasons(wanted, existing)),
    ):
        (live if name in traits.live_fields else replacing).extend(reasons)
    for name in _COMPARED:
        before, after = getattr(existing, name), getattr(wanted, name)
        if before == after or name in traits.ignored_fields:
            continue
        found = live if is_live(name, before, after, traits) else replacing
        found += _reasons(name, before, after, wanted)
    return SpecDifference(tuple(live), tuple(replacing))


def compare_networks(wanted: NetworkSpec, existing: NetworkSpec) -> list[tuple[str, str, str]]:
    """Return (field, before, after) for what can only be changed by making the network anew.

    What is left to the engine to choose, it may go on choosing as it did.
    """
    found = []
    for name in _NETWORK_FIELDS:
        before, after = getattr(existing, name), getattr(wanted, name)
        if before != after:
            found.append((name.removeprefix("is_"), value_text(before), value_text(after)))
    return found


def _image_reasons(wanted: ContainerSpec, existing: ContainerSpec) -> list[Reason]:
    where = wanted.origin.get("image_ref")
    if wanted.image_ref != existing.image_ref:
        return [Reason("image", existing.image_ref, wanted.image_ref, where)]
    if not wanted.image_id:
        return [Reason(f"image {wanted.image_ref} is built anew", source=where)]
    if wanted.image_id != existing.image_id:
        return [Reason(f"image {wanted.image_ref}", _short(existing.image_id), _short(wanted.image_id), where)]
    return []


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:12]


def label_reasons(wanted: ContainerSpec, existing: ContainerSpec | None) -> list[Reason]:
    """Say which of the user's own labels differ."""
    if existing is None:
        return []
    before, after = _own_labels(existing), _own_labels(wanted)
    return [] if before == after else [_keys_reason("labels", "labels", before, after, wanted)]


def _own_labels(spec: ContainerSpec) -> dict[str, str]:
    return {key: value for key, value in spec.labels if not key.startswith(labels.PREFIX)}


def _reasons(name: str, before: object, after: object, wanted: ContainerSpec) -> list[Reason]:
    if name == "env":
        return [_keys_reason("environment", "env", _pairs(before), _pairs(after), wanted)]
    if name == "mounts":
        return [_mount_reason(before, after, wanted)]
    where = _where(wanted, name)
    if name == "limits":
        return [
            Reason(title, old, new, wanted.origin.get(f"limits.{title}") or where)
            for title, old, new in limits_text(before, after)
        ]
    old, new = value_text(before), value_text(after)
    if old == new:
        return [Reason(f"{field_title(name)} changed", source=where)]
    return [Reason(field_title(name), old, new, where)]


def _where(wanted: ContainerSpec, name: str) -> SourceRange | None:
    return wanted.origin.get(name) or wanted.origin.get("")


def _pairs(env: object) -> dict[str, str]:
    entries = env if isinstance(env, tuple) else ()
    return {entry.partition("=")[0]: entry.partition("=")[2] for entry in entries}


def _keys_reason(
    title: str, field: str, before: Mapping[str, str], after: Mapping[str, str], wanted: ContainerSpec
) -> Reason:
    """Name the keys that differ and never the values: those may be secrets, and plans get logged."""
    changed = [key for key in after if key in before and before[key] != after[key]]
    added = [key for key in after if key not in before]
    removed = [key for key in before if key not in after]
    marked = [f"~{key}" for key in changed] + [f"+{key}" for key in added] + [f"-{key}" for key in removed]
    places = [wanted.origin.get(f"{field}.{key}") for key in (*changed, *added)]
    where = next((place for place in places if place is not None), None)
    text = f"{title} {' '.join(marked) or 'order'}"
    return Reason(text, source=where or wanted.origin.get(field) or wanted.origin.get(""))


def _mount_reason(before: object, after: object, wanted: ContainerSpec) -> Reason:
    old = {mount.target: mount for mount in before} if isinstance(before, tuple) else {}
    new = {mount.target: mount for mount in after} if isinstance(after, tuple) else {}
    where = _where(wanted, "mounts")
    for target, mount in new.items():
        other = old.get(target)
        if isinstance(mount, ContentMount) and isinstance(other, ContentMount) and other != mount:
            what = "content" if mount.fingerprint != other.fingerprint else "use"
            return Reason(f"{what} of {mount.kind} {mount.name} changed", source=where)
    changed = [target for target in {**old, **new} if old.get(target) != new.get(target)]
    if not changed:
        return Reason("volumes order", source=where)
    first = changed[0]
    return Reason(f"volumes at {first}", mount_text(old.get(first)), mount_text(new.get(first)), where)
