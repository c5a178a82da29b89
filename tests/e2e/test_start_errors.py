"""Whatever a container cannot be started for, the error points at the place in the stack file that asked for it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.engine import Engine, Result
from tests.support.stack import FOREVER, Stack, stack_in


class Case(NamedTuple):
    """Settings of a service, with marks around what is pointed at; the headline, and what is said below."""

    settings: str
    headline: str
    said: str


_START, _CANNOT = "error[container-start]: Container cannot be started", "container {name} cannot be started: "
_NO_COMMAND = "hint: check command and entrypoint, and that the image holds the program and its interpreter"
_NAMESPACED = (
    "hint: only net.* of an own network, and kernel.msg*, kernel.sem, kernel.shm* and fs.mqueue.* of an own ipc "
    "namespace can be set"
)
_CASES = {
    "bind source": Case(
        "volumes:\n  - ./ok:/ok\n  - «/proc/none/x:/data»",
        "error[bind-source-missing]: Bound path does not exist",
        "container {name}: bind source path cannot be made: /proc/none: No such file or directory",
    ),
    "bind target": Case(
        "volumes: [./ok:/ok, «./ok:/bin/busybox/x»]",
        _START,
        _CANNOT + "mount: /bin/busybox/x: Not a directory",
    ),
    "bind over kernel files": Case(
        "volumes: [«./ok:/proc/sys»]",
        _START,
        _CANNOT + "mount: /proc/sys: nothing may be mounted over /proc or /sys: /proc/sys",
    ),
    "folder over a file": Case(
        "volumes: [«./ok:/bin/busybox»]", _START, _CANNOT + "mount: /bin/busybox: Not a directory"
    ),
    "subpath": Case(
        "volumes:\n  - «t»ype: volume\n    source: data\n    target: /d\n    volume: {subpath: no/such}",
        _START,
        _CANNOT + "mount: /d: no/such: No such file or directory",
    ),
    "tmpfs": Case("tmpfs:\n  - /ok\n  - «/t:uid=abc»", _START, _CANNOT + "mount: /t: Invalid argument"),
    "secret target": Case(
        "secrets:\n  - «s»ource: token\n    target: /bin/busybox/x",
        _START,
        _CANNOT + "mount: /bin/busybox/x: Not a directory",
    ),
    "config target": Case(
        "configs: [token, «{»source: token, target: /bin/busybox/x}]",
        _START,
        _CANNOT + "mount: /bin/busybox/x: Not a directory",
    ),
    "shm_size": Case("shm_size: «-5»", _START, _CANNOT + "mount: /dev/shm: Invalid argument"),
    "device that is not there": Case(
        "devices:\n  - /dev/null:/dev/x\n  - «/dev/nothing:/dev/y»",
        "error[device-missing]: Device cannot be used",
        "cannot use device /dev/nothing: No such file or directory",
    ),
    "no device": Case(
        "devices: [«/etc/passwd:/dev/y»]",
        "error[device-missing]: Device cannot be used",
        "container {name}: /etc/passwd is not a device",
    ),
    "device target": Case(
        "devices: [/dev/null:/dev/x, «/dev/null:/dev/x/y»]",
        _START,
        _CANNOT + "device: x/y: /dev/x: Not a directory",
    ),
    "ipc sysctl": Case(
        "sysctls:\n  net.core.somaxconn: 3\n  kernel.msgmax: «abc»",
        _START,
        _CANNOT + "sysctl: kernel.msgmax: Invalid argument",
    ),
    "net sysctl": Case(
        "sysctls: [«net.ipv4.ip_forward=abc»]",
        _START,
        "sysctl net.ipv4.ip_forward cannot be set to 'abc': Invalid argument",
    ),
    "sysctl of the machine": Case(
        "ipc: host\nsysctls: {kernel.msgmax: «5»}",
        "error[sysctl-not-namespaced]: Setting belongs to the whole machine",
        "container {name}: sysctl kernel.msgmax is not of a container's own namespaces\n" + _NAMESPACED,
    ),
    "ulimit": Case(
        "ulimits:\n  nproc: 100\n  nofile: «99999999999»",
        _START,
        _CANNOT + "resource limit: nofile: not allowed to raise maximum limit",
    ),
    "ulimit that is none": Case(
        "ulimits: {nofiles: «3»}",
        "error[unknown-ulimit]: Resource limit is not possible",
        "container {name}: unknown ulimit 'nofiles'",
    ),
    "working directory": Case(
        "working_dir: «/bin/busybox»", _START, _CANNOT + "working directory: /bin/busybox: Not a directory"
    ),
    "user": Case(
        "user: «nobodyhere»",
        "error[user-not-found]: User is unknown in the image",
        _CANNOT + "unable to find user nobodyhere: no matching entries in passwd file",
    ),
    "group": Case(
        'group_add: ["5", «nogrouphere»]',
        "error[user-not-found]: User is unknown in the image",
        _CANNOT + "unable to find group nogrouphere: no matching entries in group file",
    ),
    "capability": Case(
        "cap_add: [CHOWN, «SYS_NOTHING»]",
        "error[unknown-capability]: Capability is not possible",
        "container {name}: unknown capability 'SYS_NOTHING'",
    ),
    "dropped capability": Case(
        "cap_drop:\n  - «NOTHING»",
        "error[unknown-capability]: Capability is not possible",
        "container {name}: unknown capability 'NOTHING'",
    ),
    "container name": Case(
        f"container_name: «{'c' * 256}»",
        "error[invalid-name]: A step of the plan failed",
        f"invalid container name: '{'c' * 256}'",
    ),
    "command": Case(
        "«command»: nothing here",
        "error[command-not-found]: Command not found in the image",
        _CANNOT + "command not found in the image: nothing\n" + _NO_COMMAND,
    ),
    "entrypoint": Case(
        "«entrypoint»: [nothing]\ncommand: [here]",
        "error[command-not-found]: Command not found in the image",
        _CANNOT + "command not found in the image: nothing\n" + _NO_COMMAND,
    ),
    "command that is a folder": Case(
        "«command»: /etc",
        "error[command-not-executable]: Command cannot be executed",
        _CANNOT + "command is not executable: /etc",
    ),
    "stop signal": Case(
        "stop_signal: «SIGNOTHING»",
        "error[unknown-signal]: A step of the plan failed",
        "container {name}: invalid signal: SIGNOTHING",
    ),
    "pids": Case(
        "deploy: {resources: {limits: {pids: «99999999999»}}}",
        "error[limit]: Limit cannot be set",
        "cannot set pids.max to 99999999999: Invalid argument",
    ),
    "cpuset": Case(
        'cpuset: «"999"»',
        "error[limit]: Limit cannot be set",
        "cannot set cpuset.cpus to 999: Numerical result out of range",
    ),
    "address outside": Case(
        "networks:\n  default:\n  fixed: {ipv4_address: «10.99.0.5»}",
        "error[bad-address]: Address cannot be given",
        "address 10.99.0.5 is not in the subnet 10.98.0.0/24",
    ),
    "address of the gateway": Case(
        "networks: {fixed: {ipv4_address: «10.98.0.1»}}",
        "error[address-taken]: Address is taken",
        "address 10.98.0.1 is the gateway of 10.98.0.0/24",
    ),
    "mac address": Case(
        'networks: {fixed: {mac_address: «"01:00:00:00:00:01"»}}',
        "error[bad-address]: Address cannot be given",
        "mac_address '01:00:00:00:00:01' is a group address; the first number of a MAC address must be even",
    ),
    "port": Case(
        'ports:\n  - "8000"\n  - «"10.9.9.9:80:80"»',
        "error[port-unavailable]: A step of the plan failed",
        "cannot publish on 10.9.9.9:80: 10.9.9.9 is no address of this host",
    ),
}
_TOP = """\
networks:
  default:
  fixed: {ipam: {config: [{subnet: 10.98.0.0/24}]}}
