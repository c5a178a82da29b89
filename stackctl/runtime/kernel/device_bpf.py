"""Device rules on cgroup version 2: an eBPF program made by hand and attached by bpf(2).

Source: linux/bpf.h; Documentation/admin-guide/cgroup-v2.rst, "Device controller".
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from typing import Final

from stackctl.runtime.kernel.devices import ANY, DeviceRule
from stackctl.runtime.kernel.libc import NR_BPF, syscall

_PROG_LOAD: Final = 5
_PROG_ATTACH: Final = 8
_TYPE_CGROUP_DEVICE: Final = 15
_ATTACH_CGROUP_DEVICE: Final = 6
_ALLOW_MULTI: Final = 2
_ATTR_BYTES: Final = 120

_LOAD_WORD: Final = 0x61
_MOVE: Final = 0xB7
_MOVE_REGISTER: Final = 0xBF
_AND: Final = 0x57
_SHIFT_RIGHT: Final = 0x77
_JUMP_NOT_EQUAL: Final = 0x55
_EXIT: Final = 0x95
# Registers: 1 context, 2 type, 3 access, 4 major, 5 minor.
_TYPES: Final = {"b": 1, "c": 2}
_ACCESS: Final = {"m": 1, "r": 2, "w": 4}


def _instruction(code: int, *, dst: int = 0, src: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("<BBhi", code, dst | src << 4, offset, value)


def compile_rules(rules: Iterable[DeviceRule]) -> bytes:
    """Return the program that allows what one of the rules allows. Pure."""
    program = [
        # Context: u32 access << 16 | type, u32 major, u32 minor.
        _instruction(_LOAD_WORD, dst=2, src=1, offset=0),
        _instruction(_MOVE_REGISTER, dst=3, src=2),
        _instruction(_AND, dst=2, value=0xFFFF),
        _instruction(_SHIFT_RIGHT, dst=3, value=16),
        _instruction(_LOAD_WORD, dst=4, src=1, offset=4),
        _instruction(_LOAD_WORD, dst=5, src=1, offset=8),
    ]
    for rule in rules:
        program += _rule(rule)
    program += [_instruction(_MOVE, dst=0, value=0), _instruction(_EXIT)]
    return b"".join(program)


def _rule(rule: DeviceRule) -> list[bytes]:
    allowed = sum(_ACCESS[letter] for letter in set(rule.access))
    tests: list[tuple[int, int]] = [(2, _TYPES[rule.kind])]
    if rule.major != ANY:
        tests.append((4, rule.major))
    if rule.minor != ANY:
        tests.append((5, rule.minor))
    # Any access asked for beyond what the rule gives: not this rule.
    body = [
        _instruction(_MOVE_REGISTER, dst=0, src=3),
        _instruction(_AND, dst=0, value=~allowed & 7),
        b"",
        _instruction(_MOVE, dst=0, value=1),
        _instruction(_EXIT),
    ]
    body[2] = _instruction(_JUMP_NOT_EQUAL, dst=0, offset=2, value=0)
    for register, value in reversed(tests):
        body.insert(0, _instruction(_JUMP_NOT_EQUAL, dst=register, offset=len(body), value=value))
    return body


def attach(cgroup_fd: int, program: bytes) -> None:
    """Load the program and attach it to the group; groups above keep theirs. Raises OSError."""
    code = ctypes.create_string_buffer(program, len(program))
    licence = ctypes.create_string_buffer(b"Apache-2.0")
    load = bytearray(_ATTR_BYTES)
    count = len(program) // 8
    addresses = (ctypes.addressof(code), ctypes.addressof(licence))
    # No verifier log: before Linux 6.4 a log that does not fit its buffer fails the load itself, with ENOSPC.
    struct.pack_into("<IIQQ", load, 0, _TYPE_CGROUP_DEVICE, count, *addresses)
    loaded = _bpf(_PROG_LOAD, load)
    try:
        attaching = bytearray(_ATTR_BYTES)
        struct.pack_into("<IIII", attaching, 0, cgroup_fd, loaded, _ATTACH_CGROUP_DEVICE, _ALLOW_MULTI)
        _bpf(_PROG_ATTACH, attaching)
    finally:
        os.close(loaded)


def _bpf(command: int, attributes: bytearray) -> int:
    buffer = (ctypes.c_char * len(attributes)).from_buffer(attributes)
    return syscall(NR_BPF, command, ctypes.byref(buffer), len(attributes), what="bpf")
