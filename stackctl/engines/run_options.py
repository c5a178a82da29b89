"""What `run` takes on its command line in Compose's short forms, read by the same code as stack files are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from stackctl.errors import UsageError
from stackctl.model.container import Mount, PublishedPort
from stackctl.model.image import ImageConfig
from stackctl.model.stack import ContentUse, Service, Stack
from stackctl.stackfile.decode import decode
from stackctl.stackfile.load import LoadRequest, load
from stackctl.wire.stack_request import RunRequest


def run_argv(run: RunRequest, service: Service, image: ImageConfig) -> tuple[str, ...] | None:
    """Return the whole argv of a one-off, None for the service's own."""
    if run.command is None and run.entrypoint is None:
        return None
    if run.entrypoint is not None:
        return (*run.entrypoint, *(run.command or ()))
    entrypoint = image.entrypoint if service.entrypoint is None else service.entrypoint
    return (*entrypoint, *(run.command or ()))


def capability_names(texts: Sequence[str]) -> tuple[str, ...]:
    """Return capabilities as specifications have them: ``cap_net_raw`` is ``NET_RAW``."""
    return tuple(dict.fromkeys(text.upper().removeprefix("CAP_") for text in texts))


def short_forms(
    stack: Stack, ports: Sequence[str], volumes: Sequence[str]
) -> tuple[tuple[PublishedPort, ...], tuple[Mount, ...]]:
    """Return what short forms of ports and volumes stand for. Raises UsageError.

    A named volume is one of the stack's, or else a volume of that very name.
    """
    if not ports and not volumes:
        return (), ()
    named = [text.partition(":")[0] for text in volumes if ":" in text and text[0] not in "./~"]
    declared = {name: {"name": stack.volumes[name].name if name in stack.volumes else name} for name in named}
    service: dict[str, Any] = {"image": "host", "ports": list(ports), "volumes": list(volumes)}
    text = json.dumps({"name": "run", "services": {"run": service}, "volumes": declared})
    request = LoadRequest(files=("-",), stdin=text, cwd=stack.working_dir or "/", environment={})
    loaded = load(replace(request, project_directory=stack.working_dir or "/"))
    found = None
    problems = loaded.diagnostics
    if loaded.document is not None:
        found, problems = decode(loaded.document)
    if found is None:
        detail = next((problem.detail for problem in problems if problem.severity == "error"), "cannot be read")
        raise UsageError(f"--publish or --volume: {detail}")
    run = found.services["run"]
    mounts = tuple(mount for mount in run.mounts if not isinstance(mount, ContentUse))
    return run.ports, mounts
