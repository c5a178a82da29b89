"""Seccomp: the profile compiled to classic BPF, and installed.

The program checks the architecture, then finds the call's number by a binary search over ranges, so that
every call costs about ten instructions however long the list is.
Source: seccomp(2), linux/filter.h, linux/seccomp.h.
"""

from __future__ import annotations

import ctypes
import platform
import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from stackctl.runtime.kernel import seccomp_profile as profile
from stackctl.runtime.kernel.libc import NR_SECCOMP, syscall
from stackctl.runtime.kernel.seccomp_tables import AARCH64, I386, X86_64

ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
EPERM: Final = _ERRNO | 1
ENOSYS: Final = _ERRNO | 38

_SET_MODE_FILTER: Final = 1
_LOAD: Final = 0x20
_JUMP: Final = 0x05
_JUMP_EQUAL: Final = 0x15
_JUMP_NOT_LESS: Final = 0x35
_JUMP_ANY_BIT: Final = 0x45
_RETURN: Final = 0x06
_NUMBER_AT: Final = 0
_ARCH_AT: Final = 4
_ARGUMENT_AT: Final = 16
_X32_BIT: Final = 0x40000000

_AUDIT_X86_64: Final = 0xC000003E
_AUDIT_I386: Final = 0x40000003
_AUDIT_AARCH64: Final = 0xC00000B7
_ARCHITECTURES: Final = {
    "x86_64": ((_AUDIT_X86_64, X86_64), (_AUDIT_I386, I386)),
    "aarch64": ((_AUDIT_AARCH64, AARCH64),),
}


class Instruction(NamedTuple):
    """One BPF instruction: code, jump if true, jump if false, operand."""

    code: int
    jt: int
    jf: int
    k: int


Program: TypeAlias = tuple[Instruction, ...]


class PreparedFilter(NamedTuple):
    """A filter in the form the kernel takes; the two buffers must live as long as it is used."""

    instructions: ctypes.Array[ctypes.c_char]
    header: ctypes.Array[ctypes.c_char]


@lru_cache(maxsize=16)
def prepare_default(capabilities: frozenset[str]) -> PreparedFilter:
    """Compile Docker's default profile for holders of ``capabilities`` on this machine, ready to install."""
    return prepare(compile_default(capabilities, platform.machine()))


def prepare(program: Program) -> PreparedFilter:
    """Lay a program out in memory, so that installing it makes nothing."""
    data = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    instructions = ctypes.create_string_buffer(data, len(data))
    address = ctypes.addressof(instructions)
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program), address), struct.calcsize("@HP"))
    return PreparedFilter(instructions, header)


def install(prepared: PreparedFilter) -> None:
    """Filter this process from now on. Needs CAP_SYS_ADMIN or no_new_privs. Raises OSError."""
    syscall(NR_SECCOMP, _SET_MODE_FILTER, 0, ctypes.byref(prepared.header), what="seccomp")


def compile_default(capabilities: frozenset[str], machine: str) -> Program:
    """Return the program of Docker's default profile for ``machine``. Pure. Raises ValueError."""
    return compile_rules(_rules(capabilities), EPERM, machine)


def compile_rules(rules: Mapping[str, Program], default: int, machine: str) -> Program:
    """Return the program for ``machine`` (``x86_64``, ``aarch64``). Pure. Raises ValueError for another one.

    ``rules`` are by system call, ``default`` is for all others. An unknown architecture gets EPERM for everything,
    x32 gets ENOSYS: nothing of ours is built for it.
    """
    if machine not in _ARCHITECTURES:
        raise ValueError(f"there is no system call table for {machine}")
    program: list[Instruction] = [Instruction(_LOAD, 0, 0, _ARCH_AT)]
    for audit, numbers in _ARCHITECTURES[machine]:
        body = [Instruction(_LOAD, 0, 0, _NUMBER_AT)]
        leaves = _leaves(numbers, rules, default)
        if audit == _AUDIT_X86_64:
            leaves = [leaf for leaf in leaves if leaf.start < _X32_BIT]
            leaves.append(_Leaf(_X32_BIT, _returns(ENOSYS)))
        body += _search(leaves)
        program += [Instruction(_JUMP_EQUAL, 1, 0, audit), Instruction(_JUMP, 0, 0, len(body)), *body]
    program.append(Instruction(_RETURN, 0, 0, EPERM))
    return tuple(program)


class _Leaf(NamedTuple):
    """What happens to the numbers from ``start`` to the next leaf."""

    start: int
    program: Program


def _returns(value: int) -> Program:
    return (Instruction(_RETURN, 0, 0, value),)


def _leaves(numbers: Mapping[str, int], rules: Mapping[str, Program], default: int) -> list[_Leaf]:
    programs = {numbers[name]: p for name, p in rules.items() if name in numbers}
    leaves = [_Leaf(0, programs.get(0, _returns(default)))]
    for number in sorted(programs):
        if programs[number] != leaves[-1].program:
            leaves.append(_Leaf(number, programs[number]))
        if number + 1 not in programs:
            leaves.append(_Leaf(number + 1, _returns(default)))
    return leaves


def _rules(capabilities: frozenset[str]) -> dict[str, Program]:
    allow = _returns(ALLOW)
    rules = dict.fromkeys(profile.ALLOWED, allow)
    rules["clone"] = (
        Instruction(_LOAD, 0, 0, _ARGUMENT_AT),
        Instruction(_JUMP_ANY_BIT, 1, 0, profile.NEW_NAMESPACE_FLAGS),
        *allow,
        *_returns(EPERM),
    )
    # The flags of clone3 are behind a pointer, out of a filter's reach: ENOSYS makes libc use clone.
    rules["clone3"] = _returns(ENOSYS)
    rules["socket"] = _unless_equal(profile.FORBIDDEN_FAMILIES)
    rules["personality"] = _if_equal(profile.PERSONALITIES)
    for capability in capabilities:
        for name in profile.BY_CAPABILITY.get(capability, "").split():
            rules[name] = allow
    return rules


def _if_equal(values: tuple[int, ...]) -> Program:
    checks = [Instruction(_JUMP_EQUAL, len(values) - at, 0, value) for at, value in enumerate(values)]
    return (Instruction(_LOAD, 0, 0, _ARGUMENT_AT), *checks, *_returns(EPERM), *_returns(ALLOW))


def _unless_equal(values: tuple[int, ...]) -> Program:
    checks = [Instruction(_JUMP_EQUAL, len(values) - at, 0, value) for at, value in enumerate(values)]
    return (Instruction(_LOAD, 0, 0, _ARGUMENT_AT), *checks, *_returns(ALLOW), *_returns(EPERM))


def _search(leaves: list[_Leaf]) -> list[Instruction]:
    if len(leaves) == 1:
        return list(leaves[0].program)
    middle = len(leaves) // 2
    below, above = _search(leaves[:middle]), _search(leaves[middle:])
    # Conditional jumps reach 255 instructions: where the part below is longer, a plain jump goes over it.
    if len(below) <= 0xFF:
        return [Instruction(_JUMP_NOT_LESS, len(below), 0, leaves[middle].start), *below, *above]
    head = [Instruction(_JUMP_NOT_LESS, 0, 1, leaves[middle].start), Instruction(_JUMP, 0, 0, len(below))]
    return [*head, *below, *above]
