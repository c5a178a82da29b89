"""A seccomp profile in the JSON of Docker and of the OCI, compiled to rules for each system call. Pure.

Source: docker/docs, "Seccomp security profiles"; opencontainers/runtime-spec, config-linux.md, "Seccomp"; libseccomp's
seccomp_rule_add(3) for what the comparisons mean.
"""

from __future__ import annotations

import itertools
import json
import platform
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from stackctl.runtime.kernel import seccomp
from stackctl.runtime.kernel.seccomp import ALLOW, Instruction, PreparedFilter, Program

_EPERM: Final = 1
_ACTIONS: Final = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": ALLOW,
}
_WITH_NUMBER: Final = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
_ARCHES: Final = {"x86_64": ("amd64", "x86_64", "x86", "x32", "i386", "386"), "aarch64": ("arm64", "aarch64", "arm")}
_LOAD: Final = 0x20
_AND: Final = 0x54
_EQUAL: Final = 0x15
_GREATER: Final = 0x25
_NOT_LESS: Final = 0x35
_RETURN: Final = 0x06
_ARGUMENTS_AT: Final = 16
_LOW: Final = 0xFFFFFFFF
_MOST_ARGUMENT: Final = 5
_BOTH: Final = {"pass", "fail"}


class CompiledProfile(NamedTuple):
    """What happens to each system call that is named, and to all others."""

    rules: dict[str, Program]
    default: int


class _Line(NamedTuple):
    """An instruction whose jumps are to labels; "" goes on with the next one."""

    code: int
    value: int
    if_true: str = ""
    if_false: str = ""


@lru_cache(maxsize=16)
def prepare(text: str, capabilities: frozenset[str]) -> PreparedFilter:
    """Compile a profile for this machine, ready to install. Raises ValueError, saying what is wrong with it."""
    major, minor = platform.release().split(".")[:2]
    kernel = int(major), int("".join(itertools.takewhile(str.isdecimal, minor)) or 0)
    found = compile_profile(text, capabilities, platform.machine(), kernel)
    return seccomp.prepare(seccomp.compile_rules(found.rules, found.default, platform.machine()))


def compile_profile(text: str, capabilities: frozenset[str], machine: str, kernel: tuple[int, int]) -> CompiledProfile:
    """Compile a profile for a holder of ``capabilities``. Raises ValueError, saying what is wrong with it."""
    try:
        profile = json.loads(text)
    except ValueError as error:
        raise ValueError(f"is no JSON: {error}") from error
    if not isinstance(profile, dict) or not isinstance(profile.get("syscalls", []), list):
        raise ValueError("is no seccomp profile: an object with `defaultAction` and `syscalls`")
    default = _action(profile.get("defaultAction"), profile.get("defaultErrnoRet"))
    always: dict[str, int] = {}
    conditional: dict[str, list[list[_Line]]] = {}
    for entry in profile.get("syscalls") or ():
        if not isinstance(entry, dict):
            raise ValueError("has a rule that is no object")
        if not _applies(entry, capabilities, machine, kernel):
            continue
        action = _action(entry.get("action"), entry.get("errnoRet"))
        for name in _names(entry):
            arguments = entry.get("args") or []
            if not arguments:
                always.setdefault(name, action)
            elif action != default:
                conditional.setdefault(name, []).extend(_alternatives(arguments, action))
    rules = {name: _assembled(lines, default) for name, lines in conditional.items()}
    # As in libseccomp, a rule without a condition is stronger than those with one.
    rules |= {name: (Instruction(_RETURN, 0, 0, action),) for name, action in always.items()}
    return CompiledProfile(rules, default)


def _names(entry: Mapping[str, Any]) -> list[str]:
    names = entry.get("names") or [entry.get("name")]
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise ValueError("has a rule without `names`")
    return names


def _action(name: object, number: object) -> int:
    if not isinstance(name, str) or name not in _ACTIONS:
        raise ValueError(f"has the action {name!r}: there are {', '.join(_ACTIONS)}")
    if name not in _WITH_NUMBER:
        return _ACTIONS[name]
    return _ACTIONS[name] | ((number if isinstance(number, int) else _EPERM) & 0xFFFF)


