"""Platforms of images: ``linux/amd64``, ``linux/arm64/v8``."""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from stackctl.errors import ImageError
from stackctl.model.image import ImageConfig

_ARCHITECTURES: Final = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "amd64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "arm64": ("arm64", ""),
    "armv8l": ("arm", "v7"),
    "armv7l": ("arm", "v7"),
    "armhf": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "armel": ("arm", "v6"),
    "i386": ("386", ""),
    "i686": ("386", ""),
}
_DEFAULT_VARIANTS: Final = {"arm64": "v8", "arm": "v7", "amd64": "v1"}


class Platform(NamedTuple):
    """An operating system, an architecture as Go names it, and its variant ("" for the usual one)."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        """Return the text form, ``os/architecture[/variant]``."""
        return "/".join(part for part in self if part)


def host_platform(machine: str = "") -> Platform:
    """Return this machine's platform; ``machine`` is what uname calls it."""
    machine = machine or os.uname().machine
    architecture, variant = _ARCHITECTURES.get(machine, (machine, ""))
    return Platform("linux", architecture, variant)


def parse_platform(text: str) -> Platform:
    """Read ``os[/arch[/variant]]`` or ``arch``. Raises ImageError."""
    parts = text.strip().lower().split("/")
    if not all(parts) or len(parts) > 3:
        raise ImageError(f"invalid platform {text!r}", code="platform-invalid", hint="for example linux/arm64")
    if len(parts) == 1:
        if parts[0] == "linux":
            return host_platform()
        parts.insert(0, "linux")
    architecture, variant = _ARCHITECTURES.get(parts[1], (parts[1], ""))
    return Platform(parts[0], architecture, parts[2] if len(parts) == 3 else variant)


def distance(wanted: Platform, found: Platform) -> int | None:
    """Return how far ``found`` is from what was wanted (0: the same); None when it does not fit."""
    if wanted.os != (found.os or "linux"):
        return None
    if not found.architecture:
        return 1
    if wanted.architecture != found.architecture:
        return None
    usual = _DEFAULT_VARIANTS.get(wanted.architecture, "")
    have, want = _level(found.variant or usual), _level(wanted.variant or usual)
    # A processor runs what was made for older ones of its kind.
    return want - have if have <= want else None


def fits(config: ImageConfig, platform: str) -> bool:
    """Whether an image of this configuration runs on ``platform``. Raises ImageError."""
    return distance(parse_platform(platform), Platform(config.os, config.architecture, config.variant)) is not None


def _level(variant: str) -> int:
    digits = variant.removeprefix("v")
    return int(digits) if digits.isdigit() and len(digits) < 4 else 0
