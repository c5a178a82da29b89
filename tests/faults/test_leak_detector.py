"""The detector of leaks finds each kind: what cannot fail proves nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from stackctl.runtime.kernel import libc, nftables, rtnetlink
from stackctl.runtime.kernel.cgroup import parse_mounts
from stackctl.runtime.kernel.netlink import Netlink
from stackctl.runtime.kernel.netns import make_netns
from tests.support.leaks import Leaks, state_leftovers

Leak = Callable[[ExitStack, Path], str]


def _mount(stack: ExitStack, folder: Path) -> str:
    libc.mount("leak", str(folder), "tmpfs")
    stack.callback(libc.umount, str(folder))
    return f"mount {folder}"


def _second_mount(stack: ExitStack, folder: Path) -> str:
    _mount(stack, folder)
    _mount(stack, folder)
    return f"mount {folder} (2)"


def _link(stack: ExitStack, _folder: Path) -> str:
    netlink = stack.enter_context(Netlink())
    netlink.transact([rtnetlink.create_bridge("leaked0", mac=b"\x02\x42\0\0\0\1")])
    stack.callback(netlink.transact, [rtnetlink.delete_link("leaked0")])
    return "leaked0"


def _held_netns(stack: ExitStack, _folder: Path) -> str:
    stack.callback(os.close, make_netns())
    return "network namespace net:"


def _named_netns(stack: ExitStack, _folder: Path) -> str:
    path = Path("/run/netns/leaked")
    path.parent.mkdir(exist_ok=True)
    path.touch()
    stack.callback(path.unlink)
    return f"network namespace {path}"


def _table(family: int) -> Leak:
    def leak(stack: ExitStack, _folder: Path) -> str:
        netlink = stack.enter_context(nftables.open_nftables())
        for method, keep in (("add_table", False), ("delete_table", True)):
            batch = nftables.Batch(family)
            getattr(batch, method)("leaked")
            if keep:
                stack.callback(batch.commit, netlink)
            else:
                batch.commit(netlink)
        return "nft table leaked"

    return leak


def _cgroup(version: int) -> Leak:
    def leak(stack: ExitStack, _folder: Path) -> str:
        found = parse_mounts(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
        top = found.v2 if version == 2 else found.v1.get("pids", "")
        if not top:
            pytest.skip(f"no cgroup of version {version} is mounted here")
        for path in (Path(top, "stackctl-leaked"), Path(top, "stackctl-leaked/inner")):
            path.mkdir()
            stack.callback(path.rmdir)
        return f"cgroup {path}"

    return leak


def _process(stack: ExitStack, _folder: Path) -> str:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    stack.enter_context(process)
    stack.callback(process.kill)
    return f"process {process.pid}"


def _engine_process(stack: ExitStack, _folder: Path) -> str:
    """One that is no child of the tests."""
    code = "import os, sys; os.fork() and os._exit(0); print(os.getpid(), flush=True); sys.stdin.read()"
    starter = subprocess.Popen(
        [sys.executable, "-c", code, "stackctl.api.daemon"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    stack.enter_context(starter)
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    stack.callback(os.kill, pid, 9)
    starter.wait()
    return f"process {pid}"


def _descriptor(stack: ExitStack, folder: Path) -> str:
    path = folder / "open"
    path.touch()
    stack.callback(os.close, os.open(path, os.O_RDONLY))
    return f"of the tests: {path}"


def _run_file(stack: ExitStack, _folder: Path) -> str:
    path = Path("/run/stackctl/leaked/api.sock")
    path.parent.mkdir(parents=True)
    path.touch()
    stack.callback(path.parent.rmdir)
    stack.callback(path.unlink)
    return f"file {path}"


_KINDS: dict[str, Leak] = {
    "mount": _mount,
    "mount over a mount": _second_mount,
    "interface": _link,
    "held network namespace": _held_netns,
    "named network namespace": _named_netns,
    "nft table ip": _table(nftables.FAMILY_IP),
    "nft table inet": _table(nftables.FAMILY_INET),
    "cgroup v1": _cgroup(1),
    "cgroup v2": _cgroup(2),
    "child process": _process,
    "engine process": _engine_process,
    "descriptor": _descriptor,
    "run file": _run_file,
}


@contextmanager
def _leaked(leak: Leak, folder: Path) -> Iterator[str]:
    with ExitStack() as stack:
        yield leak(stack, folder)


@pytest.mark.parametrize("kind", _KINDS)
def test_what_is_left_behind_is_found_and_nothing_once_it_is_gone(kind: str, tmp_path: Path) -> None:
    before = Leaks.look()

    with _leaked(_KINDS[kind], tmp_path) as expected:
        found = before.new()

    assert any(expected in thing for thing in found), found
    assert before.wait_until_gone() == []


@pytest.mark.parametrize(
    "leftover",
    [
        "containers/0123/spec.json",
        "networks/shop_default.json",
        "volumes/shop_data/_data/file",
        "trash/0123-1/upper/file",
        "contents/0123",
        "spawn.json.tmp4711",
        "code/0123456789abcdef.4711/supervisor.py",
        "images/tmp/0123/layer",
    ],
)
def test_what_is_left_below_a_state_root_is_found(leftover: str, tmp_path: Path) -> None:
    for folder in ("containers", "networks", "volumes", "trash", "contents", "images/tmp", "code/0123456789abcdef"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "images/layers/9f/tmp").mkdir(parents=True)
    (tmp_path / "images/layers/9f/tmp/of-the-image.1").touch()
    assert state_leftovers(tmp_path) == []

    (tmp_path / leftover).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / leftover).touch()

    assert [found for found in state_leftovers(tmp_path) if leftover.startswith(found)]
