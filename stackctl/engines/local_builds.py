"""Builds of a stack's images, as the built-in engine does them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stackctl.engines.contexts import Contexts
from stackctl.engines.hosting import BuildWishes
from stackctl.engines.local_runner import running
from stackctl.errors import NotFound
from stackctl.images.build.image_builds import Helpers, Pull
from stackctl.images.build.request import BuildEvent, BuildRequest, OutputEvent
from stackctl.images.build.running import DEFAULT_SHM_BYTES, Network
from stackctl.images.store import ImageStore
from stackctl.model.build import BuildProgress, BuildSpec
from stackctl.reconcile.action import BuildImage
from stackctl.reconcile.builds import inputs_text
from stackctl.reconcile.engine import CancelCheck
from stackctl.runtime.paths import EnginePaths
from stackctl.runtime.supervisor_client import SupervisorClient

_NETWORKS: Final[Mapping[str, Network]] = {"none": "none", "host": "host"}


class LocalBuilds:
    """Builds into the engine's own store. Errors are those of ``ImageBuilds``."""

    def __init__(
        self, paths: EnginePaths, supervisor: SupervisorClient, store: ImageStore, contexts: Contexts | None = None
    ) -> None:
        self._paths = paths
        self._supervisor = supervisor
        self._store = store
        self.contexts = contexts or Contexts(store.builds)

    def perform(self, action: BuildImage, wishes: BuildWishes, pull: Pull, cancelled: CancelCheck) -> None:
        """Build an image of what was sent for its service. Raises NotFound when nothing was."""
        inputs = wishes.inputs.get(action.service)
        if inputs is None or not inputs.context:
            raise NotFound(f"the context of service {action.service} has not been sent", code="build-context-missing")

        def tell(event: BuildEvent) -> None:
            wishes.tell(action.reference, _progress(event))

        spec = action.spec
        request = BuildRequest(
            dockerfile=inputs.dockerfile.encode("utf-8", "surrogateescape"),
            path=inputs.path,
            target=spec.target,
            args=dict(spec.args),
            labels=dict(spec.labels),
            platform=spec.platform,
            names=(action.reference, *spec.tags),
            no_cache=spec.no_cache,
            pull=spec.pull,
            network=_NETWORKS.get(spec.network, "default"),
            extra_hosts=spec.extra_hosts,
            shm_size_bytes=spec.shm_size_bytes or DEFAULT_SHM_BYTES,
            secrets=_secrets(spec, wishes.contents),
        )
        folder = self.contexts.folder(inputs.context)
        with running(self._paths, self._supervisor) as runner:
            made = self._store.builds.build(request, folder, Helpers(runner, pull, tell, cancelled))
        text = inputs_text(action.written, inputs, made.bases)
        self._store.builds.keep_inputs(action.reference, made.id, text)

    def image_id(self, reference: str) -> str:
        """See ``reconcile.builds.KnownImages``."""
        found = self._store.resolve(reference)
        return found.id if found is not None else ""

    def build_inputs(self, reference: str) -> str:
        """See ``reconcile.builds.KnownImages``."""
        return self._store.builds.inputs(reference)


def _secrets(spec: BuildSpec, contents: Mapping[str, bytes]) -> dict[str, bytes]:
    named = ((name, contents.get(f"secret/{key}")) for name, key in spec.secrets)
    return {name: content for name, content in named if content is not None}


def _progress(event: BuildEvent) -> BuildProgress:
    if isinstance(event, OutputEvent):
        return BuildProgress(event.number, "output", event.data.decode("utf-8", "replace"))
    return BuildProgress(event.number, event.state, event.text)
