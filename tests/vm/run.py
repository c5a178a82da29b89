"""Run tests in a virtual machine: Debian 12's own kernel and cgroup version 2 alone, as most users have it.

    python tests/vm/run.py [PYTEST ARGUMENT…]
    python tests/vm/run.py --reboot

With ``--reboot`` it is booted twice by its systemd, and reboot.sh says whether a stack came back with the machine.

Needs mmdebstrap, e2fsprogs and qemu-system-x86; no KVM (it is slow, about ten times, and needs no privilege of
the machine). The guest's root is made once and kept in .vm/; the sources are put in anew each time. Exits with
pytest's code, or 1 when the guest ends without telling one.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

_TOP: Final = Path(__file__).resolve().parents[2]
_CACHE: Final = _TOP / ".vm"
_PACKAGES: Final = (
    "python3,python3-venv,linux-image-cloud-amd64,initramfs-tools,udev,iproute2,nftables,busybox-static,"
    "procps,curl,ca-certificates,util-linux,make,systemd-sysv"
)
_DISK_BYTES: Final = 3 << 30
_LONGEST_S: Final = 1500
_END: Final = re.compile(rb"^guest ended with (\d+)\r?$", re.MULTILINE)
_DEFAULT: Final = ("tests/e2e/test_hello.py",)
_REBOOTING: Final = "guest reboots"
_UNIT: Final = """\
[Unit]
Description=The test of reboot.sh
[Service]
Type=oneshot
Environment=PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
ExecStart=/bin/sh /src/tests/vm/reboot.sh
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
TimeoutStartSec=infinity
"""
_INIT: Final = """\
#!/bin/sh
mount -t proc proc /proc; mount -t sysfs sysfs /sys 2>/dev/null; mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /tmp
mkdir -p /dev/pts /dev/shm /run/netns; mount -t devpts devpts /dev/pts; mount -t tmpfs tmpfs /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb
ip link set lo up
hostname guest
cd /src
mkdir -p /var/tmp/pytest
echo "guest: Linux $(uname -r), cgroup controllers: $(cat /sys/fs/cgroup/cgroup.controllers)"
/opt/venv/bin/python -m pytest --basetemp=/var/tmp/pytest/run --timeout=900 -p no:cacheprovider {arguments}
echo "guest ended with $?"
sync
echo o > /proc/sysrq-trigger
sleep 60
"""


def main(arguments: list[str]) -> int:
    """Build what is missing, boot, and return the guest's exit code."""
    missing = [name for name in ("mmdebstrap", "mke2fs", "qemu-system-x86_64") if shutil.which(name) is None]
    if missing:
        print(f"the virtual machine needs {', '.join(missing)}: apt install mmdebstrap e2fsprogs qemu-system-x86")
        return 1
    root = _guest_root()
    reboots = arguments == ["--reboot"]
    _put_sources(root, arguments or list(_DEFAULT))
    _put_unit(root, is_wanted=reboots)
    disk = _CACHE / "disk.img"
    _make_disk(root, disk)
    if not reboots:
        return _exit_code(_boot(root, disk, init="/guest-init"))
    if _REBOOTING.encode() not in (said := _boot(root, disk, init="/lib/systemd/systemd")):
        return _exit_code(said)
    return _exit_code(_boot(root, disk, init="/lib/systemd/systemd"))


