"""The last steps before execve: who the process is, and what it may do."""

from __future__ import annotations

import os
import resource
import struct
from typing import NoReturn

from stackctl.runtime.init import paths, users
from stackctl.runtime.init.plan import STAGE, ProcessPlan
from stackctl.runtime.kernel import capabilities, libc, seccomp

_TEXT_BYTES = 2000
_DEFAULT_PATH = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Progress:
    """Which stage we are in, and which field of the specification asked for it, for the report of a failure."""

    def __init__(self, error_fd: int) -> None:
        self.stage = 0
        self.field = b""
        self._error_fd = error_fd

    def enter(self, stage: str, field: bytes = b"") -> None:
        """Note that ``stage`` begins; ``field`` is as in ``ContainerSpec.origin``."""
        self.stage, self.field = STAGE[stage], field

    def report(self, error: BaseException) -> None:
        """Send stage, errno, field and text through the error pipe."""
        number = error.errno or 0 if isinstance(error, OSError) else 0
        detail = error.filename if isinstance(error, OSError) else str(error)
        text = detail if isinstance(detail, bytes) else str(detail or "").encode("utf-8", "replace")
        header = struct.pack("<BHH", self.stage, number, len(self.field))
        os.write(self._error_fd, header + self.field + text[:_TEXT_BYTES])


def descriptors_of(plan: ProcessPlan) -> tuple[int, ...]:
    """Return every descriptor a process needs on its way."""
    standard = (plan.stdin_fd, plan.stdout_fd, plan.stderr_fd)
    return (*standard, plan.error_fd, plan.channel_fd, plan.init_fd, *plan.cgroup_join_fds)


def close_all_but(needed: tuple[int, ...], further: int) -> None:
    """Close every descriptor but 0, 1, 2 and these; -1 stands for none."""
    first = 3
    for fd in sorted({fd for fd in (*needed, further) if fd >= first}):
        if fd > first:
            libc.close_range(first, fd - 1)
        first = fd + 1
    libc.close_range(first)


def join_cgroups(plan: ProcessPlan) -> None:
    """Move this process into its version 1 cgroups, by descriptors the parent opened."""
    for fd in plan.cgroup_join_fds:
        os.write(fd, b"0")


def apply_limits(plan: ProcessPlan, progress: Progress, root: int) -> None:
    """Set resource limits and the score of the out-of-memory killer."""
    for name, number, soft, hard in plan.rlimits:
        progress.enter("resource limit", b"ulimits." + name)
        resource.setrlimit(number, (soft, hard))
    progress.enter("resource limit", b"oom_score_adj")
    paths.write_file(root, b"/proc/self/oom_score_adj", b"%d" % plan.oom_score_adj)


def become_and_exec(plan: ProcessPlan, progress: Progress, slave: int) -> NoReturn:
    """Take on the user, its rights and its descriptors, and execute. ``slave`` is the terminal, -1 for none.

    State: in the container's namespaces, its root is ours, still host root with every capability.
    """
    progress.enter("user", b"user")
    root = os.open(b"/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    identity = users.resolve(root, plan.user)
    for number, group in enumerate(plan.groups):
        progress.field = b"group_add.%d" % number
        identity = users.add_group(root, identity, group)
    os.close(root)
    _take_descriptors(plan, slave, identity.uid)
    progress.enter("working directory", b"working_dir")
    _enter_working_dir(plan.working_dir)
    env = _environment(plan.env, identity.home)
    # Threat: a descriptor of the host left open is a way out (CVE-2024-21626). The error pipe closes by exec too.
    libc.close_range(3, only_mark_cloexec=True)
    os.umask(0o022)
    libc.prctl(libc.PR_SET_PDEATHSIG, 0)
    if plan.no_new_privileges:
        _drop_rights(plan, progress, identity)
        libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
        _filter(plan, progress)
    else:
        # Order: without no_new_privs the kernel takes a filter only from CAP_SYS_ADMIN, so before the drop;
        # the filter allows what the drop needs. Source: seccomp(2), EACCES.
        _filter(plan, progress)
        _drop_rights(plan, progress, identity)
    progress.enter("exec", b"argv")
    _execute(plan, env)


def _take_descriptors(plan: ProcessPlan, slave: int, uid: int) -> None:
    if slave >= 0:
        if uid:
            os.fchown(slave, uid, -1)
        for number in (0, 1, 2):
            os.dup2(slave, number)
        return
    # The container's own /dev/null, not the host's: ours would be a door, if a small one, to the host's /dev.
    stdin = plan.stdin_fd if plan.stdin_fd >= 0 else os.open(b"/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for number, fd in enumerate((stdin, plan.stdout_fd, plan.stderr_fd)):
        # A program that opens /dev/stdout anew must be allowed to, whoever it runs as.
        if uid and number and os.fstat(fd).st_mode & 0o170000 == 0o010000:
            os.fchown(fd, uid, -1)
        os.dup2(fd, number)


def _enter_working_dir(path: bytes) -> None:
    os.chdir(path or b"/")
    # Threat: a directory outside the root, reached through a descriptor, reads as "(unreachable)/…".
    if not os.getcwdb().startswith(b"/"):
        raise OSError(2, "is outside the container", path)


def _environment(entries: tuple[bytes, ...], home: str) -> dict[bytes, bytes]:
    env = {}
    for entry in entries:
        key, _, value = entry.partition(b"=")
        env[key] = value
    if not env.get(b"HOME"):
        env[b"HOME"] = home.encode("utf-8", "surrogateescape") or b"/"
    return env


def _drop_rights(plan: ProcessPlan, progress: Progress, identity: users.Identity) -> None:
    progress.enter("capabilities", b"cap_add")
    capabilities.clear_ambient()
    capabilities.drop_bounding(plan.bounding)
    libc.setgroups(identity.groups)
    os.setresgid(identity.gid, identity.gid, identity.gid)
    libc.prctl(libc.PR_SET_KEEPCAPS, 1)
    os.setresuid(identity.uid, identity.uid, identity.uid)
    mask = plan.bounding if identity.uid == 0 else 0
    capabilities.set_caps(mask, mask, 0)


def _filter(plan: ProcessPlan, progress: Progress) -> None:
    progress.enter("seccomp", b"seccomp")
    if plan.seccomp is not None:
        seccomp.install(plan.seccomp)


def _execute(plan: ProcessPlan, env: dict[bytes, bytes]) -> NoReturn:
    name = plan.argv[0]
    if plan.init_fd >= 0:
        program = _find(name, env)
        os.execve(plan.init_fd, (b"/dev/init", program, *plan.argv[1:]), env)
    if b"/" in name:
        os.execve(name, plan.argv, env)
    failure: OSError = FileNotFoundError(2, "not found", name)
    for folder in env.get(b"PATH", _DEFAULT_PATH).split(b":"):
        try:
            os.execve((folder or b".") + b"/" + name, plan.argv, env)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            failure = OSError(error.errno, "cannot be executed", name)
    raise failure


def _find(name: bytes, env: dict[bytes, bytes]) -> bytes:
    folders = [b""] if b"/" in name else env.get(b"PATH", _DEFAULT_PATH).split(b":")
    for folder in folders:
        program = folder + b"/" + name if folder else name
        if os.access(program, os.X_OK):
            return program
    raise FileNotFoundError(2, "not found", name)
