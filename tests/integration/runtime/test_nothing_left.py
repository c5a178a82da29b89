"""What must not pile up in the engine, and what must not be taken from the container's files."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from stackctl.client.engine_client import EngineClient
from tests.support.composed import composed, one_service
from tests.support.engine import Engine, wait_until
from tests.support.images import busybox_image, docker_save_archive, entry, tar_of

_CYCLES = 50
_MANY_LAYERS = 127


def _open_descriptors(pids: dict[str, int]) -> dict[str, int]:
    return {role: len(os.listdir(f"/proc/{pid}/fd")) for role, pid in pids.items()}


def _is_at_most(now: dict[str, int], before: dict[str, int]) -> bool:
    return all(now[role] <= count for role, count in before.items())


def _resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def test_fifty_containers_leave_no_descriptor_and_no_file_behind(shared_engine: Engine, tmp_path: Path) -> None:
    settings = "command: 'true', healthcheck: {test: 'true', interval: 1s}, stdin_open: true"
    pids = shared_engine.status()["pids"]
    client = EngineClient(shared_engine.status()["api"])
    with composed(shared_engine, tmp_path / "s", one_service(settings)) as stack:
        stack.run("up", "-d")
        name = stack.row("web")["Name"]

        def cycle() -> None:
            client.start_container(name)
            client.wait_container(name)

        for _ in range(5):
            cycle()
        before, size = _open_descriptors(pids), _resident_kib(pids["supervisor"])
        for _ in range(_CYCLES):
            cycle()
        # Fewer is fine: the daemon may still have been closing a connection when they were first counted.
        wait_until("no more are open than before", lambda: _is_at_most(_open_descriptors(pids), before))
        grown = _resident_kib(pids["supervisor"]) - size

    assert grown < 1024, f"the supervisor grew by {grown} KiB"


def test_containers_made_and_removed_leave_nothing_in_the_state_root(shared_engine: Engine, tmp_path: Path) -> None:
    pids = shared_engine.status()["pids"]
    with composed(shared_engine, tmp_path / "s", one_service("command: 'true'")) as stack:
        stack.once("web", "true")
        before = _open_descriptors(pids)
        for _ in range(5):
            stack.once("web", "true")
        wait_until("the trash is empty", lambda: not os.listdir(shared_engine.root / "trash"))

        assert not os.listdir(shared_engine.root / "containers")
        assert _open_descriptors(pids) == before


_MARK = b"open('/entered', 'w').write(__name__)\nraise ImportError(__name__)\n"
_MODULES = ("traceback", "linecache", "locale", "struct", "socket", "array", "codecs", "encodings/__init__")
_MODULES += ("encodings/idna", "encodings/ascii", "encodings/latin_1", "pwd", "grp", "shutil", "stackctl/__init__")


def test_no_module_of_the_image_is_ever_imported(shared_engine: Engine, tmp_path: Path) -> None:
    """Whatever the supervisor's interpreter would look for after entering, the image has ready."""
    folders = [path.strip("/") for path in sys.path if path.startswith("/")]
    code = f"{shared_engine.root}/code".strip("/")
    folders += [code, *(f"{code}/{name}" for name in os.listdir(f"/{code}"))]
    files = {f"{folder}/{module}.py": _MARK for folder in folders for module in _MODULES}
    files["etc/nsswitch.conf"] = b"passwd: evil\ngroup: evil\n"
    image = busybox_image("evil:latest", files=files)
    shared_engine.run("image", "load", "-i", str(docker_save_archive(tmp_path / "evil.tar", image)))
    text = "name: evil\nservices: {web: {image: evil, command: sleep 1000, stop_grace_period: 0s}}\n"
    with composed(shared_engine, tmp_path / "s", text, "-d") as stack:
        for argv in (("-u", "nobodyhere"), ("-w", "/nope"), ("-u", "nobody:nogroup"), ()):
            stack.run("exec", "-T", *argv, "web", "nosuch-\xe4", status=None)
        found = stack.sh("web", "ls /entered 2>/dev/null; find / -name '*.pyc' -xdev")

        assert found == ""
        for argv in (("--user", "nobodyhere"), ("-w", "/etc/passwd"), ("-v", "/:/process/\xe4")):
            result = stack.run("run", "-T", *argv, "web", "sh", "-c", "ls /entered", status=None)
            assert result.status != 0
            assert "/entered\n" not in result.out
        for folder in (shared_engine.root / "containers").iterdir():
            assert not (folder / "upper/entered").exists()


def test_the_interpreter_behind_a_container_cannot_be_written(shared_engine: Engine) -> None:
    exe = Path(f"/proc/{shared_engine.pid('supervisor')}/exe")
    target = os.readlink(exe)
    if target.startswith("/memfd:"):
        try:
            os.close(os.open(exe, os.O_WRONLY))
        except OSError:
            return
        raise AssertionError("the sealed copy can be written")
    assert b"$ORIGIN" in exe.read_bytes(), "not sealed although it could be"


def test_an_image_may_have_as_many_layers_as_docker_allows(shared_engine: Engine, tmp_path: Path) -> None:
    base = busybox_image("tall:latest")
    layers = [
        tar_of([(entry(f"layer{number}"), b"x"), (entry("top"), b"%d" % number)]) for number in range(_MANY_LAYERS)
    ]
    image = replace(base, layers=(*base.layers, *layers[1:]))
    shared_engine.run("image", "load", "-i", str(docker_save_archive(tmp_path / "tall.tar", image)))
    text = "name: tall\nservices: {web: {image: tall, command: sleep 1000, stop_grace_period: 0s}}\n"
    with composed(shared_engine, tmp_path / "s", text, "-d") as stack:
        out = stack.sh("web", "cat /top; echo; ls / | grep -c layer; touch /written && ls /proc/1/fd").split()

    assert out == ["126", "126", "0", "1", "2"]


def test_the_image_host_shows_nothing_else_of_the_host(shared_engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "private").write_text("of the host\n")
    text = "name: hosted\nservices: {web: {image: host, command: sleep 1000, stop_grace_period: 0s}}\n"
    with composed(shared_engine, tmp_path / "s", text, "-d") as stack:
        lines = stack.exec("web", "cat", "/proc/self/mountinfo").out.splitlines()
        writable = [line.split()[4] for line in lines if "ro" not in line.split()[5].split(",")]
        top = set(stack.sh("web", "ls -A /").split())
        hidden = stack.exec("web", "ls", str(tmp_path), status=None).status
        result = stack.exec("web", "sh", "-c", "touch /usr/x; echo written > /var/x && cat /var/x", status=None)

    kernel = ("/proc", "/dev", "/sys")
    asked = {"/", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}
    assert {place for place in writable if not place.startswith(kernel)} == asked
    assert top <= {"bin", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "opt", "proc", "root", "run"} | {
        "sbin", "srv", "sys", "tmp", "usr", "var", "mnt", "media", "boot",
    }  # fmt: skip
    assert hidden != 0
    assert "Read-only file system" in result.err and result.out == "written\n"