def _guest_root() -> Path:
    """Return the folder with the guest's files, made when the packages or our dependencies changed."""
    inputs = _PACKAGES + (_TOP / "pyproject.toml").read_text(encoding="utf-8") + sys.version
    root = _CACHE / f"root-{hashlib.sha256(inputs.encode()).hexdigest()[:12]}"
    if root.is_dir():
        return root
    shutil.rmtree(_CACHE, ignore_errors=True)
    _CACHE.mkdir()
    fresh = _CACHE / "fresh"
    # The tar form leaves no device nodes to make, which a folder would need.
    archive = _CACHE / "root.tar"
    _call("mmdebstrap", "--quiet", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", str(archive))
    fresh.mkdir()
    _call("tar", "-C", str(fresh), "--exclude=./dev/*", "-xf", str(archive))
    archive.unlink()
    _install_dependencies(fresh)
    fresh.rename(root)
    return root


def _install_dependencies(root: Path) -> None:
    wheels = root / "wheels"
    python = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    versions = ["--only-binary=:all:", "--python-version=3.11", "--implementation=cp"]
    # The guest has no network: everything comes along, for its Python.
    listing = [sys.executable, "-m", "pip", "--disable-pip-version-check", "list", "--format=freeze"]
    named = subprocess.run(listing, capture_output=True, text=True, check=True).stdout
    wanted = [line for line in named.splitlines() if not line.startswith(("stackctl", "pip=", "setuptools="))]
    _call(*python, "download", *versions, "--no-deps", "-d", str(wheels), *wanted)
    script = "python3 -m venv /opt/venv && /opt/venv/bin/pip install --quiet --no-index --no-deps /wheels/*.whl"
    _call("unshare", "--mount", "chroot", str(root), "sh", "-c", script)
    shutil.rmtree(wheels)
    (root / "opt/venv/lib/python3.11/site-packages/sources.pth").write_text("/src\n", encoding="ascii")
    command = root / "opt/venv/bin/stackctl"
    command.write_text(
        "#!/opt/venv/bin/python3\nimport sys\nfrom stackctl.cli.entry import main\nsys.exit(main())\n", encoding="ascii"
    )
    command.chmod(0o755)


def _put_sources(root: Path, arguments: list[str]) -> None:
    sources = root / "src"
    shutil.rmtree(sources, ignore_errors=True)
    ignored = shutil.ignore_patterns(".venv", ".git", ".vm", "__pycache__", ".*_cache", ".hypothesis")
    shutil.copytree(_TOP, sources, symlinks=True, ignore=ignored)
    init = root / "guest-init"
    init.write_text(_INIT.format(arguments=shlex.join(arguments)), encoding="utf-8")
    init.chmod(0o755)


def _put_unit(root: Path, *, is_wanted: bool) -> None:
    unit = root / "etc/systemd/system/guest.service"
    link = root / "etc/systemd/system/multi-user.target.wants/guest.service"
    unit.write_text(_UNIT, encoding="ascii")
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    if is_wanted:
        link.symlink_to("/etc/systemd/system/guest.service")


def _make_disk(root: Path, disk: Path) -> None:
    disk.unlink(missing_ok=True)
    with disk.open("wb") as file:
        file.truncate(_DISK_BYTES)
    _call("mke2fs", "-q", "-F", "-t", "ext4", "-d", str(root), str(disk))


def _boot(root: Path, disk: Path, *, init: str) -> bytes:
    """Boot, show what the guest says, and return it."""
    kernel, initrd = next((root / "boot").glob("vmlinuz-*")), next((root / "boot").glob("initrd.img-*"))
    argv = ["qemu-system-x86_64", "-M", "pc", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "3072"]
    argv += ["-nographic", "-no-reboot", "-nic", "none", "-kernel", str(kernel), "-initrd", str(initrd)]
    argv += ["-drive", f"file={disk},if=virtio,format=raw,cache=unsafe"]
    argv += ["-append", f"root=/dev/vda rw console=ttyS0 init={init} quiet panic=-1"]
    output = bytearray()
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as guest:
        assert guest.stdout is not None
        watchdog = threading.Timer(_LONGEST_S, guest.kill)
        watchdog.start()
        try:
            while data := guest.stdout.read1(4096):
                output += data
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
        finally:
            watchdog.cancel()
            guest.kill()
    return bytes(output)


def _exit_code(output: bytes) -> int:
    told = _END.search(output)
    if told is None:
        print("the guest ended without telling how its tests did")
        return 1
    return int(told[1])


def _call(*argv: str) -> None:
    subprocess.run(argv, check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
