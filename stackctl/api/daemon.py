"""The daemon: the brain. Wires the engine to its HTTP API and serves it. Started by the keeper.

Run as ``python -m stackctl.api.daemon ROOT ENGINE_ID LOCK_FD KEPT_A KEPT_B KEEPER_PID``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from typing import Any, Final

from stackctl import __version__
from stackctl.api.build import BuildRoutes
from stackctl.api.container_files import ContainerFileRoutes
from stackctl.api.container_json import Folders
from stackctl.api.containers import ContainerRoutes
from stackctl.api.disk_usage import DiskUsageRoutes
from stackctl.api.engine_info import EngineInfoRoutes
from stackctl.api.events import EventRoutes
from stackctl.api.execs import ExecRoutes
from stackctl.api.image_transfer import ImageTransferRoutes
from stackctl.api.images import ImageRoutes
from stackctl.api.networks import NetworkRoutes
from stackctl.api.routing import Router
from stackctl.api.server import Server
from stackctl.api.stats import StatsRoutes
from stackctl.api.system import SystemRoutes
from stackctl.api.volumes import VolumeRoutes
from stackctl.engines.archive_builds import ArchiveBuilds
from stackctl.engines.auto_removal import begin_auto_removal
from stackctl.engines.console import LocalConsole
from stackctl.engines.container_files import ContainerFiles
from stackctl.engines.container_making import ContainerMaker
from stackctl.engines.container_stats import ContainerStats
from stackctl.engines.contents import ContentStore
from stackctl.engines.disk_usage import DiskUsage
from stackctl.engines.events import EventBus
from stackctl.engines.execs import Execs
from stackctl.engines.local import LocalEngine
from stackctl.engines.local_facts import LocalFacts
from stackctl.engines.local_images import LocalImages
from stackctl.engines.local_networks import LocalNetworks
from stackctl.engines.local_registries import LocalRegistries
from stackctl.engines.local_runner import remove_leftovers
from stackctl.engines.local_volumes import LocalVolumes
from stackctl.engines.replacing import renew_supervisor
from stackctl.engines.returning import bring_back
from stackctl.engines.stacks import Stacks
from stackctl.errors import Conflict, EngineError, StackctlError
from stackctl.images.removal import ImageUser
from stackctl.images.store import ImageStore
from stackctl.runtime import faults, set_aside, successor
from stackctl.runtime.kernel.cgroup import open_driver
from stackctl.runtime.paths import EnginePaths
from stackctl.runtime.supervisor_client import SupervisorClient
from stackctl.wire.protocol import PROTOCOL

_STOP_GRACE_S: Final = 10.0


class Daemon:
    """The engine as a whole: its status and its end."""

    def __init__(self, paths: EnginePaths, supervisor: SupervisorClient) -> None:
        self._paths = paths
        self._supervisor = supervisor
        self._engine: LocalEngine | None = None
        self._server: Server | None = None
        self._image_notice = ""

    def serve(self) -> None:
        """Serve until somebody stops the engine, or SIGTERM."""
        events = EventBus(self._supervisor)
        store = ImageStore(
            self._paths.root,
            users_of=self._users_of,
            changed=self._images_changed,
            tell=events.tell_image,
            variables=dict(os.environ),
        )
        self._image_notice = store.notice
        engine = LocalEngine(self._paths, self._supervisor, store)
        self._engine = engine
        stacks = Stacks(engine, ContentStore(self._paths))
        images = LocalImages(store, engine, events.tell_image)
        console = LocalConsole(self._paths, engine, self._supervisor, events)
        files = ContainerFiles(self._paths, engine, store)
        folders = Folders(self._paths.containers, self._paths.volumes)
        routes = [
            *SystemRoutes(self, stacks).routes(),
            *EngineInfoRoutes(LocalFacts(self.status, engine, store, events)).routes(),
            *ContainerRoutes(console, ContainerMaker(engine, store), files, folders).routes(),
            *ContainerFileRoutes(console, files).routes(),
            *StatsRoutes(console, ContainerStats(self._paths.engine_id, open_driver())).routes(),
            *ExecRoutes(Execs(console.find, self._supervisor, events)).routes(),
            *ImageTransferRoutes(images, LocalRegistries(store)).routes(),
            *ImageRoutes(images).routes(),
            *BuildRoutes(ArchiveBuilds(self._paths, self._supervisor, store, events.tell_image)).routes(),
            *NetworkRoutes(LocalNetworks(engine, self._supervisor)).routes(),
            *VolumeRoutes(LocalVolumes(engine, self._supervisor)).routes(),
            *DiskUsageRoutes(DiskUsage(self._paths, engine, store), folders).routes(),
            *EventRoutes(lambda since_ns: events.subscribe(since_ns=since_ns)).routes(),
        ]
        events.begin()
        begin_auto_removal(console, events)
        self._server = Server(self._paths.api_socket, Router(routes))
        threading.Thread(target=bring_back, args=(stacks, self._supervisor, engine), name="return", daemon=True).start()
        threading.Thread(target=self._clean_up, name="builds", daemon=True).start()
        signal.signal(signal.SIGTERM, lambda *_: self._leave())
        self._server.serve_forever()

    def _clean_up(self) -> None:
        try:
            remove_leftovers(self._supervisor, self._paths)
        except StackctlError as error:
            print(f"what builds left: {error}", file=sys.stderr, flush=True)

    def _users_of(self, image_id: str) -> list[ImageUser]:
        containers = self._engine.containers() if self._engine is not None else ()
        return [ImageUser(c.name, c.state == "running") for c in containers if c.image_id == image_id]

    def _images_changed(self) -> None:
        # Without a supervisor there are no stamps that an image could make wrong.
        if self._engine is not None:
            with contextlib.suppress(EngineError):
                self._engine.images_changed()

    def status(self) -> dict[str, Any]:
        """Return what `engine status` shows."""
        counts = self._supervisor.call("status")
        with open(self._paths.processes, "rb") as file:
            pids = json.load(file)
        return {
            "id": self._paths.engine_id,
            "root": self._paths.root,
            "api": f"unix://{self._paths.api_socket}",
            "version": __version__,
            "protocol": PROTOCOL,
            "pids": {role: pids.get(role, 0) for role in ("keeper", "supervisor", "daemon")},
            "containers": {"running": counts["running"], "total": counts["total"]},
            "notices": [*counts["notices"], *set_aside.notices(self._paths), *filter(None, [self._image_notice])],
            "set_aside": set_aside.names(self._paths),
        }

    def remove_set_aside(self, name: str) -> None:
        """Delete what a lost container wrote. Raises NotFound, OSError."""
        set_aside.remove(self._paths, name)

    def stop(self, *, force: bool) -> None:
        """Stop the engine; the answer is sent first. Raises Conflict while containers run, unless ``force``."""
        counts = self._supervisor.call("status")
        running = counts["running"]
        if running and not force:
            raise Conflict(
                f"{running} container{'s are' if running != 1 else ' is'} running",
                code="containers-running",
                hint="take the stacks down first, or stop the containers with it: stackctl engine stop --force",
            )
        if force and self._engine is not None:
            self._stop_containers(self._engine)
        # Order: the keeper must know that deaths are meant before anybody dies.
        with open(f"{self._paths.run}/stopping", "w", encoding="ascii"):
            pass
        threading.Thread(target=self._leave_soon, name="stop").start()

    def _stop_containers(self, engine: LocalEngine) -> None:
        threads = [
            threading.Thread(target=self._stop_one, args=(container.id,))
            for container in engine.containers()
            if container.state in ("running", "restarting", "paused")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _stop_one(self, container_id: str) -> None:
        self._supervisor.call("stop", name=container_id, grace_s=None, until_next_start=True)

    def _leave_soon(self) -> None:
        with open(self._paths.processes, "rb") as file:
            supervisor = json.load(file)["supervisor"]
        with contextlib.suppress(ProcessLookupError):
            os.kill(supervisor, signal.SIGTERM)
        time.sleep(0.05)  # the answer to whoever asked is still on its way
        self._leave()

    def _leave(self) -> None:
        if self._server is not None:
            self._server.shutdown()
        # Threads that wait for something must not keep us: nothing of theirs is lost that a next start would need.
        os._exit(0)


def main(arguments: list[str]) -> None:
    """Be the daemon of the engine named by ``arguments``."""
    paths = EnginePaths(arguments[0], arguments[1])
    faults.arm(os.environ.get("STACKCTL_FAULT", ""))
    successor.watch(paths, int(arguments[5]), tuple(int(text) for text in arguments[2:5]))
    renew_supervisor(paths)
    Daemon(paths, SupervisorClient(paths.supervisor_socket)).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
