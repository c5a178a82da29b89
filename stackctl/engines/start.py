"""Starting the built-in engine on demand, the way gpg-agent starts: the first command does it.

Privileges and the kernel are checked before anything is made; the keeper is spawned detached, out of the
caller's session, cgroup and environment.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any, Final

from stackctl.engines.reviving import revive
from stackctl.errors import Conflict, EngineError, EngineUnreachable, PrivilegeError
from stackctl.runtime.kernel.features import parse_without
from stackctl.runtime.paths import EnginePaths, find_engine, open_engine, write_atomically
from stackctl.wire.protocol import PROTOCOL

DEFAULT_ROOT: Final = "/var/lib/stackctl"
_CAP_SYS_ADMIN: Final = 21
_CAP_NET_ADMIN: Final = 12
_MINIMUM_KERNEL: Final = (5, 15)
_START_TIMEOUT_S: Final = 60.0
_KEEPER_S: Final = 1.0
_REVIVE_S: Final = 2.0
_POLL_S: Final = 0.005
_SCRUBBED: Final = ("PYTHON", "LD_")
_PACKAGE: Final = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
_SUPERVISOR_ROOMS: Final = ("runtime", "model", "wire")
_SUPERVISOR_FILES: Final = ("__init__.py", "errors.py", "diagnostics.py", "labels.py")


def root_of(environment: Mapping[str, str]) -> str:
    """Return the state root that ``STACKCTL_ROOT`` names, or the default."""
    return environment.get("STACKCTL_ROOT") or DEFAULT_ROOT


def engine_address(environment: Mapping[str, str]) -> str | None:
    """Return the API address (``unix:///…``) of the running engine, None when none runs. Starts nothing.

    Waits for a daemon that is about to be replaced, and for an engine that is stopping to be gone.
    """
    paths = find_engine(root_of(environment))
    if paths is None:
        return None
    if not _answers(paths):
        if not os.path.isdir(paths.run):
            return None
        with locked(paths.start_lock):
            if not comes_back(paths):
                return None
    return f"unix://{paths.api_socket}"


def known_engine(environment: Mapping[str, str]) -> str | None:
    """Return the API address of the engine, None where there never was one: then there is nothing to see.

    One that does not run is started, because only it knows what is there. Raises as ``ensure_engine``.
    """
    paths = find_engine(root_of(environment))
    if paths is None or not os.path.exists(paths.spawn):
        return None
    return ensure_engine(environment)


def ensure_engine(environment: Mapping[str, str]) -> str:
    """Return the API address of the engine, started if need be.

    Commands that race start one engine. Raises PrivilegeError, EngineError.
    """
    address = engine_address(environment)
    if address is not None:
        return address
    check_privileges()
    parse_without(environment.get("STACKCTL_WITHOUT", ""))  # said here, or the supervisor would die of it, unheard
    try:
        paths = open_engine(root_of(environment))
        paths.make()
    except OSError as error:
        raise _unusable(root_of(environment), error) from error
    with locked(paths.start_lock):
        # Order: look again under the lock; whoever held it before us may have started the engine.
        if not _answers(paths):
            _start(paths, environment)
    return f"unix://{paths.api_socket}"


def await_end(environment: Mapping[str, str]) -> None:
    """Wait until an engine that was told to stop is gone. Raises EngineError when it takes too long."""
    paths = find_engine(root_of(environment))
    deadline = time.monotonic() + _START_TIMEOUT_S
    while paths is not None and _is_locked(paths.engine_lock):
        if time.monotonic() > deadline:
            raise EngineError("the engine is still stopping", hint=f"its messages are in {paths.root}/engine.log")
        time.sleep(_POLL_S)


def check_privileges() -> None:
    """Raise PrivilegeError, naming what is missing, unless containers can be made here."""
    if sys.platform != "linux":
        raise PrivilegeError("the built-in engine needs Linux", code="no-linux")
    release = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    if release < _MINIMUM_KERNEL:
        raise PrivilegeError(
            f"Linux {os.uname().release} is too old: the built-in engine needs 5.15 or later", code="kernel-too-old"
        )
    if os.geteuid() != 0:
        raise PrivilegeError(
            "the built-in engine needs root to make namespaces, mounts and networks",
            code="missing-privilege",
            hint="run the command with sudo",
        )
    effective = _effective_capabilities()
    for number, name in ((_CAP_SYS_ADMIN, "CAP_SYS_ADMIN"), (_CAP_NET_ADMIN, "CAP_NET_ADMIN")):
        if not effective >> number & 1:
            raise PrivilegeError(
                f"the built-in engine needs {name}, which this process lacks",
                code="missing-privilege",
                hint="inside a container: run that one privileged",
            )


def _effective_capabilities() -> int:
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("CapEff:"):
                return int(line.split()[1], 16)
    return 0


def _answers(paths: EnginePaths) -> bool:
    if os.path.exists(f"{paths.run}/stopping"):
        return False  # it may still accept, but will answer nobody
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            sock.connect(paths.api_socket)
        except OSError:
            return False
    return True


def _unusable(root: str, error: OSError) -> EngineError:
    return EngineError(
        f"the state root {root} cannot be used: {error.strerror}: {error.filename}",
        code="state-root",
        hint="set STACKCTL_ROOT to a folder on a writable local file system",
    )


@contextlib.contextmanager
def locked(path: str) -> Any:
    """Hold the lock at ``path``, in the state root; one process at a time. Raises EngineError, PermissionError."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError:
        raise
    except OSError as error:
        raise _unusable(os.path.dirname(path), error) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _start(paths: EnginePaths, environment: Mapping[str, str]) -> None:
    while (lock := _take_engine_lock(paths)) is None:
        # A keeper lives. It brings supervisor and daemon back, or it is leaving: then its place is ours.
        if comes_back(paths):
            return
    paths.make()  # once more: a keeper that left took the live part with it
    _prepare(paths)
    ready_read, ready_write = os.pipe2(os.O_CLOEXEC)
    _spawn_keeper(paths, environment, lock, ready_write)
    os.close(ready_write)
    os.close(lock)
    _wait_for_keeper(ready_read, paths)
    os.close(ready_read)
    if not comes_back(paths):
        raise _not_started("the engine did not start", paths)


def _is_locked(path: str) -> bool:
    """Say whether a keeper, or who will follow it, lives. The start lock is held."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _take_engine_lock(paths: EnginePaths) -> int | None:
    fd = os.open(paths.engine_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(fd, 200, 0).decode(errors="replace").strip()
        os.close(fd)
        if not _appears(paths.processes) and _is_locked(paths.engine_lock) and not revive(paths):
            raise Conflict(
                f"the state root {paths.root} is in use by process {holder}, an engine whose sockets are not in "
                "the /run seen from here",
                code="root-in-use",
                hint="stop that engine, or give this one another STACKCTL_ROOT",
            ) from None
        return None
    return fd


def _appears(path: str) -> bool:
    """Say whether the file is there, or comes within a moment: a keeper that has just started writes it."""
    deadline = time.monotonic() + _KEEPER_S
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _prepare(paths: EnginePaths) -> None:
    for name in ("stopping", "processes.json", "exits"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{paths.run}/{name}")
    write_spawn(paths)


def write_spawn(paths: EnginePaths) -> None:
    """Write what the keeper starts: our code, copied, so that a changed or deleted installation harms nothing."""
    code = _copy_code(paths)
    python = _base_python()
    isolated = [python, "-I", "-S", "-B", "-X", "frozen_modules=on"]
    supervisor = [*isolated, f"{code}/supervisor.py", paths.root, paths.engine_id]
    keeper = [*isolated, f"{code}/stackctl/runtime/keeper.py", paths.root, paths.engine_id]
    daemon = [sys.executable, "-P", "-m", "stackctl.api.daemon", paths.root, paths.engine_id]
    shape = {"protocol": PROTOCOL, "keeper": keeper, "supervisor": supervisor, "daemon": daemon}
    write_atomically(paths.spawn, json.dumps(shape).encode())


def _base_python() -> str:
    """Return the interpreter itself, not a virtual environment's link to it."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


_ENTRY: Final = """import sys
sys.path.insert(0, {code!r})
from stackctl.runtime.supervisor import main
main(sys.argv[1:])
"""


def _copy_code(paths: EnginePaths) -> str:
    import hashlib  # with the next two 20 ms: only to start an engine, not to find it
    import shutil
    from pathlib import Path

    package = Path(_PACKAGE)
    files = [package / name for name in _SUPERVISOR_FILES]
    for room in _SUPERVISOR_ROOMS:
        files += sorted((package / room).rglob("*.py"))
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file.relative_to(package)).encode() + b"\0" + file.read_bytes())
    code = f"{paths.root}/code/{digest.hexdigest()[:16]}"
    if os.path.isdir(code):
        return code
    temporary = f"{code}.{os.getpid()}"
    for file in files:
        target = Path(temporary) / "stackctl" / file.relative_to(package)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    Path(temporary, "supervisor.py").write_text(_ENTRY.format(code=code), encoding="utf-8")
    _compile(temporary)
    os.rename(temporary, code)
    return code


