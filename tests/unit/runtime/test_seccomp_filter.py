"""The system call filter, run by an interpreter of the kernel's instructions."""

from __future__ import annotations

import itertools
import json
import operator
import random
from collections.abc import Callable
from typing import Any

import pytest

from stackctl.runtime.kernel import capabilities, seccomp, seccomp_json, seccomp_profile
from stackctl.runtime.kernel.seccomp_tables import AARCH64, I386, X86_64

_X86_64, _I386, _AARCH64 = 0xC000003E, 0x40000003, 0xC00000B7
_LOAD, _JUMP, _EQUAL, _NOT_LESS, _ANY_BIT, _RETURN = 0x20, 0x05, 0x15, 0x35, 0x45, 0x06
_MOST_INSTRUCTIONS = 4096  # BPF_MAXINSNS


def run(program: seccomp.Program, *, arch: int, number: int, argument: int = 0, second: int = 0) -> tuple[int, int]:
    """Return what the program answers, and after how many instructions."""
    data = {0: number, 4: arch, 16: argument & 0xFFFFFFFF, 20: argument >> 32}
    data |= {24: second & 0xFFFFFFFF, 28: second >> 32}
    accumulator = at = 0
    for steps in itertools.count(1):
        code, true, false, k = program[at]
        at += 1
        match code:
            case 0x20:
                accumulator = data[k]
            case 0x05:
                at += k
            case 0x15:
                at += true if accumulator == k else false
            case 0x25:
                at += true if accumulator > k else false
            case 0x35:
                at += true if accumulator >= k else false
            case 0x54:
                accumulator &= k
            case 0x45:
                at += true if accumulator & k else false
            case 0x06:
                return k, steps
            case _:
                raise AssertionError(f"instruction {code:#x}")
    raise AssertionError


_DEFAULT = seccomp.compile_default(capabilities.DEFAULT, "x86_64")
_ARM = seccomp.compile_default(capabilities.DEFAULT, "aarch64")


@pytest.mark.parametrize(
    ("program", "arch", "numbers"),
    [(_DEFAULT, _X86_64, X86_64), (_DEFAULT, _I386, I386), (_ARM, _AARCH64, AARCH64)],
)
def test_every_number_is_answered_as_the_profile_says(
    program: seccomp.Program, arch: int, numbers: dict[str, int]
) -> None:
    names = {number: name for name, number in numbers.items()}
    special = {"clone", "clone3", "socket", "personality", "chroot"}
    for number in range(-1, 600):
        name = names.get(number, "")
        if name in special:
            continue
        wanted = seccomp.ALLOW if name in seccomp_profile.ALLOWED else seccomp.EPERM
        answer, steps = run(program, arch=arch, number=number & 0x3FFFFFFF if number < 0 else number)
        assert answer == wanted, f"{name or number}"
        assert steps <= 20
    assert run(program, arch=arch, number=numbers["clone3"])[0] == seccomp.ENOSYS
    assert run(program, arch=arch, number=numbers["chroot"])[0] == seccomp.ALLOW


@pytest.mark.parametrize(
    ("name", "argument", "allowed"),
    [
        ("clone", 0x01200011, True),
        ("clone", 0x003D0F00, True),
        ("clone", 0x02000000, False),
        ("clone", 0x04000000, False),
        ("clone", 0x08000000, False),
        ("clone", 0x10000000, False),
        ("clone", 0x20000000, False),
        ("clone", 0x40000000, False),
        ("clone", 0x00020000, False),
        ("personality", 0, True),
        ("personality", 8, True),
        ("personality", 0x20000, True),
        ("personality", 0x20008, True),
        ("personality", 0xFFFFFFFF, True),
        ("personality", 0x0040000, False),
        ("personality", 1, False),
        ("socket", 1, True),
        ("socket", 2, True),
        ("socket", 10, True),
        ("socket", 16, True),
        ("socket", 38, False),
        ("socket", 39, True),
        ("socket", 40, False),
        ("socket", 41, True),
    ],
)
def test_arguments_decide_where_the_profile_looks_at_them(name: str, argument: int, allowed: bool) -> None:
    answer, _ = run(_DEFAULT, arch=_X86_64, number=X86_64[name], argument=argument)

    assert answer == (seccomp.ALLOW if allowed else seccomp.EPERM)


def test_x32_and_unknown_architectures_are_shut_out() -> None:
    generator = random.Random(1)
    for number in (0, 39, *(generator.randrange(0x40000000) for _ in range(50))):
        assert run(_DEFAULT, arch=_X86_64, number=number | 0x40000000)[0] == seccomp.ENOSYS
    for arch in (0, _AARCH64, 0xFFFFFFFF, _X86_64 ^ 1):
        assert run(_DEFAULT, arch=arch, number=39)[0] == seccomp.EPERM


