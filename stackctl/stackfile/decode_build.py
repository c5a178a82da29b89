"""``build:`` of a service of the canonical tree to a BuildSpec."""

from __future__ import annotations

from stackctl.model.build import BuildSpec
from stackctl.stackfile.node import Json
from stackctl.stackfile.tree import as_dict, as_list, as_text, pairs, texts
from stackctl.stackfile.units import parse_bytes


def build_spec(value: Json, platform: str) -> BuildSpec | None:
    """Return what is to be built for a service on ``platform``, None for one that takes its image as it is."""
    build = as_dict(value)
    if not build:
        return None
    return BuildSpec(
        context=as_text(build.get("context")),
        dockerfile=as_text(build.get("dockerfile")),
        dockerfile_inline=as_text(build.get("dockerfile_inline")),
        args=pairs(build.get("args")),
        target=as_text(build.get("target")),
        platform=platform or next(iter(texts(build.get("platforms"))), ""),
        labels=pairs(build.get("labels")),
        tags=texts(build.get("tags")),
        no_cache=build.get("no_cache") is True,
        pull=build.get("pull") is True,
        network=as_text(build.get("network")),
        shm_size_bytes=max(0, parse_bytes(as_text(build.get("shm_size"))) or 0),
        extra_hosts=tuple(_host(text) for text in texts(build.get("extra_hosts"))),
        secrets=tuple(_secret(item) for item in as_list(build.get("secrets"))),
    )


def _host(text: str) -> tuple[str, str]:
    name, _, address = text.partition("=")
    return name, address


def _secret(value: Json) -> tuple[str, str]:
    """Return the id under which a RUN asks for the secret, and its key in the stack."""
    use = as_dict(value)
    source = as_text(use.get("source"))
    return as_text(use.get("target")) or source, source
