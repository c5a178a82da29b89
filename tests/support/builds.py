"""Building in tests: on an engine's own runtime and store, without its daemon in between."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stackctl.engines.local_runner import LocalRunner
from stackctl.errors import NotFound
from stackctl.images.build.image_builds import Helpers
from stackctl.images.build.request import BuildEvent, BuildRequest, OutputEvent, StepEvent
from stackctl.images.build.view import View, view_of
from stackctl.images.store import ImageStore
from stackctl.runtime.paths import find_engine
from stackctl.runtime.supervisor_client import SupervisorClient
from tests.support.engine import Engine


def no_registry(reference: str, platform: str) -> str:
    """A machine without network."""
    del platform
    raise NotFound(f"No such image: {reference}", code="image-not-found")


@dataclass
class Built:
    """What came of a build: its events, the image's document, its files."""

    store: ImageStore
    id: str
    events: list[BuildEvent] = field(default_factory=list)

    @property
    def steps(self) -> list[str]:
        """Each step that ended, as ``cached RUN …`` or ``done RUN …``, without its number."""
        ended = [event for event in self.events if isinstance(event, StepEvent) and event.state != "started"]
        return [f"{event.state} {event.text.partition('] ')[2]}" for event in ended]

    @property
    def states(self) -> list[str]:
        """How each step ended."""
        return [step.partition(" ")[0] for step in self.steps]

    @property
    def output(self) -> str:
        """All that commands wrote."""
        return b"".join(event.data for event in self.events if isinstance(event, OutputEvent)).decode()

    @property
    def document(self) -> dict[str, Any]:
        """The image's configuration."""
        found: dict[str, Any] = json.loads(self.store.inspect(self.id).document)
        return found

    @property
    def config(self) -> dict[str, Any]:
        """Its ``config`` object."""
        found: dict[str, Any] = self.document["config"]
        return found

    @property
    def history(self) -> list[str]:
        """The steps that the image tells of, ``(empty)`` before those without a layer."""
        entries = [entry for entry in self.document["history"] if "created_by" in entry]
        return [("(empty) " if entry.get("empty_layer") else "") + entry["created_by"] for entry in entries]

    @property
    def view(self) -> View:
        """Its files."""
        return view_of(self.store.root_of(self.id))

    def text(self, path: str) -> str:
        """Return the content of a file, links followed."""
        found = self.view.read(path, 1 << 20)
        assert found is not None, f"{path} is not in the image"
        return found.decode()

    def facts(self, path: str) -> tuple[str, int, int]:
        """Return mode in octal, owner and group of what is at a path; links are not followed."""
        found = self.view.find(path)
        assert found is not None, f"{path} is not in the image"
        return f"{found.status.st_mode & 0o7777:o}", found.status.st_uid, found.status.st_gid

    def changed(self, layer: int = -1) -> list[str]:
        """Return the paths in one layer, the top one unless told otherwise."""
        folder = Path(self.store.layers_of(self.id)[layer])
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@dataclass
class Builds:
    """Builds on one engine; ``context`` is where each test puts its files."""

    store: ImageStore
    runner: LocalRunner
    context: Path

    def write(self, path: str, content: str = "", mode: int = 0o644) -> Path:
        """Put a file into the context."""
        target = self.context / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")
        target.chmod(mode)
        return target

    def build(self, dockerfile: str, **options: Any) -> Built:
        """Build the context; the Dockerfile begins with ``FROM busybox`` unless it has its own FROM."""
        text = dockerfile if "FROM " in dockerfile else f"FROM busybox\n{dockerfile}"
        events: list[BuildEvent] = []
        request = BuildRequest(dockerfile=text.encode(), **options)
        helpers = Helpers(self.runner, no_registry, events.append, lambda: False)
        made = self.store.builds.build(request, str(self.context), helpers)
        return Built(self.store, made.id, events)


@contextmanager
def builds_on(engine: Engine, context: Path) -> Iterator[Builds]:
    """Yield builds on a running engine, with an empty context."""
    paths = find_engine(str(engine.root))
    assert paths is not None
    client, store = SupervisorClient(paths.supervisor_socket), ImageStore(paths.root)
    runner = LocalRunner(paths, client)
    os.makedirs(context, exist_ok=True)
    try:
        yield Builds(store, runner, context)
    finally:
        runner.close()
        client.close()
        store.close()
