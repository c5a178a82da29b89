"""What differs between one specification and another, in words and with its place. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from stackctl import labels
from stackctl.model.container import (
    BindMount,
    ContainerSpec,
    ContentMount,
    JoinNetworks,
    Limits,
    Mount,
    TmpfsMount,
    VolumeMount,
)
from stackctl.reconcile.engine import Traits
from stackctl.reconcile.plan import Reason

_NOT_COMPARED: Final = frozenset({"name", "labels", "origin", "image_ref", "image_id"})
_NAMES: Final = {
    "argv": "command",
    "env": "environment",
    "mounts": "volumes",
    "networking": "networks",
    "limits": "limits",
    "stop_grace_s": "stop_grace_period",
    "health": "healthcheck",
    "shm_size_bytes": "shm_size",
}
_LONGEST: Final = 60


@dataclass(frozen=True, slots=True)
class SpecDifference:
    """Reasons, by what they need: nothing but a live update, or a new container."""

    live: tuple[Reason, ...] = ()
    replacing: tuple[Reason, ...] = ()


def compare(wanted: ContainerSpec, existing: ContainerSpec, traits: Traits) -> SpecDifference:
    """Say what must change about a container made from ``existing``."""
    live: list[Reason] = []
    replacing: list[Reason] = [*_image_reasons(wanted, existing), *_label_reasons(wanted, existing)]
    for item in fields(ContainerSpec):
        name = item.name
        before, after = getattr(existing, name), getattr(wanted, name)
        if name in _NOT_COMPARED or name in traits.ignored_fields or before == after:
            continue
        reasons = live if name in traits.live_fields else replacing
        reasons.append(_reason(name, before, after, wanted))
    return SpecDifference(tuple(live), tuple(replacing))


def _image_reasons(wanted: ContainerSpec, existing: ContainerSpec) -> list[Reason]:
    where = wanted.origin.get("image_ref")
    if wanted.image_ref != existing.image_ref:
        return [Reason("image", existing.image_ref, wanted.image_ref, where)]
    if wanted.image_id != existing.image_id:
        return [Reason(f"image {wanted.image_ref}", _short(existing.image_id), _short(wanted.image_id), where)]
    return []


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:12]


def _label_reasons(wanted: ContainerSpec, existing: ContainerSpec) -> list[Reason]:
    before, after = _own_labels(existing), _own_labels(wanted)
    if before == after:
        return []
    return [Reason(f"labels {_changed_keys(before, after)}", source=wanted.origin.get("labels"))]


def _own_labels(spec: ContainerSpec) -> dict[str, str]:
    return {key: value for key, value in spec.labels if not key.startswith(labels.PREFIX)}


def _reason(name: str, before: object, after: object, wanted: ContainerSpec) -> Reason:
    where = wanted.origin.get(name) or wanted.origin.get("")
    title = _NAMES.get(name, name)
    if name == "env":
        # Names only: values may be secrets, and plans get logged.
        return Reason(f"environment {_changed_keys(_pairs(before), _pairs(after))}", source=where)
    if name == "mounts":
        return _mount_reason(before, after, wanted)
    return Reason(title, _text(before), _text(after), where)


def _pairs(env: object) -> dict[str, str]:
    entries = env if isinstance(env, tuple) else ()
    return {entry.partition("=")[0]: entry.partition("=")[2] for entry in entries}


def _changed_keys(before: dict[str, str], after: dict[str, str]) -> str:
    added = [f"+{key}" for key in after if key not in before]
    changed = [f"~{key}" for key in after if key in before and before[key] != after[key]]
    removed = [f"-{key}" for key in before if key not in after]
    return " ".join([*changed, *added, *removed]) or "order"


def _mount_reason(before: object, after: object, wanted: ContainerSpec) -> Reason:
    old = {mount.target: mount for mount in before} if isinstance(before, tuple) else {}
    new = {mount.target: mount for mount in after} if isinstance(after, tuple) else {}
    for target, mount in new.items():
        other = old.get(target)
        is_content = isinstance(mount, ContentMount) and isinstance(other, ContentMount)
        if is_content and isinstance(mount, ContentMount) and other != mount:
            return Reason(f"content of {mount.kind} {mount.name} changed", source=wanted.origin.get("mounts"))
    changed = [target for target in {**old, **new} if old.get(target) != new.get(target)]
    first = changed[0] if changed else ""
    return Reason(
        "volumes" + (f" at {first}" if first else ""),
        _mount_text(old.get(first)),
        _mount_text(new.get(first)),
        wanted.origin.get("mounts") or wanted.origin.get(""),
    )


def _mount_text(mount: Mount | None) -> str:
    match mount:
        case None:
            return ""
        case BindMount():
            return mount.source + (":ro" if mount.read_only else "")
        case VolumeMount():
            return mount.volume + (":ro" if mount.read_only else "")
        case TmpfsMount():
            return "tmpfs"
        case ContentMount():
            return f"{mount.kind} {mount.name}"


def _text(value: object) -> str:
    if isinstance(value, tuple):
        text = " ".join(str(item) if isinstance(item, str) else _text(item) for item in value)
    elif isinstance(value, JoinNetworks):
        text = ", ".join(attachment.network for attachment in value.attachments)
    elif isinstance(value, Limits):
        text = _limits_text(value)
    elif hasattr(value, "__dataclass_fields__"):
        shown = [_field_text(item.name, getattr(value, item.name)) for item in fields(value)]
        text = ", ".join(part for part in shown if part)
    else:
        text = "" if value is None else str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _field_text(name: str, value: object) -> str:
    return f"{name}={_text(value)}" if value not in ("", None, 0, (), False) else ""


def _limits_text(limits: Limits) -> str:
    parts = [
        f"cpus={limits.nano_cpus / 1e9:g}" if limits.nano_cpus else "",
        f"memory={limits.memory_bytes}" if limits.memory_bytes else "",
        f"pids={limits.pids}" if limits.pids else "",
        f"cpu_shares={limits.cpu_shares}" if limits.cpu_shares else "",
        f"cpuset={limits.cpuset}" if limits.cpuset else "",
    ]
    return " ".join(part for part in parts if part)
