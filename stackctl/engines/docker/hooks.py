"""Commands at points of a container's life, run by whoever starts and stops it: a Docker Engine does not know them."""

from __future__ import annotations

from stackctl.engines.docker.api import Api
from stackctl.errors import ContainerError, EngineError
from stackctl.model.container import ContainerSpec
from stackctl.model.hook import Hook


def run_post_start(api: Api, container_id: str, spec: ContainerSpec) -> None:
    """Run what is to run after a start, one after the other. Raises ContainerError for the first that fails."""
    for number, hook in enumerate(spec.post_start):
        code = _run(api, container_id, hook)
        if code:
            raise ContainerError(
                f"post_start of container {spec.name}: {' '.join(hook.argv)} ended with exit code {code}",
                code="hook-failed",
                field=f"post_start.{number}",
            )


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