volumes: {data: }
secrets: {token: {file: ./compose.yaml}}
configs: {token: {file: ./compose.yaml}}
"""


_COMMAND = "command: sleep 1000"


def _marked_text() -> str:
    """Return the stack file, marks and all, with a service for each case, ``s0`` and on."""
    lines = ["name: start", "services:"]
    for number, case in enumerate(_CASES.values()):
        bare = case.settings.replace("«", "")
        command = [] if re.search("^command", bare, flags=re.MULTILINE) else [_COMMAND]
        lines.append(f"  s{number}:")
        own = ["image: busybox", "stop_grace_period: 0s", *command, *case.settings.splitlines()]
        lines += [f"    {line}" for line in own]
    return "\n".join(lines) + "\n" + _TOP


@pytest.fixture(scope="module")
def stack(shared_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack_in(shared_engine, tmp_path_factory.mktemp("start"), "start") as made:
        made.file.write_text(re.sub("[«»]", "", _marked_text()), encoding="utf-8")
        yield made


@pytest.fixture(scope="module")
def said(stack: Stack) -> dict[int, str]:
    """What one `up` says of all of them, by the line that is pointed at."""
    return _blocks(stack.run("up", "-d", status=1))


def _blocks(failed: Result) -> dict[int, str]:
    blocks = re.split(r"^(?=error\[)", failed.err, flags=re.MULTILINE)[1:]
    found = {int(block.partition("compose.yaml:")[2].partition(":")[0] or 0): block for block in blocks}
    assert len(found) == len(blocks), failed
    return found


@pytest.mark.parametrize("name", _CASES)
def test_the_place_that_asked_for_what_failed_is_shown(said: dict[int, str], name: str) -> None:
    number, case = list(_CASES).index(name), _CASES[name]
    lines = _marked_text().splitlines()
    above = lines.index(f"  s{number}:")
    line = next(at for at, text in enumerate(lines, 1) if at > above and "«" in text)
    before, _, rest = lines[line - 1].partition("«")
    pointed_at, _, after = rest.partition("»")

    assert (
        said.get(line, "\n".join(said.values()))
        == f"""\
{case.headline}
  --> compose.yaml:{line}:{len(before) + 1}
{line:>5} | {before}{pointed_at}{after}
      | {" " * len(before)}{"^" * len(pointed_at)}
{case.said.format(name=f"start-s{number}-1")}
"""
    )


def test_start_points_at_the_same_places(stack: Stack, said: dict[int, str]) -> None:
    found = _blocks(stack.run("start", status=1))
    assert len(found) > 25
    assert found == {line: said.get(line) for line in found}


def test_restart_points_at_the_place_that_asked_for_what_is_gone(shared_engine: Engine, tmp_path: Path) -> None:
    with stack_in(shared_engine, tmp_path, "again") as stack:
        source = tmp_path / "source"
        source.touch()
        stack.write({"web": {**FOREVER, "volumes": ["/tmp:/other", f"{source}:/data"]}})
        stack.run("up", "-d")
        source.unlink()
        source.mkdir()
        failed = stack.run("restart", status=1).err
        source.rmdir()
    assert f'"{source}:/data"' in failed
    assert "mount: /data: Not a directory" in failed


def test_run_points_at_the_stack_file_but_not_for_what_the_command_line_decides(stack: Stack) -> None:
    number = list(_CASES).index("working directory")
    name = f"s{number}"
    failed = stack.run("run", "--rm", "-T", name, "true", status=1).err
    assert "compose.yaml:" in failed
    assert "working_dir: /bin/busybox\n" in failed
    failed = stack.run("run", "--rm", "-T", "-w", "/etc/passwd", name, "true", status=1).err
    assert "compose.yaml" not in failed
    assert "working directory: /etc/passwd" in failed


_MISFITS = """\
name: misfits
services:
  ok: {image: busybox, volumes: ["data:/data"]}
  cpus: {image: busybox, cpus: 1000}
  few: {image: busybox, deploy: {resources: {limits: {cpus: "0.00001"}}}}
  memory: {image: busybox, mem_limit: 1m}
  folder: {image: busybox, working_dir: data}
  long: {image: busybox, hostname: LONG}
  name: {image: busybox, hostname: "two words"}
  domain: {image: busybox, domainname: LONG}
volumes:
  data: {driver_opts: {colour: blue}}
  unused: {driver_opts: {type: nfs, device: ":/x"}}
""".replace("LONG", "h" * 65)


def test_what_this_machine_cannot_give_is_said_of_all_before_anything_is_made(
    shared_engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "compose.yaml").write_text(_MISFITS, encoding="utf-8")

    said = shared_engine.run("up", "-d", cwd=tmp_path, status=None)

    pointed_at = [int(line) for line in re.findall(r"^  --> compose.yaml:(\d+):", said.err, flags=re.MULTILINE)]
    assert said.status != 0
    assert pointed_at == [4, 5, 6, 7, 8, 9, 10, 12], said
    assert f"cpus cannot have 1000 CPUs: this machine can give from 0.01 to {len(os.sched_getaffinity(0))}" in said.err
    assert "memory cannot run in 1048576 bytes of memory: the least limit is 6 MiB" in said.err
    assert "volume misfits_data has no driver option 'colour'" in said.err
    assert shared_engine.run("ps", "-aq", cwd=tmp_path).out == ""
    assert shared_engine.run("plan", cwd=tmp_path, status=None).err == said.err
    shared_engine.run("config", "-q", cwd=tmp_path)
