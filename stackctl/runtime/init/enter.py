"""A further process in a running container: `exec` and health probes."""

from __future__ import annotations

import os
from typing import NoReturn

from stackctl.runtime.init import become, terminal
from stackctl.runtime.init.child import FAILED, reset_signals
from stackctl.runtime.init.plan import EnterPlan
from stackctl.runtime.kernel import libc


def run(plan: EnterPlan) -> NoReturn:
    """Join the container and execute, or report why not and exit. Born in the container's pid namespace."""
    progress = become.Progress(plan.process.error_fd)
    try:
        libc.prctl(libc.PR_SET_DUMPABLE, 0)
        # Threat: a container that may trace sees this process already, with all that the supervisor has open.
        become.close_all_but(become.descriptors_of(plan.process), plan.pidfd)
        reset_signals()
        os.setsid()
        progress.enter("cgroup")
        become.join_cgroups(plan.process)
        progress.enter("start")
        # Order: descriptors of the host's /proc are not needed after this; its mount namespace is gone for us.
        libc.setns(plan.pidfd, plan.namespaces)
        libc.join_new_session_keyring()
        root = os.open(b"/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        slave = -1
        if plan.process.has_terminal:
            progress.enter("terminal")
            slave = terminal.open_terminal(root, plan.process.channel_fd)
            terminal.make_controlling(slave)
        become.apply_limits(plan.process, progress, root)
        os.close(root)
        become.become_and_exec(plan.process, progress, slave)
    except BaseException as error:
        progress.report(error)
    finally:
        os._exit(FAILED)
