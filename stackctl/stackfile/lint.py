"""Advice: what is right and works, and may still be regretted."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from stackctl.diagnostics import Diagnostic
from stackctl.model.path import Path
from stackctl.stackfile.document import Document, DocumentPlaces
from stackctl.stackfile.node import Json
from stackctl.stackfile.problems import Problems
from stackctl.stackfile.tree import as_dict, as_list, as_text, texts

IGNORE = "x-stackctl-ignore"
"""At the top level or in a service: a list of codes that are not to be told there."""
_SECRET = re.compile(r"(^|_)(PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PRIVATE_KEY)($|_)", re.IGNORECASE)
_HARMLESS = re.compile(r"(_FILE|_PATH|_URL|_TTL|_LENGTH)$", re.IGNORECASE)


def lint(
    document: Document, *, lines: Mapping[tuple[str, int], str], ignored: Collection[str] = ()
) -> tuple[Diagnostic, ...]:
    """Return advice about a document that was loaded with the resources nobody uses; total over any tree.

    ``lines`` maps (file, line) to the text written there. ``ignored`` are codes not to be told.
    """
    linter = _Linter(document, lines)
    services = as_dict(document.tree.get("services"))
    for name, entry in services.items():
        linter.service(name, as_dict(entry))
    linter.unused(services)
    silent = {*ignored, *texts(document.tree.get(IGNORE))}
    return tuple(found for found in linter.problems.all() if found.code not in silent)


class _Linter:
    def __init__(self, document: Document, lines: Mapping[tuple[str, int], str]) -> None:
        self.problems = Problems()
        self._tree = document.tree
        self._places = DocumentPlaces(document.positions)
        self._lines = lines
        self._silent: frozenset[str] = frozenset()

    def service(self, name: str, service: dict[str, Json]) -> None:
        path: Path = ("services", name)
        self._silent = frozenset(texts(service.get(IGNORE)))
        self._image(path, as_text(service.get("image")))
        for key, value in as_dict(service.get("environment")).items():
            self._secret((*path, "environment", key), key, value)
        for at, item in enumerate(as_list(service.get("ports"))):
            port = as_dict(item)
            if as_text(port.get("published")) and not as_text(port.get("host_ip")):
                self._say(
                    "open-port",
                    "Port is open to every network",
                    (*path, "ports", at, "published"),
                    f"Port {port['published']} of `{name}` is published on all addresses of this machine.",
                    f"write `127.0.0.1:{port['published']}:{port.get('target')}` if only this machine needs it",
                )
        for at, item in enumerate(as_list(service.get("volumes"))):
            mount = as_dict(item)
            if mount.get("type") == "volume" and not as_text(mount.get("source")):
                self._say(
                    "anonymous-volume",
                    "Volume has no name",
                    (*path, "volumes", at),
                    f"What `{name}` writes to `{as_text(mount.get('target'))}` is lost when its container is replaced.",
                    "give the volume a name, and define it under the top-level `volumes:`",
                )
        self._silent = frozenset()

    def _image(self, path: Path, image: str) -> None:
        rest, at, _ = image.partition("@")
        tag = rest.rpartition("/")[2].partition(":")[2]
        if image and not at and tag in ("", "latest") and image != "host":
            what = "has no tag" if not tag else "has the tag `latest`"
            self._say(
                "latest-tag",
                "Image can change under you",
                (*path, "image"),
                f"The image `{image}` {what}: what it is depends on when it was pulled.",
                "name a version, or a digest",
            )

    def _secret(self, path: Path, key: str, value: Json) -> None:
        mark = self._places.of_value(path)
        is_written_here = key in self._lines.get((mark.file, mark.line), "")
        has_variable = "$" in self._lines.get((mark.file, mark.line), "$")
        if (
            as_text(value)
            and is_written_here
            and not has_variable
            and _SECRET.search(key)
            and not _HARMLESS.search(key)
        ):
            self._say(
                "secret-in-environment",
                "Secret in the file",
                path,
                f"`{key}` looks like a secret, and everybody who reads this file or the environment can see it.",
                "use `secrets:`, or a variable of the `.env` file",
            )

    def unused(self, services: dict[str, Json]) -> None:
        used: dict[str, set[str]] = {kind: set() for kind in ("networks", "volumes", "secrets", "configs")}
        for entry in services.values():
            service = as_dict(entry)
            used["networks"] |= set(as_dict(service.get("networks")))
            for kind in ("volumes", "secrets", "configs"):
                used[kind] |= {as_text(as_dict(item).get("source")) for item in as_list(service.get(kind))}
            build = as_dict(service.get("build"))
            used["secrets"] |= {as_text(as_dict(item).get("source")) for item in as_list(build.get("secrets"))}
        for kind, names in used.items():
            for key in as_dict(self._tree.get(kind)):
                if key not in names and key != "default":
                    self._say(
                        "unused-resource",
                        "Nobody uses this",
                        (kind, key),
                        f"No service that is switched on uses the {kind[:-1]} `{key}`.",
                        "remove it, or use it",
                    )

    def _say(self, code: str, summary: str, path: Path, detail: str, hint: str) -> None:
        if code not in self._silent:
            self.problems.warning(code, summary, self._places.of_key(path), detail=detail, hint=hint)
