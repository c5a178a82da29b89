"""Stacks on a Docker Engine, planned and applied by this process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from stackctl.engines.docker.api import Api
from stackctl.engines.docker.contents import SentContents
from stackctl.engines.docker.engine import DockerEngine
from stackctl.engines.stack_locks import FileLocks
from stackctl.engines.stacks import Stacks


def docker_stacks(api: Api, environment: Mapping[str, str]) -> Stacks:
    """Return the stacks of the engine behind ``api``. Raises EngineUnreachable, EngineError."""
    info: dict[str, Any] = api.ask("GET", "/info")
    engine_id = engine_id_of(info)
    contents = SentContents(engine_id)
    locks = FileLocks(lock_folder(environment), engine_id)
    return Stacks(DockerEngine(api, info, contents), contents, locks, "docker")


def engine_id_of(info: Mapping[str, Any]) -> str:
    """Return what tells an engine from all others."""
    return str(info.get("ID") or info.get("Name") or "")


def lock_folder(environment: Mapping[str, str]) -> str:
    """Return where locks of stacks on engines that are not ours are: one place for each user of this machine."""
    if os.geteuid() == 0:
        return "/run/lock/stackctl"
    runtime = environment.get("XDG_RUNTIME_DIR")
    return f"{runtime}/stackctl" if runtime else f"/tmp/stackctl-{os.geteuid()}"
