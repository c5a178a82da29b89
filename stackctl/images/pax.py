"""Numbers and extension records of tar headers.

Source: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual, "Basic Tar
Format" (base-256 numbers).
"""

from __future__ import annotations

import base64
import binascii
import re
import urllib.parse
from collections.abc import Iterable
from typing import Final

from stackctl.errors import ImageError
from stackctl.images.limits import MAX_XATTRS

_TIME: Final = re.compile(rb"(-?)([0-9]{1,18})(?:\.([0-9]*))?")
_MAX_SECONDS: Final = 2**40
_NS: Final = 1_000_000_000
_SCHILY: Final = b"SCHILY.xattr."
_LIBARCHIVE: Final = b"LIBARCHIVE.xattr."


def number(field: bytes) -> int:
    """Return a number of a header: octal digits, or base-256 when the first bit is set.

    Raises ImageError for anything else; the number may be negative.
    """
    if field[0] & 0x80:
        bits = 8 * len(field) - 1
        value = int.from_bytes(field, "big") & ((1 << bits) - 1)
        return value - (1 << bits) if field[0] & 0x40 else value
    digits = field.partition(b"\0")[0].strip(b" ") or field.strip(b"\0 ")
    if not digits:
        return 0
    try:
        return int(digits, 8)
    except ValueError:
        raise corrupt(f"{field!r} is not a number") from None


def decimal(text: bytes, what: str) -> int:
    """Return a non-negative decimal number below 2**63. Raises ImageError, naming ``what``."""
    if not text.isdigit() or len(text) > 19 or (value := int(text)) >= 2**63:
        raise corrupt(f"{what} is {text[:40]!r}")
    return value


def time_ns(text: bytes) -> int:
    """Return a PAX time, decimal seconds with any number of digits, in nanoseconds. Raises ImageError."""
    match = _TIME.fullmatch(text)
    if match is None or int(match[2]) > _MAX_SECONDS:
        raise corrupt(f"mtime is {text[:40]!r}")
    value = int(match[2]) * _NS + int((match[3] or b"")[:9].ljust(9, b"0"))
    return -value if match[1] else value


def records(payload: bytes) -> list[tuple[bytes, bytes]]:
    """Return the records of an extended header, ``LENGTH KEY=VALUE\\n`` each, in order. Raises ImageError."""
    found = []
    at = 0
    while at < len(payload):
        space = payload.find(b" ", at, at + 12)
        digits = payload[at:space]
        if space < 0 or not digits.isdigit():
            if not payload[at:].strip(b"\0"):
                break
            raise corrupt("an extended header has no length")
        end = at + int(digits)
        record = payload[space + 1 : end]
        key, equals, value = record.partition(b"=")
        if end > len(payload) or not equals or not value.endswith(b"\n") or not key:
            raise corrupt("an extended header has a malformed record")
        found.append((key, value[:-1]))
        at = end
    return found


def xattrs(extension: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, bytes], ...]:
    """Return the extended attributes among PAX records. Raises ImageError."""
    found: dict[str, bytes] = {}
    for key, value in extension:
        if key.startswith(_SCHILY):
            found[_attribute_name(key[len(_SCHILY) :])] = value
        elif key.startswith(_LIBARCHIVE):
            name = urllib.parse.unquote_to_bytes(key[len(_LIBARCHIVE) :])
            found.setdefault(_attribute_name(name), _base64(value))
    if len(found) > MAX_XATTRS:
        raise corrupt(f"an entry has more than {MAX_XATTRS} extended attributes")
    return tuple(found.items())


def _attribute_name(name: bytes) -> str:
    if not 0 < len(name) < 256 or b"\0" in name:
        raise corrupt("an extended attribute has a name that cannot be")
    return name.decode("utf-8", "surrogateescape")


def _base64(value: bytes) -> bytes:
    try:
        return base64.b64decode(value + b"=" * (-len(value) % 4))
    except (binascii.Error, ValueError):
        raise corrupt("an extended attribute is not base64") from None


def corrupt(why: str) -> ImageError:
    """Return the error for a tar that cannot be read."""
    return ImageError(f"not a valid tar: {why}", code="archive-corrupt")
