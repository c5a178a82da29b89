"""The values of ``RUN --mount``.

Source: Dockerfile reference, "RUN --mount".
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from stackctl.images.dockerfile.faults import did_you_mean

Sharing: TypeAlias = Literal["shared", "private", "locked"]
_SHARINGS: Final[dict[str, Sharing]] = {"shared": "shared", "private": "private", "locked": "locked"}
_SIZE: Final = re.compile(r"([0-9]{1,15})([bkmgt]?)b?", re.IGNORECASE)
_ALIASES: Final = {"dst": "target", "destination": "target", "src": "source", "ro": "readonly"}
_KEYS: Final = {
    "bind": ("target", "source", "from", "readonly", "rw"),
    "cache": ("target", "source", "from", "readonly", "rw", "id", "sharing", "mode", "uid", "gid"),
    "tmpfs": ("target", "size"),
    "secret": ("target", "id", "required", "env", "mode", "uid", "gid"),
    "ssh": ("target", "id", "required", "mode", "uid", "gid"),
}


class BadMount(ValueError):
    """The text is no mount; ``hint`` says how to mend it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class BindMount:
    """Files of the context, or of the stage or image ``source_stage``; what is written to it is dropped."""

    target: str
    source: str = "/"
    source_stage: str = ""
    is_writable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheMount:
    """A folder that survives builds. ``id`` defaults to the target."""

    target: str
    id: str
    source: str = "/"
    source_stage: str = ""
    is_readonly: bool = False
    sharing: Sharing = "shared"
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TmpfsMount:
    """``size_bytes`` of 0 is the kernel's default."""

    target: str
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretMount:
    """``target`` is "" and ``env`` a name if it is to be a variable alone."""

    id: str
    target: str
    env: str = ""
    is_required: bool = False
    mode: int = 0o400
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SshMount:
    id: str = "default"
    target: str = ""
    is_required: bool = False
    mode: int = 0o600
    uid: int = 0
    gid: int = 0


Mount: TypeAlias = BindMount | CacheMount | TmpfsMount | SecretMount | SshMount


def read_mount(text: str) -> Mount:
    """Read the expanded value of ``--mount``. Raises BadMount."""
    fields = _fields(text)
    kind = fields.pop("type", "bind").lower()
    if kind not in _KEYS:
        raise BadMount(f"`{kind}` is no type of mount.", hint=did_you_mean(kind, list(_KEYS)) or "it is " + _LIST)
    for key in fields:
        if key not in _KEYS[kind]:
            raise BadMount(f"A mount of type {kind} has no `{key}`.", hint=did_you_mean(key, _KEYS[kind]))
    match kind:
        case "bind":
            return _bind(fields)
        case "cache":
            return _cache(fields)
        case "tmpfs":
            return TmpfsMount(target=_target(fields), size_bytes=_size(fields.get("size", "")))
        case "secret":
            return _secret(fields)
        case _:
            return SshMount(
                id=fields.get("id", "") or "default",
                target=fields.get("target", ""),
                is_required=_switch(fields, "required"),
                mode=_octal(fields, 0o600),
                uid=_number(fields, "uid"),
                gid=_number(fields, "gid"),
            )


_LIST: Final = "bind, cache, tmpfs, secret or ssh"


def _fields(text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for part in _split(text):
        key, equals, value = part.partition("=")
        key = _ALIASES.get(key.strip().lower(), key.strip().lower())
        key = "rw" if key == "readwrite" else key
        if not equals:
            if key not in ("readonly", "rw", "required"):
                raise BadMount(f"`{part}` is not of the form `KEY=VALUE`.")
            value = "true"
        fields[key] = value
    return fields


def _split(text: str) -> list[str]:
    """Split at commas that are not within double quotes."""
    parts = re.findall(r'(?:[^,"]|"[^"]*"?)+', text)
    return [part.replace('"', "") for part in parts]


def _bind(fields: dict[str, str]) -> BindMount:
    is_writable = _switch(fields, "rw") or ("readonly" in fields and not _switch(fields, "readonly"))
    return BindMount(
        target=_target(fields),
        source=fields.get("source", "") or "/",
        source_stage=fields.get("from", ""),
        is_writable=is_writable,
    )


def _cache(fields: dict[str, str]) -> CacheMount:
    target = _target(fields)
    sharing = _SHARINGS.get(fields.get("sharing", "") or "shared")
    if sharing is None:
        raise BadMount(f"`{fields['sharing']}` is no way of sharing.", hint="it is shared, private or locked")
    return CacheMount(
        target=target,
        id=fields.get("id", "") or posixpath.normpath(target),
        source=fields.get("source", "") or "/",
        source_stage=fields.get("from", ""),
        is_readonly=_switch(fields, "readonly"),
        sharing=sharing,
        mode=_octal(fields, 0o755),
        uid=_number(fields, "uid"),
        gid=_number(fields, "gid"),
    )


def _secret(fields: dict[str, str]) -> SecretMount:
    target, env = fields.get("target", ""), fields.get("env", "")
    name = fields.get("id", "") or posixpath.basename(target) or env
    if not name:
        raise BadMount("A secret needs `id` or `target`.")
    return SecretMount(
        id=name,
        target=target or ("" if env else f"/run/secrets/{name}"),
        env=env,
        is_required=_switch(fields, "required"),
        mode=_octal(fields, 0o400),
        uid=_number(fields, "uid"),
        gid=_number(fields, "gid"),
    )


def _target(fields: dict[str, str]) -> str:
    target = fields.get("target", "")
    if not target:
        raise BadMount("A mount needs `target`.")
    return target


def _switch(fields: dict[str, str], key: str) -> bool:
    value = fields.get(key, "false").lower()
    if value not in ("true", "false", "1", "0"):
        raise BadMount(f"`{key}` is either true or false.")
    return value in ("true", "1")


def _octal(fields: dict[str, str], default: int) -> int:
    text = fields.get("mode", "")
    if not text:
        return default
    if not re.fullmatch(r"[0-7]{1,5}", text):
        raise BadMount(f"`{text}` is no mode.", hint="write it like 0755")
    return int(text, 8)


def _number(fields: dict[str, str], key: str) -> int:
    text = fields.get(key, "") or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 11):
        raise BadMount(f"`{key}` is a number.")
    return int(text)


def _size(text: str) -> int:
    if not text:
        return 0
    found = _SIZE.fullmatch(text)
    if found is None:
        raise BadMount(f"`{text}` is no size.", hint="write it like 64m")
    return int(found[1]) << (10 * " kmgt".index(found[2].lower().replace("b", "") or " "))
