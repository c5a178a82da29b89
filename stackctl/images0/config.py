"""The OCI image configuration, and ours. Pure. Source: image-spec config.md; Docker image specification 1.2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stackctl.model.health import HealthCheck
from stackctl.model.image import ImageConfig

_NS: Final = 1_000_000_000


def read_config(shape: Mapping[str, Any]) -> ImageConfig:
    """Return what the parsed configuration says about running the image. Odd values count as not there."""
    inner = shape.get("config")
    config: Mapping[str, Any] = inner if isinstance(inner, Mapping) else {}
    return ImageConfig(
        entrypoint=_texts(config.get("Entrypoint")),
        cmd=_texts(config.get("Cmd")),
        env=_texts(config.get("Env")),
        user=_text(config.get("User")),
        working_dir=_text(config.get("WorkingDir")),
        labels=_pairs(config.get("Labels")),
        ports=_keys(config.get("ExposedPorts")),
        volumes=_keys(config.get("Volumes")),
        stop_signal=_text(config.get("StopSignal")),
        health=_health(config.get("Healthcheck")),
        architecture=_text(shape.get("architecture")),
        os=_text(shape.get("os")) or "linux",
        variant=_text(shape.get("variant")),
    )


def write_config(config: ImageConfig, diff_ids: tuple[str, ...], created: str) -> dict[str, Any]:
    """Return the configuration of an image made of these layers."""
    inner: dict[str, Any] = {
        "Entrypoint": list(config.entrypoint) or None,
        "Cmd": list(config.cmd) or None,
        "Env": list(config.env) or None,
        "User": config.user or None,
        "WorkingDir": config.working_dir or None,
        "Labels": dict(config.labels) or None,
        "ExposedPorts": {port: {} for port in config.ports} or None,
        "Volumes": {path: {} for path in config.volumes} or None,
        "StopSignal": config.stop_signal or None,
    }
    return {
        "architecture": config.architecture,
        "os": config.os,
        "created": created,
        "config": {key: value for key, value in inner.items() if value is not None},
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
        "history": [{"created": created, "comment": "Imported from -"}],
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _keys(value: object) -> tuple[str, ...]:
    return tuple(sorted(str(key) for key in value)) if isinstance(value, Mapping) else ()


def _pairs(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, Mapping):
        return ()
    return tuple(sorted((str(key), str(item)) for key, item in value.items()))


def _health(value: object) -> HealthCheck | None:
    if not isinstance(value, Mapping) or not _texts(value.get("Test")):
        return None
    default = HealthCheck(test=_texts(value.get("Test")))
    return HealthCheck(
        test=default.test,
        interval_s=_seconds(value.get("Interval"), default.interval_s),
        timeout_s=_seconds(value.get("Timeout"), default.timeout_s),
        retries=value["Retries"] if isinstance(value.get("Retries"), int) and value["Retries"] else default.retries,
        start_period_s=_seconds(value.get("StartPeriod"), default.start_period_s),
        start_interval_s=_seconds(value.get("StartInterval"), default.start_interval_s),
    )


def _seconds(value: object, default: float) -> float:
    return value / _NS if isinstance(value, int) and value > 0 else default
