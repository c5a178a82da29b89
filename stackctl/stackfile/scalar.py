"""What a plain YAML scalar means to Compose, and how Compose prints numbers.

Compose reads YAML 1.2 with leftovers of 1.1: ``0777`` is octal, ``1_000`` a number, a date becomes a time
stamp, but ``yes``, ``no``, ``on`` and ``off`` stay text and nothing is sexagesimal.
"""

from __future__ import annotations

import math
import re

from stackctl.stackfile.node import Atom

_WORDS: dict[str, Atom] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **{sign + word: math.inf for sign in ("", "+") for word in (".inf", ".Inf", ".INF")},
    **{"-" + word: -math.inf for word in (".inf", ".Inf", ".INF")},
}
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INT = re.compile(r"([-+]?)(0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|0[0-7]*|[1-9][0-9]*)")
_TIMESTAMP = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})"
    r"(?:[Tt ](\d{1,2}):(\d{1,2}):(\d{1,2})(\.\d{1,9})?\s*(Z|[-+]\d{2}:\d{2})?)?",
    re.ASCII,
)
_MONTH_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def resolve_plain(text: str) -> Atom:
    """Return the value of an unquoted scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if text[0].isdigit():
        stamp = _timestamp(text)
        if stamp is not None:
            return stamp
    number = _number(text.replace("_", ""))
    return text if number is None else number


def _number(text: str) -> int | float | None:
    match = _INT.fullmatch(text)
    if match is not None:
        return _integer(text, match[1], match[2])
    if _FLOAT.fullmatch(text):
        value = float(text)
        return None if math.isinf(value) else value
    return None


def _integer(text: str, sign: str, digits: str) -> int | float:
    prefix = digits[:2].lower()
    if prefix in ("0x", "0o", "0b"):
        value = int(digits, 0)
    elif len(digits) > 1 and digits[0] == "0":
        value = int(digits, 8)
    else:
        # Bounded: Python refuses to convert more than 4300 digits, and past 2**64 it is a float anyway.
        value = int(digits) if len(digits) <= 20 else 1 << 64
    if sign == "-" and value == 0:
        return -0.0
    if value >= 1 << 64 or (sign == "-" and value > 1 << 63):
        return float(text) if prefix not in ("0x", "0o", "0b") else float(value)
    return -value if sign == "-" else value


def _timestamp(text: str) -> str | None:
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        return None
    year, month, day = int(match[1]), int(match[2]), int(match[3])
    hour, minute, second = (int(match[group] or 0) for group in (4, 5, 6))
    if not (1 <= month <= 12 and 1 <= day <= _MONTH_DAYS[month - 1]):
        return None
    if month == 2 and day == 29 and not (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)):
        return None
    if hour > 23 or minute > 59 or second > 59:
        return None
    fraction = (match[7] or "").rstrip("0").rstrip(".")
    offset = match[8] or "Z"
    zone = "+0000 UTC" if offset == "Z" else f"{offset.replace(':', '')} {offset.replace(':', '')}"
    return f"{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction} {zone}"


def text_form(value: Atom) -> str:
    """Return a scalar as Compose writes it where text is wanted; null is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float_text(value)
    return str(value)


def _float_text(value: float) -> str:
    """Go's shortest %g: an exponent of at least two digits from 1e6 up and below 1e-4."""
    if math.isnan(value) or math.isinf(value):
        return "NaN" if math.isnan(value) else ("+Inf" if value > 0 else "-Inf")
    from decimal import Decimal  # 2 ms: few files have a number with a point

    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    mark = "-" if sign else ""
    text = "".join(map(str, digits))
    if text == "0":
        return f"{mark}0"
    power = len(text) - 1 + exponent
    if -4 <= power < 6:
        return mark + format(Decimal((0, digits, exponent)), "f")
    fraction = f".{text[1:]}" if len(text) > 1 else ""
    return f"{mark}{text[0]}{fraction}e{'-' if power < 0 else '+'}{abs(power):02}"