@pytest.mark.parametrize(
    ("capability", "opened"),
    [
        ("SYS_ADMIN", {"clone3", "mount", "unshare", "setns", "bpf", "umount2", "fsopen"}),
        ("SYS_PTRACE", {"kcmp", "pidfd_getfd", "process_madvise"}),
        ("SYS_MODULE", {"init_module", "finit_module", "delete_module"}),
        ("SYS_TIME", {"settimeofday", "clock_settime"}),
        ("SYSLOG", {"syslog"}),
        ("DAC_READ_SEARCH", {"open_by_handle_at"}),
    ],
)
def test_a_capability_opens_its_calls_and_no_others(capability: str, opened: set[str]) -> None:
    more = seccomp.compile_default(capabilities.DEFAULT | {capability}, "x86_64")

    changed = {
        name
        for name, number in X86_64.items()
        if run(more, arch=_X86_64, number=number)[0] != run(_DEFAULT, arch=_X86_64, number=number)[0]
    }

    allowed = set(seccomp_profile.BY_CAPABILITY[capability].split())
    assert opened <= changed <= allowed
    assert run(more, arch=_X86_64, number=X86_64["keyctl"])[0] == seccomp.EPERM


def test_no_program_is_longer_than_the_kernel_takes() -> None:
    everything = seccomp.compile_default(frozenset(capabilities.NAMES), "x86_64")

    assert max(len(_DEFAULT), len(_ARM), len(everything)) <= _MOST_INSTRUCTIONS


def test_calls_that_reach_around_namespaces_are_in_no_list() -> None:
    never = "io_uring_setup io_uring_enter userfaultfd keyctl add_key request_key kexec_load kexec_file_load pivot_root"
    never += " swapon swapoff move_pages migrate_pages nfsservctl uselib ustat sysfs _sysctl query_module"

    listed = set(seccomp_profile.ALLOWED) | set(" ".join(seccomp_profile.BY_CAPABILITY.values()).split())

    assert not listed & set(never.split())


def _profile(
    *rules: dict[str, Any], default: str = "SCMP_ACT_ALLOW", caps: frozenset[str] = frozenset()
) -> seccomp.Program:
    text = json.dumps({"defaultAction": default, "syscalls": rules})
    found = seccomp_json.compile_profile(text, caps, "x86_64", (6, 1))
    return seccomp.compile_rules(found.rules, found.default, "x86_64")


def _answer(program: seccomp.Program, name: str, first: int = 0, second: int = 0) -> int:
    return run(program, arch=_X86_64, number=X86_64[name], argument=first, second=second)[0]


_DENY = {"names": ["mkdir", "not_there"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}
_WIDE = 5 << 32 | 7


@pytest.mark.parametrize(
    ("op", "holds"),
    [
        ("SCMP_CMP_EQ", operator.eq),
        ("SCMP_CMP_NE", operator.ne),
        ("SCMP_CMP_LT", operator.lt),
        ("SCMP_CMP_LE", operator.le),
        ("SCMP_CMP_GT", operator.gt),
        ("SCMP_CMP_GE", operator.ge),
    ],
)
def test_arguments_are_compared_as_whole_numbers_of_64_bits(op: str, holds: Callable[[int, int], bool]) -> None:
    program = _profile({**_DENY, "args": [{"index": 1, "value": _WIDE, "op": op}]})

    for high, low in itertools.product((4, 5, 6), (6, 7, 8)):
        value = high << 32 | low
        assert (_answer(program, "mkdir", 0, value) == seccomp.ENOSYS) == holds(value, _WIDE), hex(value)


def test_all_arguments_of_a_rule_must_hold_and_any_rule_will_do() -> None:
    masked = {"index": 0, "value": 0xF0, "valueTwo": 0x20, "op": "SCMP_CMP_MASKED_EQ"}
    program = _profile(
        {**_DENY, "args": [masked, {"index": 1, "value": 3, "op": "SCMP_CMP_EQ"}]},
        {**_DENY, "errnoRet": 13, "args": [{"index": 1, "value": 9, "op": "SCMP_CMP_EQ"}]},
    )

    assert _answer(program, "mkdir", 0x2F, 3) == seccomp.ENOSYS
    assert _answer(program, "mkdir", 0x2F, 4) == _answer(program, "mkdir", 0x1F, 3) == seccomp.ALLOW
    assert _answer(program, "mkdir", 0, 9) == 0x0005000D


def test_rules_count_for_whom_and_where_they_are_meant() -> None:
    rules = (
        {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["s390x"]}},
        {"names": ["write"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "9.0"}},
        {"name": "close", "action": "SCMP_ACT_LOG", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
    )
    low, high = (
        _profile(*rules, default="SCMP_ACT_ERRNO", caps=caps) for caps in (frozenset(), frozenset({"SYS_ADMIN"}))
    )

    assert [_answer(low, name) for name in ("mount", "read", "write")] == [seccomp.EPERM] * 3
    assert (_answer(high, "mount"), _answer(low, "close")) == (seccomp.ALLOW, 0x7FFC0000)
    assert _answer(high, "close") == seccomp.EPERM


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "no JSON"),
        ("[]", "no seccomp profile"),
        ('{"defaultAction": "ALLOW"}', "has the action 'ALLOW'"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_ALLOW"}]}', "without `names`"),
    ],
)
def test_a_profile_that_is_none_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        seccomp_json.compile_profile(text, frozenset(), "x86_64", (6, 1))
