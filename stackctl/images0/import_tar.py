"""A root file system in a tar becomes an image of one layer, as `docker import` does."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from stackctl.errors import ImageError
from stackctl.images0.archive import decompress
from stackctl.images0.config import write_config
from stackctl.images0.store import ImageStore, LoadedImage
from stackctl.images0.tar import Readable
from stackctl.model.image import ImageConfig

_PIECE: Final = 1 << 20
_SHELL: Final = ("/bin/sh", "-c")


def import_root(
    store: ImageStore, stream: Readable, name: str, changes: tuple[str, ...], *, architecture: str
) -> LoadedImage:
    """Make an image called ``name`` ("" for none) out of a tar of a root. Raises ImageError.

    ``changes`` are Dockerfile lines: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR.
    """
    config = ImageConfig(architecture=architecture)
    for change in changes:
        config = apply_change(config, change)
    with store.spool() as file:
        while piece := stream.read(_PIECE):
            file.write(piece)
        file.seek(0)
        diff_id = store.add_layer(decompress(file), "")
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return store.add(json.dumps(write_config(config, (diff_id,), created)).encode(), name)


def apply_change(config: ImageConfig, line: str) -> ImageConfig:
    """Return the configuration after one Dockerfile line. Pure. Raises ImageError."""
    instruction, _, rest = line.strip().partition(" ")
    change = _CHANGES.get(instruction.upper())
    if change is None:
        raise ImageError(f"{instruction} is not a valid change command", code="image-change",
                         hint="use one of " + ", ".join(sorted(_CHANGES)))
    try:
        return change(config, rest.strip())
    except ValueError as error:
        raise ImageError(f"change {line!r}: {error}", code="image-change") from error


def _command(text: str) -> tuple[str, ...]:
    try:
        parsed = json.loads(text)
    except ValueError:
        return (*_SHELL, text)
    if not isinstance(parsed, list) or not all(isinstance(word, str) for word in parsed):
        return (*_SHELL, text)
    return tuple(parsed)


def _pairs(text: str) -> list[tuple[str, str]]:
    words = shlex.split(text)
    if words and "=" not in words[0]:
        key, _, value = text.partition(" ")
        return [(key, value.strip())]
    return [(word.partition("=")[0], word.partition("=")[2]) for word in words]


def _env(config: ImageConfig, text: str) -> ImageConfig:
    merged = dict(entry.partition("=")[::2] for entry in config.env)
    merged.update(_pairs(text))
    return replace(config, env=tuple(f"{key}={value}" for key, value in merged.items()))


def _expose(config: ImageConfig, text: str) -> ImageConfig:
    ports = [port if "/" in port else f"{port}/tcp" for port in text.split()]
    return replace(config, ports=tuple(sorted({*config.ports, *ports})))


def _volume(config: ImageConfig, text: str) -> ImageConfig:
    paths = json.loads(text) if text.startswith("[") else text.split()
    return replace(config, volumes=tuple(sorted({*config.volumes, *map(str, paths)})))


_CHANGES: Final[dict[str, Callable[[ImageConfig, str], ImageConfig]]] = {
    "CMD": lambda config, text: replace(config, cmd=_command(text)),
    "ENTRYPOINT": lambda config, text: replace(config, entrypoint=_command(text)),
    "ENV": _env,
    "EXPOSE": _expose,
    "LABEL": lambda config, text: replace(config, labels=tuple(sorted({**dict(config.labels), **dict(_pairs(text))}.items()))),
    "STOPSIGNAL": lambda config, text: replace(config, stop_signal=text),
    "USER": lambda config, text: replace(config, user=text),
    "VOLUME": _volume,
    "WORKDIR": lambda config, text: replace(config, working_dir=text),
}
