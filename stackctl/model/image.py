"""Images as the rest of the project sees them: references and run-time configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from stackctl.model.health import HealthCheck

DEFAULT_REGISTRY: Final = "docker.io"
HOST_IMAGE: Final = "host"
"""The built-in image: a private root over the machine's own /usr. Never looked up elsewhere."""

_REFERENCE = re.compile(
    r"(?P<name>[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_REGISTRY = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])"
    r"(?::[0-9]+)?"
)


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A normalised image reference: ``docker.io``, ``library/nginx``, ``1.27``, digest or ""."""

    registry: str
    repository: str
    tag: str
    digest: str = ""

    def __str__(self) -> str:
        """Return the full form, with registry, tag and digest."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"

    @property
    def familiar(self) -> str:
        """The short form users type: ``nginx:1.27`` for ``docker.io/library/nginx:1.27``."""
        text = str(self)
        if self.registry != DEFAULT_REGISTRY:
            return text
        return text.removeprefix(f"{DEFAULT_REGISTRY}/").removeprefix("library/")


def parse_image_ref(text: str) -> ImageRef:
    """Normalise a reference as Docker does: ``nginx`` is ``docker.io/library/nginx:latest``.

    Raises ValueError, saying what is wrong, when ``text`` is not a reference.
    Source: distribution/reference grammar.
    """
    registry, rest = _split_registry(text)
    if _REGISTRY.fullmatch(registry) is None:
        raise ValueError("invalid reference format")
    match = _REFERENCE.fullmatch(rest)
    if match is None:
        why = "repository names are lower case" if rest != rest.lower() else "invalid reference format"
        raise ValueError(why)
    repository, tag, digest = match["name"], match["tag"] or "", match["digest"] or ""
    if registry == DEFAULT_REGISTRY and "/" not in repository:
        repository = f"library/{repository}"
    if not tag and not digest:
        tag = "latest"
    return ImageRef(registry, repository, tag, digest)


def _split_registry(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    is_host = slash and (first == "localhost" or "." in first or ":" in first or first != first.lower())
    if not is_host:
        return DEFAULT_REGISTRY, text
    return (DEFAULT_REGISTRY if first == "index.docker.io" else first), rest


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """What an image says about how to run it (the OCI image configuration's ``config``).

    ``env`` holds ``KEY=value``; ``ports`` holds ``80/tcp``; ``volumes`` holds container paths.
    """

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    health: HealthCheck | None = None
    architecture: str = ""
    os: str = "linux"
    variant: str = ""


@dataclass(frozen=True, slots=True)
class ResolvedImage:
    """An image that was found: ``id`` is the digest of its configuration (``sha256:…``).

    ``remote_digest`` is that of the manifest by which a registry has it, "" for one that is in the engine.
    """

    id: str
    config: ImageConfig
    remote_digest: str = ""