def _compile(folder: str) -> None:
    import compileall  # only when the code is new to this root

    compileall.compile_dir(folder, quiet=2, optimize=0)


def _spawn_keeper(paths: EnginePaths, environment: Mapping[str, str], lock: int, ready: int) -> None:
    from stackctl.runtime import holder  # only to start an engine, not to find it

    with open(paths.spawn, "rb") as file:
        argv = json.load(file)["keeper"]
    # What an engine held that was killed whole is with its holder; -1 has the keeper begin anew.
    kept = holder.take_back(paths) or (-1, -1)
    argv += [str(fd) for fd in (lock, ready, *kept)]
    env = {key: value for key, value in environment.items() if not key.startswith(_SCRUBBED)}
    env["STACKCTL_ROOT"] = paths.root
    # Two forks: the keeper must be no child of ours, and no leader of a session that could get a terminal.
    first = os.fork()
    if first == 0:
        try:
            os.setsid()
            if os.fork():
                os._exit(0)
            _detach(paths)
            for fd in (lock, ready, *kept):
                if fd >= 0:
                    os.set_inheritable(fd, True)
            os.execve(argv[0], argv, env)
        finally:
            os._exit(127)
    os.waitpid(first, 0)
    for fd in kept:
        if fd >= 0:
            os.close(fd)


