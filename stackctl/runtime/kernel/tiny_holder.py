"""A program that does nothing: some 200 bytes that keep the descriptors they were started with open.

Written by hand like ``tiny_init``, and for the same reason: an interpreter that only waits would cost megabytes. It
closes all but two descriptors, blocks every signal, names itself and pauses for ever; only SIGKILL ends it.
"""

from __future__ import annotations

import fcntl
import os
import platform
from typing import Final

from stackctl.runtime.kernel.tiny_init import ALL_SEALS, EM_X86_64, F_ADD_SEALS, elf

NAME: Final = "stackctl-holder"
ENDS: Final = (0, 1)
_X86_64: Final = (
    "b8b4010000"  # mov $0x1b4,%eax
    "bf02000000"  # mov $0x2,%edi
    "beffffffff"  # mov $0xffffffff,%esi
    "31d2"  # xor %edx,%edx
    "0f05"  # syscall: close_range
    "4883ec40"  # sub $0x40,%rsp
    "48c70424ffffffff"  # movq $0xffffffffffffffff,(%rsp)
    "b80e000000"  # mov $0xe,%eax
    "31ff"  # xor %edi,%edi
    "4889e6"  # mov %rsp,%rsi
    "31d2"  # xor %edx,%edx
    "41ba08000000"  # mov $0x8,%r10d
    "0f05"  # syscall: rt_sigprocmask
    "b89d000000"  # mov $0x9d,%eax
    "bf0f000000"  # mov $0xf,%edi
    "488d350b000000"  # lea 0xb(%rip),%rsi <name>
    "0f05"  # syscall: prctl(PR_SET_NAME)
    # wait:
    "b822000000"  # mov $0x22,%eax
    "0f05"  # syscall: pause
    "ebf7"  # jmp 46 <wait>
)


def spawn(ends: tuple[int, int], label: str) -> int:
    """Start one that holds ``ends``, as descriptors ``ENDS`` and nothing else, in a session of its own; return its pid.

    0 on machines it was not written for. ``label`` is seen beside its name. ``ends`` are above 1. Raises OSError.
    """
    if platform.machine() != "x86_64":
        return 0
    program = os.memfd_create(NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.write(program, elf(bytes.fromhex(_X86_64) + NAME.encode() + b"\0", EM_X86_64))
        fcntl.fcntl(program, F_ADD_SEALS, ALL_SEALS)
        actions = [(os.POSIX_SPAWN_DUP2, ours, theirs) for ours, theirs in zip(ends, ENDS, strict=True)]
        argv = [NAME, label]
        return os.posix_spawn(f"/proc/self/fd/{program}", argv, {}, file_actions=actions, setsid=True, setsigmask=())
    finally:
        os.close(program)


def is_one(pid: int) -> bool:
    """Say whether the process is one of these."""
    try:
        return os.readlink(f"/proc/{pid}/exe").startswith(f"/memfd:{NAME}")
    except OSError:
        return False
