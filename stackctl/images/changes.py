"""Dockerfile instructions that change an image's configuration, as ``docker import --change`` takes them.

Source: Dockerfile reference; moby, builder/dockerfile, BuildFromConfig.
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from stackctl.errors import ImageError
from stackctl.model.health import HealthCheck
from stackctl.model.image import ImageConfig

_SHELL: Final = ("/bin/sh", "-c")
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(h|ms|us|ns|m|s)")
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_PORT: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)
_HEALTH_FLAG: Final = re.compile(r"--([a-z-]+)=(\S+)\s+")
_HEALTH_FLAGS: Final = {
    "interval": "interval_s",
    "timeout": "timeout_s",
    "start-period": "start_period_s",
    "start-interval": "start_interval_s",
}


def apply_changes(config: ImageConfig, changes: Iterable[str]) -> ImageConfig:
    """Return ``config`` with each instruction applied, in order. Raises ImageError for one it cannot take."""
    for change in changes:
        for line in change.replace("\\\n", " ").splitlines():
            if line.strip():
                config = _apply(config, line.strip())
    return config


def _apply(config: ImageConfig, line: str) -> ImageConfig:
    word, _, rest = line.partition(" ")
    instruction = _INSTRUCTIONS.get(word.upper())
    if instruction is None:
        raise ImageError(
            f"the change {word[:40]!r} is not one an image can take",
            code="change-invalid",
            hint=f"one of {', '.join(sorted(_INSTRUCTIONS))}",
        )
    if not rest.strip():
        raise _wrong(line, "nothing follows the instruction")
    try:
        return instruction(config, rest.strip())
    except ValueError as error:
        raise _wrong(line, str(error)) from error


def _cmd(config: ImageConfig, rest: str) -> ImageConfig:
    return replace(config, cmd=_command(rest))


def _entrypoint(config: ImageConfig, rest: str) -> ImageConfig:
    return replace(config, entrypoint=_command(rest))


def _env(config: ImageConfig, rest: str) -> ImageConfig:
    known = dict(item.partition("=")[::2] for item in config.env) | _pairs(rest)
    return replace(config, env=tuple(f"{key}={value}" for key, value in known.items()))


def _label(config: ImageConfig, rest: str) -> ImageConfig:
    return replace(config, labels=tuple(sorted((dict(config.labels) | _pairs(rest)).items())))


def _expose(config: ImageConfig, rest: str) -> ImageConfig:
    ports = set(config.ports)
    for text in rest.split():
        match = _PORT.fullmatch(text)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if match is None or not 1 <= first <= last <= 65535:
            raise ValueError(f"{text!r} is no port")
        ports |= {f"{port}/{(match[3] or 'tcp').lower()}" for port in range(first, last + 1)}
    return replace(config, ports=tuple(sorted(ports)))


def _user(config: ImageConfig, rest: str) -> ImageConfig:
    return replace(config, user=rest)


def _workdir(config: ImageConfig, rest: str) -> ImageConfig:
    return replace(config, working_dir=posixpath.normpath(posixpath.join(config.working_dir or "/", rest)))


def _volume(config: ImageConfig, rest: str) -> ImageConfig:
    paths = _json_texts(rest) or tuple(rest.split())
    return replace(config, volumes=tuple(sorted({*config.volumes, *paths})))


def _stop_signal(config: ImageConfig, rest: str) -> ImageConfig:
    return replace(config, stop_signal=rest)


def _healthcheck(config: ImageConfig, rest: str) -> ImageConfig:
    if rest.upper() == "NONE":
        return replace(config, health=HealthCheck(test=("NONE",)))
    times: dict[str, float] = {}
    retries = 3
    while match := _HEALTH_FLAG.match(rest):
        rest = rest[match.end() :]
        if match[1] == "retries":
            retries = int(match[2])
        elif match[1] in _HEALTH_FLAGS:
            times[_HEALTH_FLAGS[match[1]]] = _seconds(match[2])
        else:
            raise ValueError(f"unknown flag --{match[1]}")
    word, _, command = rest.partition(" ")
    if word.upper() != "CMD" or not command.strip():
        raise ValueError("CMD and a command, or NONE, must follow")
    listed = _json_texts(command.strip())
    test = ("CMD", *listed) if listed else ("CMD-SHELL", command.strip())
    return replace(config, health=HealthCheck(test=test, retries=retries, **times))


_INSTRUCTIONS: Final[Mapping[str, Callable[[ImageConfig, str], ImageConfig]]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}


def _command(rest: str) -> tuple[str, ...]:
    listed = _json_texts(rest)
    return listed if listed is not None else (*_SHELL, rest)


def _json_texts(rest: str) -> tuple[str, ...] | None:
    """Return the texts of a JSON list, None for what is none: Docker then takes it as shell text."""
    if not rest.startswith("["):
        return None
    try:
        value = json.loads(rest)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return None
    return tuple(value)


def _pairs(rest: str) -> dict[str, str]:
    first = rest.split(maxsplit=1)[0]
    if "=" not in first:
        # The old form: one name, and the rest of the line.
        name, _, value = rest.partition(" ")
        return {name: value.strip()}
    pairs = {}
    for word in shlex.split(rest):
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise ValueError(f"{word!r} is not NAME=VALUE")
        pairs[name] = value
    return pairs


def _seconds(text: str) -> float:
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration, such as 1m30s")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _wrong(line: str, why: str) -> ImageError:
    return ImageError(f"invalid change {line[:100]!r}: {why}", code="change-invalid")
