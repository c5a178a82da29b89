"""Builds of a stack's images by a Docker Engine."""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from stackctl.engines.docker.api import Api
from stackctl.engines.docker.errors import told_by_docker
from stackctl.engines.docker.images import DockerImages
from stackctl.engines.hosting import BuildWishes
from stackctl.errors import EngineError, ImageError, NotFound
from stackctl.images.chunks import Readable
from stackctl.model.build import BuildInputs, BuildProgress
from stackctl.model.registry import Credentials
from stackctl.reconcile.action import BuildImage
from stackctl.reconcile.engine import CancelCheck
from stackctl.wire.credentials import credentials_to_json

_PIECE_BYTES: Final = 1 << 20
_STEP: Final = re.compile(r"Step (\d+)/\d+ : (.*)", re.DOTALL)
# What only BuildKit builds. It is not chosen without need: without a session it tells little of its course.
_BUILDKIT: Final = re.compile(
    r"^\s*(?:RUN\s+--|(?:COPY|ADD)\s.*--(?:link|chmod|parents|exclude)|(?:RUN|COPY|ADD)\s.*<<|#\s*syntax\s*=)",
    re.MULTILINE | re.IGNORECASE,
)


class SpooledContexts:
    """Contexts in temporary files, for the time of one command."""

    def __init__(self) -> None:
        self._folder = ""

    def add(self, stream: Readable) -> str:
        """Take a context, a tar; return its name."""
        self._folder = self._folder or tempfile.mkdtemp(prefix="stackctl-")
        name = os.urandom(8).hex()
        with open(self.path(name), "wb") as file:
            while piece := stream.read(_PIECE_BYTES):
                file.write(piece)
        return name

    def path(self, name: str) -> str:
        """Return where a context is."""
        return f"{self._folder}/{name}"

    def drop(self, names: Iterable[str]) -> None:
        """Remove contexts; the last one takes the folder along."""
        for name in names:
            if self._folder and os.path.exists(self.path(name)):
                os.unlink(self.path(name))
        if self._folder and not os.listdir(self._folder):
            os.rmdir(self._folder)
            self._folder = ""


class DockerBuilds:
    """Has the engine build, and knows what it has built."""

    def __init__(self, api: Api, images: DockerImages) -> None:
        self._api = api
        self._images = images
        self._wishes = BuildWishes()
        self._credentials: Mapping[str, Credentials] = {}
        self.contexts = SpooledContexts()

    def for_caller(self, credentials: Mapping[str, Credentials], wishes: BuildWishes | None) -> DockerBuilds:
        """Return the same for one caller."""
        own = copy.copy(self)
        own._credentials = credentials
        own._wishes = wishes or self._wishes
        return own

    def image_id(self, reference: str) -> str:
        """See ``reconcile.builds.KnownImages``."""
        found = self._images.inspect(reference)
        return str(found["Id"]) if found is not None else ""

    def build_inputs(self, reference: str) -> str:
        """Return "": an engine does not tell. So an image that is there is built anew only when that is asked for."""
        del reference
        return ""

    def perform(self, action: BuildImage, cancelled: CancelCheck) -> None:
        """Build an image of what was sent for its service. Raises NotFound when nothing was; ImageError."""
        inputs = self._wishes.inputs.get(action.service)
        if inputs is None or not inputs.context:
            raise NotFound(f"the context of service {action.service} has not been sent", code="build-context-missing")
        if action.spec.secrets:
            raise ImageError(
                f"service {action.service}: build.secrets cannot be given to a Docker Engine",
                code="build-unsupported",
                hint=f"docker build can: name the image {action.reference}, and leave build: out",
            )
        course = _Course(lambda moment: self._wishes.tell(action.reference, moment))
        headers = {"X-Registry-Config": _registry_config(self._credentials)} if self._credentials else {}
        query = _query(action, inputs, is_buildkit=bool(_BUILDKIT.search(inputs.dockerfile)))
        with open(self.contexts.path(inputs.context), "rb") as context, told_by_docker():
            lines = self._api.send("POST", "/build", context, query=query, headers=headers)
            with contextlib.closing(lines):  # type: ignore[type-var]  # a generator
                for line in lines:
                    course.take(line)
                    if cancelled():
                        raise EngineError("cancelled", code="cancelled")
        course.finish()


class _Course:
    """What the lines of a build say of its steps."""

    def __init__(self, tell: Callable[[BuildProgress], object]) -> None:
        self._tell = tell
        self._number = 0
        self._text = ""
        self._state = "done"

    def take(self, line: Mapping[str, Any]) -> None:
        """Tell what a line means. Raises ImageError for one that says what failed."""
        if error := str(line.get("error") or ""):
            if self._number:
                self._tell(BuildProgress(self._number, "failed", self._text))
            raise ImageError(error, code="build-step-failed")
        text = str(line.get("stream") or "")
        if found := _STEP.match(text):
            self._end()
            self._number, self._text, self._state = int(found[1]), found[2].strip(), "done"
            self._tell(BuildProgress(self._number, "started", self._text))
        elif text.startswith(" ---> Using cache"):
            self._state = "cached"
        elif self._number and text.strip() and not text.startswith((" --->", "Successfully ")):
            self._tell(BuildProgress(self._number, "output", text))

    def finish(self) -> None:
        """Tell that it has ended well."""
        self._end()

    def _end(self) -> None:
        if self._number:
            self._tell(BuildProgress(self._number, self._state, self._text))


def _query(action: BuildImage, inputs: BuildInputs, *, is_buildkit: bool) -> list[tuple[str, str]]:
    spec = action.spec
    query = [("t", name) for name in (action.reference, *spec.tags)]
    query += [
        ("dockerfile", inputs.path),
        ("buildargs", json.dumps(dict(spec.args))),
        ("labels", json.dumps(dict(spec.labels))),
        ("target", spec.target),
        ("nocache", str(int(spec.no_cache))),
        ("pull", str(int(spec.pull))),
        ("rm", "1"),
        ("forcerm", "1"),
        ("version", "2" if is_buildkit else "1"),
    ]
    hosts = ",".join(f"{name}:{address}" for name, address in spec.extra_hosts)
    optional = [("extrahosts", hosts), ("platform", spec.platform), ("networkmode", spec.network)]
    optional += [("shmsize", str(spec.shm_size_bytes))] if spec.shm_size_bytes else []
    return query + [(name, value) for name, value in optional if value]


def _registry_config(credentials: Mapping[str, Credentials]) -> str:
    shape = {name: credentials_to_json(one, name) for name, one in credentials.items()}
    return base64.urlsafe_b64encode(json.dumps(shape).encode()).decode()
