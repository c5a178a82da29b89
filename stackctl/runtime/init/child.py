"""The first process of a container, from clone3 to execve.

Nothing is imported, decoded by a codec not yet loaded, or asked of NSS in here: after the pivot such a
look-up would read the container's files with the host's rights (CVE-2019-14271 and its class). A failure
is a number and a name through a pipe; the parent finds the words.
"""

from __future__ import annotations

import os
import signal
from typing import NoReturn

from stackctl.runtime.init import become, paths, rootfs, terminal
from stackctl.runtime.init.plan import Bind, InitMount, InitPlan
from stackctl.runtime.kernel import libc

FAILED = 127
_SIGNALS = tuple(sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}))


def run(plan: InitPlan) -> NoReturn:
    """Become the container, or report why not and exit."""
    progress = become.Progress(plan.process.error_fd)
    try:
        _start(plan, progress)
        root = _build_root(plan, progress)
        slave = _open_terminal(plan, progress, root)
        _finish_root(plan, progress, root)
        _wait_for_network(plan, progress)
        become.become_and_exec(plan.process, progress, slave)
    except BaseException as error:
        progress.report(error)
    finally:
        os._exit(FAILED)


def reset_signals() -> None:
    """Give every signal its default action again: what is ignored stays so over execve."""
    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
    libc.reset_internal_signals()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _start(plan: InitPlan, progress: become.Progress) -> None:
    # Threat: until execve this process is a copy of the supervisor; another in the same pid namespace
    # must not trace it (CVE-2016-9962).
    libc.prctl(libc.PR_SET_DUMPABLE, 0)
    become.close_all_but((*become.descriptors_of(plan.process), plan.ipc_pidfd), plan.network_pidfd)
    reset_signals()
    os.setsid()
    os.umask(0)
    progress.enter("cgroup")
    become.join_cgroups(plan.process)
    # Order: after joining, so that the namespace's root is the container's own cgroup.
    if plan.has_cgroup_namespace:
        libc.unshare(libc.CLONE_NEWCGROUP)
    progress.enter("network", b"networking")
    if plan.network_pidfd >= 0:
        libc.setns(plan.network_pidfd, libc.CLONE_NEWNET)
    if plan.ipc_pidfd >= 0:
        progress.enter("start", b"ipc_mode")
        libc.setns(plan.ipc_pidfd, libc.CLONE_NEWIPC)
    libc.join_new_session_keyring()


def _build_root(plan: InitPlan, progress: become.Progress) -> int:
    progress.enter("mount")
    mounts = _copy_shared(plan.mounts, progress)
    progress.enter("root file system", b"image_ref")
    shared_memory = rootfs.shared_memory_of(plan.ipc_pidfd) if plan.ipc_pidfd >= 0 else -1
    rootfs.stop_propagation()
    root = rootfs.mount_overlay(plan.root, plan.mountpoint)
    for item in plan.host_binds:
        rootfs.bind(root, item)
    progress.enter("proc, sys and dev")
    rootfs.mount_proc(root)
    # Order: sysctls before anything of the user's is mounted that could redirect the write (CVE-2025-52881).
    for name, path, value in plan.sysctls:
        progress.enter("sysctl", b"sysctls." + name)
        paths.write_file(root, path, value)
    progress.enter("proc, sys and dev")
    rootfs.mount_dev(root)
    for node in plan.devices:
        progress.enter("device", b"devices." + node.path)
        rootfs.make_device(root, node)
    progress.enter("mount", b"shm_size_bytes")
    rootfs.mount_shared_memory(root, plan, shared_memory)
    progress.enter("proc, sys and dev")
    rootfs.mount_sys(root, plan)
    progress.enter("mount")
    _mount_what_was_asked((*mounts, *plan.etc_binds), root, progress)
    return root


def _copy_shared(mounts: tuple[InitMount, ...], progress: become.Progress) -> tuple[InitMount, ...]:
    found: list[InitMount] = []
    for item in mounts:
        progress.enter("mount", b"mounts." + item.target)
        found.append(rootfs.copy_if_shared(item))
    return tuple(found)


def _mount_what_was_asked(mounts: tuple[InitMount, ...], root: int, progress: become.Progress) -> None:
    forbidden = rootfs.kernel_devices(root)
    for item in mounts:
        progress.enter("mount", b"mounts." + item.target)
        if isinstance(item, Bind):
            rootfs.bind(root, item, forbidden)
        else:
            rootfs.mount_tmpfs(root, item, forbidden)


def _open_terminal(plan: InitPlan, progress: become.Progress, root: int) -> int:
    if not plan.process.has_terminal:
        return -1
    progress.enter("terminal", b"tty")
    slave = terminal.open_terminal(root, plan.process.channel_fd)
    terminal.show_console(root, slave)
    terminal.make_controlling(slave)
    return slave


def _finish_root(plan: InitPlan, progress: become.Progress, root: int) -> None:
    progress.enter("working directory", b"working_dir")
    os.close(paths.make_directory(root, plan.process.working_dir or b"/"))
    become.apply_limits(plan.process, progress, root)
    progress.enter("masks")
    rootfs.hide(root, plan.masked, plan.read_only)
    if plan.is_root_read_only:
        rootfs.make_root_read_only(root)
    progress.enter("pivot")
    rootfs.pivot(root)
    os.close(root)
    progress.enter("host name", b"hostname")
    if plan.hostname:
        libc.sethostname(plan.hostname)
    if plan.domainname:
        progress.enter("host name", b"domainname")
        libc.setdomainname(plan.domainname)


def _wait_for_network(plan: InitPlan, progress: become.Progress) -> None:
    # The parent wires the network while we mount; it sends one byte when all is there, and closes if it failed.
    progress.enter("network")
    if os.read(plan.process.channel_fd, 1) != b"g":
        raise OSError(104, "the supervisor went away", b"")