def _applies(entry: Mapping[str, Any], capabilities: frozenset[str], machine: str, kernel: tuple[int, int]) -> bool:
    includes, excludes = entry.get("includes") or {}, entry.get("excludes") or {}
    if not isinstance(includes, dict) or not isinstance(excludes, dict):
        raise ValueError("has a rule whose `includes` or `excludes` is no object")
    held = {f"CAP_{name}" for name in capabilities}
    ours = _ARCHES.get(machine, ())
    if excludes.get("caps") and held.intersection(excludes["caps"]):
        return False
    if excludes.get("arches") and set(ours).intersection(excludes["arches"]):
        return False
    if includes.get("caps") and not held.issuperset(includes["caps"]):
        return False
    if includes.get("arches") and not set(ours).intersection(includes["arches"]):
        return False
    return not includes.get("minKernel") or _version(includes["minKernel"]) <= kernel


def _version(text: object) -> tuple[int, int]:
    major, _, minor = str(text).partition(".")
    if not (major.isdecimal() and minor.partition(".")[0].isdecimal()):
        raise ValueError(f"has the kernel {text!r}, which is no version")
    return int(major), int(minor.partition(".")[0])


def _alternatives(arguments: Sequence[Any], action: int) -> list[list[_Line]]:
    """Return one rule, or one for each condition where an argument has several: those are alternatives."""
    if not all(isinstance(one, dict) and isinstance(one.get("index"), int) for one in arguments):
        raise ValueError("has an argument without an `index`")
    indexes = [one["index"] for one in arguments]
    groups = [arguments] if len(set(indexes)) == len(indexes) else [[one] for one in arguments]
    return [[line for one in group for line in _condition(one)] + [_Line(_RETURN, action)] for group in groups]


def _condition(argument: Mapping[str, Any]) -> list[_Line]:
    """Return lines that go on at ``pass`` when the condition holds, and at ``fail`` when not."""
    index, value, second = argument["index"], argument.get("value", 0), argument.get("valueTwo", 0)
    if not (0 <= index <= _MOST_ARGUMENT and isinstance(value, int) and isinstance(second, int)):
        raise ValueError("has an argument whose numbers cannot be")
    value, second = value & 0xFFFFFFFFFFFFFFFF, second & 0xFFFFFFFFFFFFFFFF
    high, low = value >> 32, value & _LOW
    load_low, load_high = (_Line(_LOAD, _ARGUMENTS_AT + 8 * index + offset) for offset in (0, 4))
    match argument.get("op"):
        case "SCMP_CMP_EQ":
            return [load_high, _Line(_EQUAL, high, "", "fail"), load_low, _Line(_EQUAL, low, "pass", "fail")]
        case "SCMP_CMP_NE":
            return [load_high, _Line(_EQUAL, high, "", "pass"), load_low, _Line(_EQUAL, low, "fail", "pass")]
        case "SCMP_CMP_GE" | "SCMP_CMP_GT" as op:
            last = _Line(_NOT_LESS if op.endswith("GE") else _GREATER, low, "pass", "fail")
            return [load_high, _Line(_GREATER, high, "pass", ""), _Line(_EQUAL, high, "", "fail"), load_low, last]
        case "SCMP_CMP_LE" | "SCMP_CMP_LT" as op:
            last = _Line(_GREATER if op.endswith("LE") else _NOT_LESS, low, "fail", "pass")
            return [load_high, _Line(_GREATER, high, "fail", ""), _Line(_EQUAL, high, "", "pass"), load_low, last]
        case "SCMP_CMP_MASKED_EQ":
            return [
                *(load_high, _Line(_AND, high), _Line(_EQUAL, second >> 32, "", "fail")),
                *(load_low, _Line(_AND, low), _Line(_EQUAL, second & _LOW, "pass", "fail")),
            ]
        case op:
            raise ValueError(f"compares an argument by {op!r}, which is no comparison")


def _assembled(rules: Sequence[list[_Line]], default: int) -> Program:
    """Lay rules out one after the other: each goes on with the next when a condition of its own does not hold."""
    program: list[Instruction] = []
    for rule in rules:
        for at, line in enumerate(rule):
            if_true, if_false = (_distance(rule, at, label) for label in (line.if_true, line.if_false))
            program.append(Instruction(line.code, if_true, if_false, line.value))
    return (*program, Instruction(_RETURN, 0, 0, default))


def _distance(rule: Sequence[_Line], at: int, label: str) -> int:
    """Return how many lines a jump goes over: to the next condition of the rule, which may be its end, or behind it."""
    if label == "fail":
        return len(rule) - at - 1
    if label == "pass":  # a condition ends with the line that knows of both
        return next(end for end in range(at, len(rule)) if {rule[end].if_true, rule[end].if_false} == _BOTH) - at
    return 0
