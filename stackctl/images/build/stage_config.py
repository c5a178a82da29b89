"""A stage's configuration while it is built: from a base image's, step by step, to the JSON that Docker writes.

Source: OCI image-spec, config.md; Docker Engine API 1.51, ImageConfig.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from stackctl.images.dockerfile.instruction import Command, ExecForm, Healthcheck

DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHELL: Final = ("/bin/sh", "-c")
Pairs = tuple[tuple[str, str], ...]
Raw = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageConfig:
    """What will be the image's ``config``. None and empty mean that nothing is said.

    ``health`` is Docker's JSON of it. ``sets_cmd`` tells whether this stage has a CMD of its own.
    """

    env: Pairs = (("PATH", DEFAULT_PATH),)
    cmd: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    user: str = ""
    working_dir: str = ""
    labels: Pairs = ()
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    health: Raw | None = None
    shell: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()
    args_escaped: bool = False
    sets_cmd: bool = False

    @property
    def variables(self) -> dict[str, str]:
        """The environment as a mapping."""
        return dict(self.env)

    def with_env(self, pairs: Pairs) -> StageConfig:
        """Return it with variables set, those that were there at their place."""
        return replace(self, env=tuple((dict(self.env) | dict(pairs)).items()))

    def with_cmd(self, argv: tuple[str, ...]) -> StageConfig:
        """Return it with another command."""
        return replace(self, cmd=argv, args_escaped=True, sets_cmd=True)

    def with_entrypoint(self, argv: tuple[str, ...]) -> StageConfig:
        """Return it with another entrypoint: a command that came with the base image goes."""
        return replace(self, entrypoint=argv, cmd=self.cmd if self.sets_cmd else None)

    def argv_of(self, command: Command) -> tuple[str, ...]:
        """Return what is executed for a command."""
        if isinstance(command, ExecForm):
            return command.argv
        return (*(self.shell or DEFAULT_SHELL), command.text)

    def json(self) -> dict[str, object]:
        """Return the ``config`` object."""
        raw: dict[str, object] = {
            "User": self.user,
            "ExposedPorts": {port: {} for port in self.ports},
            "Env": [f"{key}={value}" for key, value in self.env],
            "Entrypoint": list(self.entrypoint or ()),
            "Cmd": list(self.cmd or ()),
            "Healthcheck": dict(self.health or {}),
            "Volumes": {path: {} for path in self.volumes},
            "WorkingDir": self.working_dir,
            "Labels": dict(self.labels),
            "StopSignal": self.stop_signal,
            "Shell": list(self.shell),
            "OnBuild": list(self.triggers),
            "ArgsEscaped": self.args_escaped,
        }
        return {key: value for key, value in raw.items() if value}


def config_from_base(raw: Raw) -> StageConfig:
    """Return what a stage starts with on an image whose ``config`` object is ``raw``."""
    env = tuple((entry.partition("=")[0], entry.partition("=")[2]) for entry in _texts(raw, "Env"))
    if "PATH" not in dict(env):
        env = (*env, ("PATH", DEFAULT_PATH))
    health = raw.get("Healthcheck")
    return StageConfig(
        env=env,
        cmd=_command(raw, "Cmd"),
        entrypoint=_command(raw, "Entrypoint"),
        user=str(raw.get("User") or ""),
        working_dir=str(raw.get("WorkingDir") or ""),
        labels=tuple((key, str(value)) for key, value in _object(raw, "Labels").items()),
        ports=tuple(_object(raw, "ExposedPorts")),
        volumes=tuple(_object(raw, "Volumes")),
        stop_signal=str(raw.get("StopSignal") or ""),
        health=health if isinstance(health, dict) and health else None,
        shell=_texts(raw, "Shell"),
        triggers=_texts(raw, "OnBuild"),
        args_escaped=raw.get("ArgsEscaped") is True,
    )


def health_json(check: Healthcheck) -> dict[str, object]:
    """Return Docker's JSON of a HEALTHCHECK."""
    if check.command is None:
        return {"Test": ["NONE"]}
    command = check.command
    test = ["CMD", *command.argv] if isinstance(command, ExecForm) else ["CMD-SHELL", command.text]
    times = {
        "Interval": check.interval_ns,
        "Timeout": check.timeout_ns,
        "StartPeriod": check.start_period_ns,
        "StartInterval": check.start_interval_ns,
        "Retries": check.retries,
    }
    return {"Test": test, **{key: value for key, value in times.items() if value}}


def _texts(raw: Raw, key: str) -> tuple[str, ...]:
    value = raw.get(key)
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def _command(raw: Raw, key: str) -> tuple[str, ...] | None:
    value = raw.get(key)
    if isinstance(value, str):
        return (value,)
    return _texts(raw, key) if isinstance(value, list) else None


def _object(raw: Raw, key: str) -> dict[str, object]:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}
