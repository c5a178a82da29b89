"""Image configurations: their JSON, as OCI and Docker write it, and what Docker's API tells of an image.

Source: OCI image-spec, config.md; Docker Engine API 1.51, ImageInspect and ImageSummary.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from stackctl.errors import ImageError
from stackctl.images.limits import MAX_JSON_BYTES, MAX_LAYERS
from stackctl.model.health import HealthCheck
from stackctl.model.image import ImageConfig

_NS: Final = 1_000_000_000
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_DEFAULT_HEALTH: Final = HealthCheck(test=())
BASE_KEY: Final = "stackctl"
"""A key of our own in a configuration: ``{"base": "host"}`` for an image built upon this machine's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """All of an image's configuration that is used; ``raw`` is its ``config`` object, as it was written.

    ``created`` is RFC 3339 or "". ``base`` names the built-in image that lies under the layers, if one does.
    """

    config: ImageConfig
    diff_ids: tuple[str, ...]
    created: str = ""
    author: str = ""
    comment: str = ""
    docker_version: str = ""
    base: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """An image of the store. ``tags`` and ``digests`` are in familiar form; sizes are of extracted files."""

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    size_bytes: int
    tagged_ns: int
    document: bytes
    is_builtin: bool = False


def read_json(text: bytes, what: str) -> dict[str, Any]:
    """Return the JSON object in ``text``. Raises ImageError, naming ``what``, for anything else."""
    if len(text) > MAX_JSON_BYTES:
        raise ImageError(f"{what} is larger than {MAX_JSON_BYTES} bytes", code="image-too-large")
    try:
        shape = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ImageError(f"{what} is not JSON: {error}", code="archive-corrupt") from error
    if not isinstance(shape, dict):
        raise ImageError(f"{what} is not a JSON object", code="archive-corrupt")
    return shape


def describe(document: bytes) -> Description:
    """Read an image configuration. Raises ImageError for one that is malformed."""
    what = "the image configuration"
    shape = read_json(document, what)
    raw = _object(shape, "config")
    rootfs = _object(shape, "rootfs")
    diff_ids = _texts(rootfs, "diff_ids")
    if any(_DIGEST.fullmatch(diff_id) is None for diff_id in diff_ids):
        raise ImageError(f"{what} names a layer by something that is no sha256 digest", code="archive-corrupt")
    if len(diff_ids) > MAX_LAYERS:
        raise ImageError(f"{what} names more than {MAX_LAYERS} layers", code="image-too-large")
    return Description(
        config=_config(shape, raw),
        diff_ids=diff_ids,
        created=_text(shape, "created"),
        author=_text(shape, "author"),
        comment=_text(shape, "comment"),
        docker_version=_text(shape, "docker_version"),
        base=_text(_object(shape, BASE_KEY), "base"),
        raw=raw,
    )


def _config(shape: Mapping[str, Any], raw: Mapping[str, Any]) -> ImageConfig:
    ports = sorted(_object(raw, "ExposedPorts"))
    return ImageConfig(
        entrypoint=_command(raw, "Entrypoint"),
        cmd=_command(raw, "Cmd"),
        env=_texts(raw, "Env"),
        user=_text(raw, "User"),
        working_dir=_text(raw, "WorkingDir"),
        labels=tuple(sorted((key, str(value)) for key, value in _object(raw, "Labels").items())),
        ports=tuple(port if "/" in port else f"{port}/tcp" for port in ports),
        volumes=tuple(sorted(_object(raw, "Volumes"))),
        stop_signal=_text(raw, "StopSignal"),
        health=_health(_object(raw, "Healthcheck")),
        architecture=_text(shape, "architecture"),
        os=_text(shape, "os") or "linux",
        variant=_text(shape, "variant"),
    )


def _health(raw: Mapping[str, Any]) -> HealthCheck | None:
    test = _texts(raw, "Test")
    if not test:
        return None
    default = _DEFAULT_HEALTH
    return HealthCheck(
        test=test,
        interval_s=_seconds(raw, "Interval") or default.interval_s,
        timeout_s=_seconds(raw, "Timeout") or default.timeout_s,
        retries=int(_number(raw, "Retries")) or default.retries,
        start_period_s=_seconds(raw, "StartPeriod"),
        start_interval_s=_seconds(raw, "StartInterval") or default.start_interval_s,
    )


def config_document(
    config: ImageConfig, diff_ids: Sequence[str], *, created: str, history: Sequence[Mapping[str, Any]]
) -> bytes:
    """Return the JSON of a configuration we make: canonical, so that equal ones have one digest."""
    shape: dict[str, Any] = {
        "architecture": config.architecture,
        "config": _raw(config),
        "created": created,
        "history": [dict(entry) for entry in history],
        "os": config.os,
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
    }
    if config.variant:
        shape["variant"] = config.variant
    return json.dumps(shape, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _raw(config: ImageConfig) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "Cmd": list(config.cmd),
        "Entrypoint": list(config.entrypoint),
        "Env": list(config.env),
        "ExposedPorts": {port: {} for port in config.ports},
        "Healthcheck": _raw_health(config.health),
        "Labels": dict(config.labels),
        "StopSignal": config.stop_signal,
        "User": config.user,
        "Volumes": {path: {} for path in config.volumes},
        "WorkingDir": config.working_dir,
    }
    return {key: value for key, value in raw.items() if value}


def _raw_health(health: HealthCheck | None) -> dict[str, Any]:
    if health is None:
        return {}
    default = _DEFAULT_HEALTH
    raw = {
        "Interval": _nanoseconds(health.interval_s, default.interval_s),
        "Timeout": _nanoseconds(health.timeout_s, default.timeout_s),
        "StartPeriod": _nanoseconds(health.start_period_s, default.start_period_s),
        "StartInterval": _nanoseconds(health.start_interval_s, default.start_interval_s),
        "Retries": health.retries if health.retries != default.retries else 0,
    }
    return {"Test": list(health.test)} | {key: value for key, value in raw.items() if value}


def _nanoseconds(seconds: float, default: float) -> int:
    return round(seconds * _NS) if seconds != default else 0


def inspect_json(image: StoredImage) -> dict[str, Any]:
    """Return the answer to ``GET /images/{name}/json``."""
    known = describe(image.document)
    shape: dict[str, Any] = {
        "Id": image.id,
        "RepoTags": list(image.tags),
        "RepoDigests": list(image.digests),
        "Parent": "",
        "Comment": known.comment,
        "Created": known.created,
        "DockerVersion": known.docker_version,
        "Author": known.author,
        "Config": {**_EMPTY_CONFIG, **known.raw},
        "Architecture": known.config.architecture,
        "Os": known.config.os,
        "Size": image.size_bytes,
        "GraphDriver": {"Data": None, "Name": "host" if image.is_builtin else "overlay2"},
        "RootFS": {"Type": "layers", "Layers": list(known.diff_ids)},
        "Metadata": {"LastTagTime": rfc3339(image.tagged_ns) if image.tagged_ns else "0001-01-01T00:00:00Z"},
    }
    if known.config.variant:
        shape["Variant"] = known.config.variant
    return shape


_EMPTY_CONFIG: Final[Mapping[str, Any]] = {
    "Cmd": None,
    "Entrypoint": None,
    "Env": None,
    "Labels": None,
    "OnBuild": None,
    "User": "",
    "Volumes": None,
    "WorkingDir": "",
}


def list_json(image: StoredImage) -> dict[str, Any]:
    """Return the image's element of the answer to ``GET /images/json``."""
    known = describe(image.document)
    return {
        "Containers": -1,
        "Created": unix_time(known.created),
        "Id": image.id,
        "Labels": dict(known.config.labels) or None,
        "ParentId": "",
        "RepoDigests": list(image.digests),
        "RepoTags": list(image.tags),
        "SharedSize": -1,
        "Size": image.size_bytes,
    }


