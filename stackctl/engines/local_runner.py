"""Commands of a build in containers of the built-in runtime. What a dead build left is removed at the next start."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from stackctl import labels
from stackctl.errors import EngineError, StackctlError
from stackctl.images.build.running import CancelCheck, Output, RunRequest
from stackctl.model.container import (
    Attachment,
    ContainerSpec,
    HostNetwork,
    JoinNetworks,
    Networking,
    NoNetwork,
)
from stackctl.model.network import NetworkSpec
from stackctl.runtime.log_reader import LogReader
from stackctl.runtime.paths import EnginePaths
from stackctl.runtime.supervisor_client import SupervisorClient
from stackctl.wire import codec

_LOOK_S: Final = 0.2


@lru_cache(maxsize=1)
def _marks() -> tuple[tuple[str, str], ...]:
    """Return the labels of what belongs to a build of this process."""
    return ((labels.BUILD, f"{os.getpid()}-{os.urandom(4).hex()}"),)


class LocalRunner:
    """Runs one build's commands, one after the other. ``close`` it in the end."""

    def __init__(self, paths: EnginePaths, supervisor: SupervisorClient) -> None:
        self._paths = paths
        self._supervisor = supervisor
        self._name = f"build-{os.urandom(6).hex()}"
        self._has_network = False

    def close(self) -> None:
        """Remove what the commands had in common. Raises EngineError."""
        if self._has_network:
            self._supervisor.call("remove-network", name=self._name)

    def run(self, request: RunRequest, output: Output, cancelled: CancelCheck) -> int:
        """See ``images.build.running.Runner``."""
        spec = ContainerSpec(
            name=f"{self._name}-{os.urandom(4).hex()}",
            image_ref="",
            image_id="",
            argv=request.argv,
            env=request.env,
            user=request.user,
            working_dir=request.working_dir,
            networking=self._networking(request),
            extra_hosts=request.extra_hosts,
            mounts=request.mounts,
            shm_size_bytes=request.shm_size_bytes,
            labels=_marks(),
        )
        created = self._supervisor.call("create", spec=codec.encode(spec), root=codec.encode(request.root))
        container_id: str = created["id"]
        try:
            code = self._run(container_id, output, cancelled)
            if code == 0:
                os.rename(f"{self._paths.container(container_id)}/upper", request.upper)
            return code
        finally:
            with contextlib.suppress(StackctlError):  # the next start removes it
                self._supervisor.call("remove", name=container_id, force=True)

    def _run(self, container_id: str, output: Output, cancelled: CancelCheck) -> int:
        folder = f"{self._paths.container(container_id)}/log"
        os.makedirs(folder, 0o700, exist_ok=True)
        given_up, give_up = os.pipe2(os.O_CLOEXEC)
        reader = threading.Thread(target=_hand_on, args=(folder, given_up, output), name="build", daemon=True)
        try:
            self._supervisor.call("start", name=container_id)
            reader.start()
            return self._wait(container_id, cancelled)
        finally:
            if reader.ident is not None:
                # Its log has ended with the container; should it not have, it is not waited for.
                reader.join(_LOOK_S * 10)
            os.close(give_up)
            if reader.ident is not None:
                reader.join()
            os.close(given_up)

    def _wait(self, container_id: str, cancelled: CancelCheck) -> int:
        call = self._supervisor.begin("wait", name=container_id, condition="not-running")
        while True:
            try:
                kind, message, _ = call.next(_LOOK_S)
            except queue.Empty:
                if cancelled():
                    self._supervisor.withdraw(call)
                    raise EngineError("cancelled", code="cancelled") from None
                continue
            if kind == "ok":
                code: int = message["exit_code"]
                return code

    def _networking(self, request: RunRequest) -> Networking:
        if request.network == "none":
            return NoNetwork()
        if request.network == "host":
            return HostNetwork()
        if not self._has_network:
            spec = NetworkSpec(name=self._name, labels=_marks())
            self._supervisor.call("create-network", spec=codec.encode(spec))
            self._has_network = True
        return JoinNetworks((Attachment(network=self._name),))


def _hand_on(folder: str, given_up: int, output: Output) -> None:
    for chunk in LogReader(folder).follow(given_up):
        output(chunk.data)


@contextlib.contextmanager
def running(paths: EnginePaths, supervisor: SupervisorClient) -> Iterator[LocalRunner]:
    """Yield a runner for one build."""
    runner = LocalRunner(paths, supervisor)
    try:
        yield runner
    finally:
        with contextlib.suppress(StackctlError):  # the next start removes it
            runner.close()


def remove_leftovers(supervisor: SupervisorClient, paths: EnginePaths) -> None:
    """Remove the containers and networks of builds of other processes: those have died. Raises EngineError."""
    answer = supervisor.call("list")
    for facts in answer["containers"]:
        if _is_of_dead_build(f"{paths.container(facts['id'])}/spec.json"):
            supervisor.call("remove", name=facts["id"], force=True)
    for network in answer["networks"]:
        if _is_foreign(codec.decode(NetworkSpec, network["spec"]).labels):
            supervisor.call("remove-network", name=network["name"])


def _is_of_dead_build(path: str) -> bool:
    from stackctl.runtime.record import read_spec

    try:
        with open(path, "rb") as file:
            spec, _, _, _ = read_spec(file.read())
    except (OSError, ValueError, KeyError):
        return False
    return _is_foreign(spec.labels)


def _is_foreign(marks: tuple[tuple[str, str], ...]) -> bool:
    return labels.BUILD in dict(marks) and (labels.BUILD, dict(marks)[labels.BUILD]) not in _marks()