def _detach(paths: EnginePaths) -> None:
    os.chdir("/")
    os.umask(0o022)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    null = os.open("/dev/null", os.O_RDWR)
    log = os.open(f"{paths.root}/engine.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    _leave_cgroups()
    _raise_descriptor_limit()
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, 0)
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("-500")


def _raise_descriptor_limit() -> None:
    """Take all the descriptors we may have: a container needs some six, and a shell gives 1024."""
    import resource  # only to start an engine

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _leave_cgroups() -> None:
    """Move to the root cgroups: the caller's may be limited, frozen or removed when the caller ends."""
    with open("/proc/self/cgroup", encoding="utf-8", errors="replace") as file:
        lines = [line.rstrip("\n").split(":", 2) for line in file]
    for _, controllers, path in lines:
        if path == "/":
            continue
        for mount in (
            f"/sys/fs/cgroup/{controllers.removeprefix('name=')}",
            "/sys/fs/cgroup",
            "/sys/fs/cgroup/unified",
        ):
            target = f"{mount}/cgroup.procs"
            if os.path.exists(f"{mount}{path}/cgroup.procs"):
                with contextlib.suppress(OSError), open(target, "w", encoding="ascii") as procs:
                    procs.write("0")
                break


def _wait_for_keeper(ready: int, paths: EnginePaths) -> None:
    import select  # only to start an engine

    readable, _, _ = select.select([ready], [], [], _START_TIMEOUT_S)
    if not readable or os.read(ready, 1) != b"r":
        raise _not_started("the engine did not start", paths)


def comes_back(paths: EnginePaths) -> bool:
    """Wait for a daemon that answers; False once no engine lives. Raises EngineUnreachable. The start lock is held."""
    begun, due_s = time.monotonic(), _REVIVE_S
    while not _answers(paths):
        if not _is_locked(paths.engine_lock):
            return False
        waited_s = time.monotonic() - begun
        if waited_s > due_s and not os.path.exists(paths.api_socket):
            due_s += _REVIVE_S
            revive(paths)
        if waited_s > _START_TIMEOUT_S:
            raise _not_started("the engine's daemon does not answer", paths)
        time.sleep(_POLL_S)
    return True


def _not_started(what: str, paths: EnginePaths) -> EngineUnreachable:
    return EngineUnreachable(what, code="engine-start", hint=f"its messages are in {paths.root}/engine.log")
