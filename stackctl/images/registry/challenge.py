"""``WWW-Authenticate`` challenges. Source: RFC 9110, 11.6.1; distribution's docs/spec/auth."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_SCHEME: Final = re.compile(r"\s*,?\s*([A-Za-z][A-Za-z0-9-]*)(?:\s+(?=[A-Za-z])|\s*$)")
_PARAMETER: Final = re.compile(r'\s*,?\s*([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


class Challenge(NamedTuple):
    """What a server asks for: a scheme in lower case, and its parameters."""

    scheme: str
    parameters: dict[str, str]


def parse_challenges(headers: list[str]) -> list[Challenge]:
    """Read the headers; what makes no sense is left out."""
    found = []
    for text in headers:
        at = 0
        while at < len(text):
            scheme = _SCHEME.match(text, at)
            if scheme is None:
                break
            at = scheme.end()
            parameters = {}
            while parameter := _PARAMETER.match(text, at):
                quoted = re.sub(r"\\(.)", r"\1", parameter[2]) if parameter[2] is not None else parameter[3]
                parameters[parameter[1].lower()] = quoted
                at = parameter.end()
            found.append(Challenge(scheme[1].lower(), parameters))
    return found
