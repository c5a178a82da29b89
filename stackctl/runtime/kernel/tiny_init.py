"""A first process for `init: true`: 230 bytes that start a program, pass signals on and reap orphans.

An init in Python would cost some megabytes in every container, and would leave the host's interpreter
open to it (CVE-2019-5736). This one is written by hand; the bytes stand beside their instructions, as
``as`` made them. It blocks every signal, forks, executes ``argv[1]`` with ``argv[1:]`` in the child, then
waits: SIGCHLD makes it reap, every other signal goes to the child. It exits as the child did, 128 + n when
that was killed by signal n, and 127 when it could not be executed.
"""

from __future__ import annotations

import fcntl
import os
import platform
import struct
from functools import lru_cache
from typing import Final

from stackctl.errors import ContainerError

_LOAD_ADDRESS: Final = 0x400000
_HEADERS_BYTES: Final = 64 + 56
F_ADD_SEALS: Final = 1033
ALL_SEALS: Final = 0x1F & ~0x10
EM_X86_64: Final = 62

_X86_64: Final = (
    "488b0424"  # mov (%rsp),%rax
    "4c8d642410"  # lea 0x10(%rsp),%r12
    "4c8d6cc410"  # lea 0x10(%rsp,%rax,8),%r13
    "4883ec40"  # sub $0x40,%rsp
    "48c70424ffffffff"  # movq $0xffffffffffffffff,(%rsp)
    "b80e000000"  # mov $0xe,%eax
    "31ff"  # xor %edi,%edi
    "4889e6"  # mov %rsp,%rsi
    "31d2"  # xor %edx,%edx
    "41ba08000000"  # mov $0x8,%r10d
    "0f05"  # syscall
    "b839000000"  # mov $0x39,%eax
    "0f05"  # syscall
    "4885c0"  # test %rax,%rax
    "7537"  # jne 71 <parent>
    "48c7042400000000"  # movq $0x0,(%rsp)
    "b80e000000"  # mov $0xe,%eax
    "bf02000000"  # mov $0x2,%edi
    "4889e6"  # mov %rsp,%rsi
    "31d2"  # xor %edx,%edx
    "41ba08000000"  # mov $0x8,%r10d
    "0f05"  # syscall
    "498b3c24"  # mov (%r12),%rdi
    "4c89e6"  # mov %r12,%rsi
    "4c89ea"  # mov %r13,%rdx
    "b83b000000"  # mov $0x3b,%eax
    "0f05"  # syscall
    "bf7f000000"  # mov $0x7f,%edi
    "eb6f"  # jmp e0 <leave>
    # parent:
    "4889c3"  # mov %rax,%rbx
    # wait:
    "b880000000"  # mov $0x80,%eax
    "4889e7"  # mov %rsp,%rdi
    "31f6"  # xor %esi,%esi
    "31d2"  # xor %edx,%edx
    "41ba08000000"  # mov $0x8,%r10d
    "0f05"  # syscall
    "83f811"  # cmp $0x11,%eax
    "7411"  # je 9e <reap>
    "85c0"  # test %eax,%eax
    "7ee3"  # jle 74 <wait>
    "89c6"  # mov %eax,%esi
    "89df"  # mov %ebx,%edi
    "b83e000000"  # mov $0x3e,%eax
    "0f05"  # syscall
    "ebd6"  # jmp 74 <wait>
    # reap:
    "b83d000000"  # mov $0x3d,%eax
    "48c7c7ffffffff"  # mov $0xffffffffffffffff,%rdi
    "488d742408"  # lea 0x8(%rsp),%rsi
    "ba01000000"  # mov $0x1,%edx
    "4531d2"  # xor %r10d,%r10d
    "0f05"  # syscall
    "4885c0"  # test %rax,%rax
    "7eb6"  # jle 74 <wait>
    "39c3"  # cmp %eax,%ebx
    "75dc"  # jne 9e <reap>
    "8b442408"  # mov 0x8(%rsp),%eax
    "89c7"  # mov %eax,%edi
    "83e77f"  # and $0x7f,%edi
    "7408"  # je d5 <code>
    "81c780000000"  # add $0x80,%edi
    "eb0b"  # jmp e0 <leave>
    # code:
    "89c7"  # mov %eax,%edi
    "c1ef08"  # shr $0x8,%edi
    "81e7ff000000"  # and $0xff,%edi
    # leave:
    "b8e7000000"  # mov $0xe7,%eax
    "0f05"  # syscall
)


def elf(code: bytes, machine: int) -> bytes:
    """Return a static executable of ``code``, which starts at its first byte. Pure. Source: elf(5)."""
    entry = _LOAD_ADDRESS + _HEADERS_BYTES
    size = _HEADERS_BYTES + len(code)
    ident = b"\x7fELF" + bytes((2, 1, 1)) + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, entry, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _LOAD_ADDRESS, _LOAD_ADDRESS, size, size, 0x1000)
    return ident + header + segment + code


@lru_cache(maxsize=1)
def program_fd() -> int:
    """Return a sealed descriptor of the program, made once. Raises ContainerError on other machines."""
    if platform.machine() != "x86_64":
        raise ContainerError(f"init: true is not available on {platform.machine()} yet", code="no-init")
    fd = os.memfd_create("init", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, elf(bytes.fromhex(_X86_64), EM_X86_64))
    fcntl.fcntl(fd, F_ADD_SEALS, ALL_SEALS)
    return fd
