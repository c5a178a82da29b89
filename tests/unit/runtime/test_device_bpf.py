"""Device rules as eBPF, run by an interpreter of the few instructions there are."""

from __future__ import annotations

import struct

import pytest

from stackctl.runtime.kernel.device_bpf import compile_rules
from stackctl.runtime.kernel.devices import ANY, DEFAULT_RULES, DeviceRule

_ACCESS = {"m": 1, "r": 2, "w": 4}


def allows(program: bytes, kind: str, major: int, minor: int, access: str) -> bool:
    """Run the program as the kernel does when a device is opened or made."""
    word = sum(_ACCESS[letter] for letter in access) << 16 | {"b": 1, "c": 2}[kind]
    context = {0: word, 4: major, 8: minor}
    registers = [0] * 11
    at = 0
    while True:
        code, both, offset, value = struct.unpack_from("<BBhi", program, at * 8)
        target, source = both & 15, both >> 4
        at += 1
        match code:
            case 0x61:
                assert source == 1
                registers[target] = context[offset]
            case 0xB7:
                registers[target] = value
            case 0xBF:
                registers[target] = registers[source]
            case 0x57:
                registers[target] &= value
            case 0x77:
                registers[target] >>= value
            case 0x55:
                at += offset if registers[target] != value else 0
            case 0x95:
                return registers[0] == 1
            case _:
                raise AssertionError(f"instruction {code:#x}")


@pytest.mark.parametrize(
    ("kind", "major", "minor", "access", "allowed"),
    [
        ("c", 1, 3, "rw", True),
        ("c", 1, 3, "rwm", True),
        ("c", 1, 5, "r", True),
        ("c", 1, 1, "r", False),
        ("c", 1, 1, "m", True),
        ("c", 1, 1, "rm", False),
        ("b", 8, 0, "m", True),
        ("b", 8, 0, "r", False),
        ("b", 1, 3, "r", False),
        ("c", 5, 0, "rw", True),
        ("c", 5, 3, "rw", False),
        ("c", 136, 0, "rw", True),
        ("c", 136, 77, "rw", True),
        ("c", 137, 0, "rw", False),
    ],
)
def test_the_default_rules(kind: str, major: int, minor: int, access: str, allowed: bool) -> None:
    assert allows(compile_rules(DEFAULT_RULES), kind, major, minor, access) is allowed


@pytest.mark.parametrize(
    ("rule", "asked", "allowed"),
    [
        (DeviceRule("b", 7, ANY, "r"), ("b", 7, 9, "r"), True),
        (DeviceRule("b", 7, ANY, "r"), ("b", 7, 9, "w"), False),
        (DeviceRule("b", 7, ANY, "r"), ("b", 7, 9, "rw"), False),
        (DeviceRule("b", 7, ANY, "r"), ("c", 7, 9, "r"), False),
        (DeviceRule("c", ANY, 200, "rwm"), ("c", 10, 200, "rw"), True),
        (DeviceRule("c", ANY, 200, "rwm"), ("c", 10, 201, "rw"), False),
        (DeviceRule("c", 10, 200, "wr"), ("c", 10, 200, "rw"), True),
    ],
)
def test_a_rule_allows_what_it_says(rule: DeviceRule, asked: tuple[str, int, int, str], allowed: bool) -> None:
    assert allows(compile_rules([rule]), *asked) is allowed


def test_without_rules_nothing_is_allowed() -> None:
    assert not allows(compile_rules([]), "c", 1, 3, "r")


def test_rules_read_as_version_1_has_them() -> None:
    assert [str(rule) for rule in DEFAULT_RULES] == [
        "c *:* m",
        "b *:* m",
        *(f"c 1:{minor} rwm" for minor in (3, 5, 7, 8, 9)),
        "c 5:0 rwm",
        "c 5:1 rwm",
        "c 5:2 rwm",
        "c 136:* rwm",
    ]
