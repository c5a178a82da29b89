"""Commands at points of a container's life, run by whoever starts and stops it: a Docker Engine does not know them.

That what is to run after a start has ended well is noted in a file of the container, with the time of that start:
Docker lets nothing else be written on a container that runs. Where its files are read-only, it counts as noted.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from typing import Any, Final

from stackctl.engines.docker.api import Api
from stackctl.errors import ContainerError, EngineError, NotFound
from stackctl.model.container import ContainerSpec
from stackctl.model.hook import Hook

_NOTE: Final = ".stackctl-post-start"


def is_post_start_due(api: Api, shape: Mapping[str, Any], spec: ContainerSpec) -> bool:
    """Say whether a container runs for which ``run_post_start`` has not ended well; ``shape`` is its inspection."""
    if not spec.post_start or spec.read_only or shape["State"]["Status"] != "running":
        return False
    try:
        api.ask("GET", f"/containers/{shape['Id']}/archive", query={"path": _note_of(shape)})
    except NotFound:
        return True
    return False


def _note_of(shape: Mapping[str, Any]) -> str:
    started = "".join(one for one in shape["State"]["StartedAt"] if one.isalnum())
    return f"/{_NOTE}-{started}"


def run_post_start(api: Api, container_id: str, spec: ContainerSpec) -> None:
    """Run what is to run after a start, one after the other. Raises ContainerError for the first that fails."""
    if not spec.post_start:
        return
    for number, hook in enumerate(spec.post_start):
        code = _run(api, container_id, hook)
        if code:
            raise ContainerError(
                f"post_start of container {spec.name}: {' '.join(hook.argv)} ended with exit code {code}",
                code="hook-failed",
                field=f"post_start.{number}",
            )
    if not spec.read_only:
        path = _note_of(api.ask("GET", f"/containers/{container_id}/json"))
        for _ in api.send("PUT", f"/containers/{container_id}/archive", _empty_file(path), query={"path": "/"}):
            pass


def _empty_file(path: str) -> io.BytesIO:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(path.lstrip("/")))
    raw.seek(0)
    return raw


def run_pre_stop(api: Api, container_id: str, spec: ContainerSpec) -> str:
    """Run what is to run before a stop; return what failed of it, "" for nothing: it keeps nothing from stopping."""
    failed = []
    for hook in spec.pre_stop:
        try:
            code = _run(api, container_id, hook)
        except EngineError as error:
            failed.append(f"pre_stop: {error}")
            continue
        if code:
            failed.append(f"pre_stop: {' '.join(hook.argv)} ended with exit code {code}")
    return "; ".join(failed)


def _run(api: Api, container_id: str, hook: Hook) -> int:
    """Run a command in a container to its end, and return its exit code."""
    body = {
        "Cmd": list(hook.argv),
        "Env": list(hook.env),
        "User": hook.user,
        "WorkingDir": hook.working_dir,
        "Privileged": hook.privileged,
        "AttachStdout": True,
        "AttachStderr": True,
    }
    exec_id = api.ask("POST", f"/containers/{container_id}/exec", body=body)["Id"]
    api.ask("POST", f"/exec/{exec_id}/start", body={"Detach": False, "Tty": False})
    return int(api.ask("GET", f"/exec/{exec_id}/json").get("ExitCode") or 0)
