"""Devices: the nodes every container has, and which ones a cgroup allows."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from typing import Final, NamedTuple

from stackctl.errors import EngineError
from stackctl.model.container import Device

_CHARACTER: Final = stat.S_IFCHR | 0o666
DEFAULT_NODES: Final = (
    (b"null", _CHARACTER, 1, 3),
    (b"zero", _CHARACTER, 1, 5),
    (b"full", _CHARACTER, 1, 7),
    (b"random", _CHARACTER, 1, 8),
    (b"urandom", _CHARACTER, 1, 9),
    (b"tty", _CHARACTER, 5, 0),
)
"""(name, mode, major, minor) below /dev."""

ANY: Final = -1


class DeviceRule(NamedTuple):
    """``kind`` c or b, numbers (ANY for all), access out of ``rwm``."""

    kind: str
    major: int
    minor: int
    access: str

    def __str__(self) -> str:
        """Return the form the version 1 controller reads."""
        major = "*" if self.major == ANY else str(self.major)
        minor = "*" if self.minor == ANY else str(self.minor)
        return f"{self.kind} {major}:{minor} {self.access}"


DEFAULT_RULES: Final = (
    # Making a node is harmless without the right to open it.
    DeviceRule("c", ANY, ANY, "m"),
    DeviceRule("b", ANY, ANY, "m"),
    *(DeviceRule("c", 1, minor, "rwm") for minor in (3, 5, 7, 8, 9)),
    DeviceRule("c", 5, 0, "rwm"),
    DeviceRule("c", 5, 1, "rwm"),
    DeviceRule("c", 5, 2, "rwm"),
    DeviceRule("c", 136, ANY, "rwm"),
)


_RULE: Final = re.compile(r"([abc]) (\d{1,9}|\*):(\d{1,9}|\*) ([rwm]{1,3})", re.ASCII)


def parse_rule(text: str) -> tuple[DeviceRule, ...]:
    """Return what ``c 1:3 rwm`` allows; ``a`` is both kinds. Raises ValueError for another form."""
    found = _RULE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no rule such as 'c 1:3 rwm'")
    kinds = "cb" if found[1] == "a" else found[1]
    major, minor = (ANY if number == "*" else int(number) for number in (found[2], found[3]))
    return tuple(DeviceRule(kind, major, minor, found[4]) for kind in kinds)


def rules_for(devices: Iterable[Device], written: Iterable[str] = ()) -> tuple[DeviceRule, ...]:
    """Return the default rules, the written ones, and one for each device.

    Raises EngineError for a device that is not there, and for a rule that is none.
    """
    found = list(DEFAULT_RULES)
    for text in written:
        try:
            found += parse_rule(text)
        except ValueError as error:
            raise EngineError(str(error), code="device-rules", field="device_rules") from error
    for device in devices:
        try:
            status = os.stat(device.source)
        except OSError as error:
            message = f"cannot use device {device.source}: {error.strerror}"
            field = f"devices.{device.target.removeprefix('/dev/')}"
            raise EngineError(message, code="device-missing", field=field) from error
        kind = "b" if stat.S_ISBLK(status.st_mode) else "c"
        found.append(DeviceRule(kind, os.major(status.st_rdev), os.minor(status.st_rdev), device.permissions))
    return tuple(found)