def rfc3339(time_ns: int) -> str:
    """Return a time since the epoch as text with nanoseconds, in UTC."""
    seconds, fraction = divmod(time_ns, _NS)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    digits = f"{fraction:09d}".rstrip("0")
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + (f".{digits}" if digits else "") + "Z"


def unix_time(text: str) -> int:
    """Return the seconds since the epoch of an RFC 3339 time, 0 for what is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0
    return int(moment.timestamp()) if moment.tzinfo else 0


def _object(shape: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = shape.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _wrong(key, "an object")
    return value


def _text(shape: Mapping[str, Any], key: str) -> str:
    value = shape.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong(key, "a text")
    return value


def _texts(shape: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = shape.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _wrong(key, "a list of texts")
    return tuple(value)


def _command(shape: Mapping[str, Any], key: str) -> tuple[str, ...]:
    # Old builders wrote a command of one word as a plain text.
    value = shape.get(key)
    return (value,) if isinstance(value, str) else _texts(shape, key)


def _number(shape: Mapping[str, Any], key: str) -> float:
    value = shape.get(key)
    if value is None:
        return 0
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise _wrong(key, "a number")
    return value


def _seconds(shape: Mapping[str, Any], key: str) -> float:
    return _number(shape, key) / _NS


def _wrong(key: str, kind: str) -> ImageError:
    return ImageError(f"the image configuration is malformed: {key} is not {kind}", code="archive-corrupt")
