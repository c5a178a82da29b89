"""One stage of a Dockerfile while it is built: its instructions, in their order."""

from __future__ import annotations

import posixpath
import re
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from stackctl.errors import ImageError
from stackctl.images.build import history
from stackctl.images.build.commands import run_command
from stackctl.images.build.files import add_files, copy_files, make_working_dir
from stackctl.images.build.site import Site, StageState
from stackctl.images.build.stage_config import health_json
from stackctl.images.dockerfile.instruction import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    OnBuild,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)

_SIGNALS: Final = frozenset(
    {
        *(known.name.removeprefix("SIG") for known in signal.Signals),
        *(f"RTMIN+{number}" for number in range(16)),
        *(f"RTMAX-{number}" for number in range(15)),
    }
)
_PORT: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)


def perform(site: Site, state: StageState, instruction: Instruction) -> StageState:
    """Return the stage after an instruction. Raises ImageError, EngineError; OSError."""
    handler = _HANDLERS.get(type(instruction))
    if handler is None:
        raise ImageError(f"{type(instruction).__name__.upper()} cannot stand here", code="build-unsupported")
    return handler(site, state, instruction)


def _env(_: Site, state: StageState, step: Env) -> StageState:
    pairs = tuple((state.expand(key), state.expand(value)) for key, value in step.pairs)
    text = "ENV " + " ".join(f"{key}={value}" for key, value in pairs)
    return state.with_config(state.config.with_env(pairs)).noted(text)


def _arg(site: Site, state: StageState, step: Arg) -> StageState:
    shown = []
    for key, default in step.pairs:
        value = site.request.args.get(key)
        if value is None:
            value = site.global_args.get(key) if default is None else state.expand(default)
        state = replace(state, args=(*((k, v) for k, v in state.args if k != key), (key, value)))
        shown.append(key if value is None else f"{key}={value}")
    return state.noted("ARG " + " ".join(shown))


def _label(_: Site, state: StageState, step: Label) -> StageState:
    pairs = tuple((state.expand(key), state.expand(value)) for key, value in step.pairs)
    labels = tuple((dict(state.config.labels) | dict(pairs)).items())
    text = "LABEL " + " ".join(f"{key}={value}" for key, value in pairs)
    return state.with_config(replace(state.config, labels=labels)).noted(text)


def _workdir(site: Site, state: StageState, step: Workdir) -> StageState:
    path = posixpath.normpath(posixpath.join("/", state.config.working_dir, state.expand(step.path)))
    path = "/" + path.lstrip("/")
    state = state.with_config(replace(state.config, working_dir=path))
    return make_working_dir(site, state, path, f"WORKDIR {path}")


def _user(_: Site, state: StageState, step: User) -> StageState:
    user = state.expand(step.user)
    return state.with_config(replace(state.config, user=user)).noted(f"USER {user}")


def _expose(_: Site, state: StageState, step: Expose) -> StageState:
    ports = [port for word in step.ports for text in state.expand(word).split() for port in _ports(text)]
    known = tuple(sorted({*state.config.ports, *ports}))
    return state.with_config(replace(state.config, ports=known)).noted(f"EXPOSE {history.listed(sorted(ports))}")


def _ports(text: str) -> list[str]:
    match = _PORT.fullmatch(text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if match is None or not 1 <= first <= last <= 65535:
        raise ImageError(f"{text!r} is no port", code="build-value")
    return [f"{port}/{(match[3] or 'tcp').lower()}" for port in range(first, last + 1)]


def _volume(_: Site, state: StageState, step: Volume) -> StageState:
    paths = [state.expand(path) for path in step.paths]
    volumes = tuple(dict.fromkeys((*state.config.volumes, *paths)))
    return state.with_config(replace(state.config, volumes=volumes)).noted(f"VOLUME {history.listed(paths)}")


def _cmd(_: Site, state: StageState, step: Cmd) -> StageState:
    argv = state.config.argv_of(step.command)
    return state.with_config(state.config.with_cmd(argv)).noted(f"CMD {history.quoted(argv)}")


def _entrypoint(_: Site, state: StageState, step: Entrypoint) -> StageState:
    argv = state.config.argv_of(step.command)
    return state.with_config(state.config.with_entrypoint(argv)).noted(f"ENTRYPOINT {history.quoted(argv)}")


def _shell(_: Site, state: StageState, step: Shell) -> StageState:
    config = replace(state.config, shell=step.argv)
    return state.with_config(config).noted(f"SHELL {history.listed(step.argv)}")


def _healthcheck(_: Site, state: StageState, step: Healthcheck) -> StageState:
    health = health_json(step)
    return state.with_config(replace(state.config, health=health)).noted(history.health_text(health))


def _stop_signal(_: Site, state: StageState, step: StopSignal) -> StageState:
    name = state.expand(step.signal)
    if not _is_signal(name):
        raise ImageError(f"there is no signal {name!r}", code="build-value", hint="such as SIGTERM or 15")
    return state.with_config(replace(state.config, stop_signal=name)).noted(f"STOPSIGNAL {name}")


def _is_signal(text: str) -> bool:
    if text.isascii() and text.isdigit():
        return 0 < int(text[:4]) <= signal.SIGRTMAX
    return text.upper().removeprefix("SIG") in _SIGNALS


def _on_build(_: Site, state: StageState, step: OnBuild) -> StageState:
    # Docker keeps no word of it in the history.
    return state.with_config(replace(state.config, triggers=(*state.config.triggers, step.trigger)))


def _maintainer(_: Site, state: StageState, step: Maintainer) -> StageState:
    return replace(state, author=step.name).noted(f"MAINTAINER {step.name}")


def _run(site: Site, state: StageState, step: Run) -> StageState:
    return run_command(site, state, step)


def _copy(site: Site, state: StageState, step: Copy) -> StageState:
    return copy_files(site, state, step)


def _add(site: Site, state: StageState, step: Add) -> StageState:
    return add_files(site, state, step)


_Handler = Callable[[Site, StageState, Any], StageState]
_HANDLERS: Final[Mapping[type, _Handler]] = {
    Add: _add,
    Arg: _arg,
    Cmd: _cmd,
    Copy: _copy,
    Entrypoint: _entrypoint,
    Env: _env,
    Expose: _expose,
    Healthcheck: _healthcheck,
    Label: _label,
    Maintainer: _maintainer,
    OnBuild: _on_build,
    Run: _run,
    Shell: _shell,
    StopSignal: _stop_signal,
    User: _user,
    Volume: _volume,
    Workdir: _workdir,
}
