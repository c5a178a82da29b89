"""A pseudo-terminal of the container's own devpts."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import termios

from stackctl.runtime.init import paths
from stackctl.runtime.kernel import libc

_TIOCSPTLCK = 0x40045431
_TIOCGPTPEER = 0x5441
_FLAGS = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC


def open_terminal(root: int, channel_fd: int) -> int:
    """Make a pty in the devpts below ``root``, send its master through ``channel_fd``, return the slave."""
    # Threat: a slave opened by path may be anything the image put there (CVE-2025-52565): the kernel is asked
    # for the peer of the master itself.
    master = paths.open_in_root(root, b"/dev/pts/ptmx", _FLAGS)
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    slave: int = fcntl.ioctl(master, _TIOCGPTPEER, _FLAGS)
    _send_descriptor(channel_fd, master)
    os.close(master)
    return slave


def _send_descriptor(channel_fd: int, fd: int) -> None:
    # socket.send_fds imports a module when called: too late here.
    channel = socket.socket(fileno=channel_fd)
    channel.sendmsg([b"t"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", fd))])
    channel.detach()


def show_console(root: int, slave: int) -> None:
    """Bind the terminal at /dev/console."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    dev = paths.open_in_root(root, b"/dev", os.O_RDONLY | os.O_DIRECTORY)
    os.close(os.open(b"console", flags, 0o600, dir_fd=dev))
    target = os.open(b"console", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dev)
    tree = libc.open_tree(slave, b"", libc.OPEN_TREE_CLONE | libc.AT_EMPTY_PATH)
    libc.move_mount(tree, target)
    for fd in (tree, target, dev):
        os.close(fd)


def make_controlling(slave: int) -> None:
    """Make the terminal this session's; the caller leads one without a terminal."""
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
