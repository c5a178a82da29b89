"""What is mounted into a container: binds, volumes, tmpfs, configs and secrets, devices."""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.composed import Composed, composed, one_service
from tests.support.engine import Engine
from tests.support.images import (
    busybox_image,
    docker_save_archive,
    entry,
    tar_of,
)


def _data_layer() -> bytes:
    """/data with files of several owners, links that lead nowhere yet, and a link into /proc."""
    folder = entry("data", tarfile.DIRTYPE, mode=0o2750, uid=1000, gid=1001)
    below = entry("data/below", tarfile.DIRTYPE, mode=0o700, uid=5, gid=6)
    return tar_of(
        [
            folder,
            below,
            (entry("data/file", mode=0o4640, uid=7, gid=8), b"from the image\n"),
            entry("data/link", tarfile.SYMTYPE, linkname="file"),
            entry("dangling", tarfile.SYMTYPE, linkname="nowhere/yet"),
            entry("absolute", tarfile.SYMTYPE, linkname="/run/made/file"),
            entry("process", tarfile.SYMTYPE, linkname="/proc"),
            entry("endless", tarfile.SYMTYPE, linkname="endless"),
        ]
    )


@pytest.fixture(scope="module")
def engine(shared_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    base = busybox_image("data:latest")
    image = replace(base, layers=(*base.layers, _data_layer()))
    archive = docker_save_archive(tmp_path_factory.mktemp("images") / "data.tar", image)
    shared_engine.run("image", "load", "-i", str(archive))
    return shared_engine


_STACK = """
    name: mounts
    services:
      web:
        image: data
        command: sleep 1000
        stop_grace_period: 0s
        shm_size: 8m
        volumes:
          - ./folder:/folder
          - ./folder:/quiet:ro
          - ./file:/etc/file
          - ./file:/dangling
          - ./file:/absolute
          - ./made/by/us:/made
          - named:/data
          - {type: volume, source: plain, target: /plain, volume: {nocopy: true}}
          - {type: volume, source: named, target: /part, volume: {subpath: below, nocopy: true}}
          - named:/seen:ro
          - /anonymous
          - {type: tmpfs, target: /small, tmpfs: {size: 1m, mode: 0o750}}
        tmpfs: [/quick, "/loose:exec,size=2m,mode=700", /var, /tmp]
        devices: ["/dev/loop-control:/dev/loops:r", "/dev/full:/dev/below/full"]
        configs: [{source: c, target: /etc/c.conf, uid: "3", gid: "4", mode: 0o440}]
        secrets: [s, {source: s, target: other, uid: "1000", mode: 0o400}]
      nocopy:
        image: data
        command: sleep 1000
        stop_grace_period: 0s
        volumes: [{type: volume, source: plain, target: /data, volume: {nocopy: true}}]
    volumes: {named: {}, plain: {}}
    configs: {c: {content: "of the config\\n"}}
    secrets: {s: {file: ./file}}
"""


@pytest.fixture(scope="module")
def stack(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    folder = tmp_path_factory.mktemp("stack")
    (folder / "folder").mkdir()
    (folder / "folder/there").write_text("here\n")
    (folder / "file").write_text("one file\n")
    with composed(engine, folder, _STACK, "-d") as running:
        yield running


def _options(stack: Composed, target: str) -> set[str]:
    lines = stack.exec("web", "cat", "/proc/self/mounts").out.splitlines()
    return set([line.split()[3] for line in lines if line.split()[1] == target][-1].split(","))


def test_a_folder_is_shared_both_ways(stack: Composed) -> None:
    stack.sh("web", "echo from inside > /folder/new")

    assert stack.exec("web", "cat", "/folder/there").out == "here\n"
    assert (stack.folder / "folder/new").read_text() == "from inside\n"


def test_a_read_only_bind_cannot_be_written_or_made_writable(stack: Composed) -> None:
    result = stack.exec("web", "touch", "/quiet/x", status=1)

    assert "Read-only file system" in result.err
    assert "ro" in _options(stack, "/quiet")
    assert stack.exec("web", "mount", "-o", "remount,rw", "/quiet", status=None).status != 0


def test_a_single_file_is_shared(stack: Composed) -> None:
    stack.sh("web", "echo changed inside >> /etc/file")

    assert (stack.folder / "file").read_text().endswith("changed inside\n")


@pytest.mark.parametrize(("link", "place"), [("/dangling", "/nowhere/yet"), ("/absolute", "/run/made/file")])
def test_a_link_that_leads_nowhere_yet_is_followed_inside_the_root(stack: Composed, link: str, place: str) -> None:
    assert stack.exec("web", "readlink", link).out.strip() in place
    assert stack.exec("web", "cat", place).out.startswith("one file\n")
    assert not Path(place).exists()


def test_a_missing_source_folder_is_made(stack: Composed) -> None:
    assert (stack.folder / "made/by/us").is_dir()


def test_a_new_volume_gets_what_the_image_has_there_with_owners_and_modes(stack: Composed) -> None:
    out = stack.sh("web", "cd /data; stat -c '%n %a %u:%g' . below file; cat link; readlink link")

    assert out.splitlines() == [". 2750 1000:1001", "below 700 5:6", "file 4640 7:8", "from the image", "file"]


def test_a_volume_without_copy_stays_empty(stack: Composed) -> None:
    assert stack.exec("nocopy", "ls", "-A", "/data").out == ""


def test_a_volume_with_content_is_not_filled_again(engine: Engine, tmp_path: Path) -> None:
    text = """
        name: again
        services: {web: {image: data, command: sleep 1000, stop_grace_period: 0s, volumes: ["vol:/data"]}}
        volumes: {vol: {}}
    """
    with composed(engine, tmp_path / "s", text, "-d") as stack:
        stack.sh("web", "rm /data/file; echo mine > /data/own")

        stack.run("up", "-d", "--force-recreate")

        assert stack.sh("web", "ls /data").split() == ["below", "link", "own"]


def test_a_part_of_a_volume_can_be_mounted(stack: Composed) -> None:
    stack.sh("web", "touch /part/x")

    assert stack.sh("web", "ls /data/below").split() == ["x"]
    assert "Read-only file system" in stack.exec("web", "touch", "/seen/x", status=1).err


def test_a_part_of_a_volume_never_leaves_it(engine: Engine, tmp_path: Path) -> None:
    text = """
        name: escape
        services:
          first: {image: busybox, command: ln -s / /v/out, volumes: ["vol:/v"]}
          second:
            image: busybox
            command: sleep 1000
            stop_grace_period: 0s
            volumes: [{type: volume, source: vol, target: /v, volume: {subpath: out}}]
            depends_on: {first: {condition: service_completed_successfully}}
        volumes: {vol: {}}
    """
    with composed(engine, tmp_path / "s", text, "-d") as stack:
        assert stack.sh("second", "ls -A /v").split() == ["out"]


def test_an_anonymous_volume_goes_with_its_container(engine: Engine, tmp_path: Path) -> None:
    text = "name: anon\nservices: {web: {image: data, command: sleep 9, stop_grace_period: 0s, volumes: [/data]}}"
    folder = engine.root / "volumes"
    before = set(os.listdir(folder))
    with composed(engine, tmp_path / "s", text, "-d") as stack:
        assert stack.exec("web", "cat", "/data/file").out == "from the image\n"
        assert len(set(os.listdir(folder)) - before) == 1

    assert set(os.listdir(folder)) == before


def test_a_tmpfs_has_its_size_and_mode_and_runs_nothing(stack: Composed) -> None:
    assert {"size=1024k", "mode=750", "nosuid", "nodev", "noexec"} <= _options(stack, "/small")
    assert "size=" not in ",".join(_options(stack, "/quick"))
    loose = _options(stack, "/loose")
    assert {"size=2048k", "mode=700"} <= loose and "noexec" not in loose
    assert "size=8192k" in _options(stack, "/dev/shm")
    out = stack.exec("web", "dd", "if=/dev/zero", "of=/small/x", "bs=64k", "count=32", status=1)
    assert "No space left" in out.err


def test_a_tmpfs_without_a_mode_has_that_of_the_image_or_is_everybodys(stack: Composed) -> None:
    assert stack.sh("web", "stat -c %a /quick /var /tmp").split() == ["1777", "755", "1777"]


def test_devices_have_the_name_and_the_rights_asked_for(stack: Composed) -> None:
    assert stack.sh("web", "stat -c %t:%T /dev/loops; exec 3</dev/loops && echo open").split() == ["a:ed", "open"]
    assert "Operation not permitted" in stack.exec("web", "sh", "-c", "echo > /dev/loops", status=1).err
    assert "No space left" in stack.exec("web", "sh", "-c", "echo > /dev/below/full", status=1).err


def test_devices_not_asked_for_cannot_be_used(stack: Composed) -> None:
    script = "mknod /x b 7 0 && mknod /y c 1 1 && (head -c 1 /x; head -c 1 /y); true"

    assert stack.exec("web", "sh", "-c", script).err.count("Operation not permitted") == 2


def test_a_device_that_is_not_there_is_named(engine: Engine, tmp_path: Path) -> None:
    with composed(engine, tmp_path / "s", one_service("command: sleep 9, devices: [/dev/nosuch]")) as stack:
        result = stack.run("up", "-d", status=None)

    assert result.status != 0
    assert "cannot use device /dev/nosuch: No such file or directory" in result.err


def test_configs_and_secrets_are_files_with_owner_and_mode(stack: Composed) -> None:
    paths = "/etc/c.conf /run/secrets/s /run/secrets/other"
    out = stack.sh("web", f"stat -c '%a %u:%g' {paths}; cat /etc/c.conf; head -n 1 /run/secrets/s")

    assert out.splitlines() == ["440 3:4", "444 0:0", "400 1000:0", "of the config", "one file"]
    assert "ro" in _options(stack, "/run/secrets/s")


@pytest.mark.parametrize("target", ["/proc", "/proc/sys/kernel", "/sys/fs", "/process/net"])
def test_nothing_is_mounted_over_proc_and_sys(engine: Engine, tmp_path: Path, target: str) -> None:
    text = f"name: over\nservices: {{web: {{image: data, command: sleep 9, volumes: ['./x:{target}']}}}}"
    with composed(engine, tmp_path / "s", text) as stack:
        result = stack.run("up", "-d", status=None)

    assert result.status != 0
    assert "nothing may be mounted over /proc or /sys" in result.err


def test_an_endless_link_is_an_error(engine: Engine, tmp_path: Path) -> None:
    text = "name: endless\nservices: {web: {image: data, command: sleep 9, volumes: ['./x:/endless/y']}}"
    with composed(engine, tmp_path / "s", text) as stack:
        result = stack.run("up", "-d", status=None)

    assert result.status != 0
    assert "Too many levels of symbolic links" in result.err


def test_a_missing_source_is_an_error_where_it_may_not_be_made(engine: Engine, tmp_path: Path) -> None:
    text = """
        name: missing
        services:
          web:
            image: busybox
            command: sleep 9
            volumes: [{type: bind, source: ./nope, target: /x, bind: {create_host_path: false}}]
    """
    with composed(engine, tmp_path / "s", text) as stack:
        result = stack.run("up", "-d", status=None)

    assert result.status != 0
    assert f"bind source path does not exist: {tmp_path}/s/nope" in result.err


@pytest.fixture
def shared_mount(tmp_path: Path) -> Iterator[Path]:
    """A host mount whose events its peers receive."""
    place = tmp_path / "shared"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "test", str(place)], check=True)
    try:
        subprocess.run(["mount", "--make-shared", str(place)], check=True)
        yield place
    finally:
        subprocess.run(["umount", "-R", str(place)], check=True)


def test_mounts_travel_as_the_propagation_says(engine: Engine, tmp_path: Path, shared_mount: Path) -> None:
    service = "image: busybox, command: sleep 1000, stop_grace_period: 0s, cap_add: [SYS_ADMIN]"
    bind = f"type: bind, source: {shared_mount}, target: /m, bind: {{propagation: %s}}"
    kinds = ("rprivate", "rslave", "rshared")
    services = "".join(f"  {kind}: {{{service}, volumes: [{{{bind % kind}}}]}}\n" for kind in kinds)
    with composed(engine, tmp_path / "s", f"name: travel\nservices:\n{services}", "-d") as stack:
        for name in ("host", *kinds):
            (shared_mount / name).mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "test", str(shared_mount / "host")], check=True)
        for kind in kinds:
            stack.exec(kind, "mount", "-t", "tmpfs", "test", f"/m/{kind}")
        from_host = [k for k in kinds if " /m/host " in stack.exec(k, "cat", "/proc/self/mounts").out]
        to_host = [k for k in kinds if os.path.ismount(shared_mount / k)]

    assert (from_host, to_host) == (["rslave", "rshared"], ["rshared"])


_OPTIONS = """
    name: options
    services:
      web: &it
        image: data
        command: sleep 1000
        stop_grace_period: 0s
        volumes: ["mem:/mem", "over:/over", "bound:/bound"]
      other: *it
    volumes:
      mem: {driver: local, driver_opts: {type: tmpfs, device: tmpfs, o: "size=1m,uid=1000,noexec"}}
      over:
        driver_opts: {type: overlay, device: x, o: "lowerdir=%(d)s/low,upperdir=%(d)s/up,workdir=%(d)s/work"}
      bound: {driver_opts: {type: none, device: "%(d)s/low", o: "bind,ro"}}
"""


def test_volumes_are_file_systems_with_options_and_shared(engine: Engine, tmp_path: Path) -> None:
    for name in ("low", "up", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "low" / "file").write_text("low\n")
    with composed(engine, tmp_path / "s", _OPTIONS % {"d": tmp_path}, "-d") as stack:
        mounts = stack.sh("web", "grep -E ' /(mem|over|bound) ' /proc/mounts").splitlines()
        stack.sh("web", "echo new >/mem/note; echo new >/over/file; ! touch /bound/x 2>/dev/null")
        seen = stack.sh("other", "cat /mem/note /over/file /bound/file; stat -c %u /mem; df -k /mem | tail -n 1")
        stack.run("restart", "web")
        kept = stack.sh("web", "cat /mem/note")
        stack.run("stop")
        stack.run("start")
        lost = stack.sh("web", "ls /mem; cat /over/file")

    assert [line.split()[2] for line in mounts[:2]] == ["tmpfs", "overlay"]
    assert "noexec" in mounts[0].split()[3].split(",") and "ro" in mounts[2].split()[3].split(",")
    assert seen.split()[:4] == ["new", "new", "low", "1000"] and seen.split()[5] == "1024"
    assert (kept, lost) == ("new\n", "new\n")
    assert (tmp_path / "up" / "file").read_text() == "new\n"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("{type: tmpfs}", "has driver options and no device"),
        ("{type: nfs, device: ':/x', o: 'addr=nas.local,rw'}", "has addr=nas.local, which is no address"),
        ("{type: nosuch, device: tmpfs}", "cannot be mounted: No such device"),
    ],
)
def test_a_volume_that_cannot_be_mounted_says_why(engine: Engine, tmp_path: Path, options: str, why: str) -> None:
    text = one_service("command: sleep 1000, volumes: ['vol:/v']") + f"volumes: {{vol: {{driver_opts: {options}}}}}\n"
    with composed(engine, tmp_path / "s", text) as stack:
        assert why in stack.run("up", "-d", status=1).err


_INHERITED = """
    name: inherited
    services:
      data: {image: data, command: sleep 1000, stop_grace_period: 0s, volumes: ["named:/named", "/anonymous", "./f:/f"]}
      user:
        image: busybox
        command: sleep 1000
        stop_grace_period: 0s
        volumes_from: ["data:ro"]
        volumes: ["own:/named"]
      last: {image: busybox, command: sleep 1000, stop_grace_period: 0s, volumes_from: [user]}
    volumes: {named: , own: }
"""


def test_volumes_are_taken_from_other_services_but_where_there_are_own_ones(engine: Engine, tmp_path: Path) -> None:
    with composed(engine, tmp_path / "s", _INHERITED, "-d") as stack:
        stack.sh("data", "echo of-data | tee /named/x /anonymous/x /f/x")
        seen = stack.sh("last", "cat /anonymous/x /f/x; ls /named; touch /f/y 2>&1; touch /named/y")
        again = stack.run("plan").out

    assert seen.split()[:2] == ["of-data", "of-data"]
    assert "Read-only file system" in seen and "x\n" not in seen.partition("of-data\nof-data\n")[2]
    assert "nothing to do" in again


@pytest.mark.parametrize(
    ("recursive", "below", "is_writable"),
    [("enabled", "low", False), ("writable", "low", True), ("disabled", "", False)],
)
def test_what_is_mounted_below_a_bind_comes_along_as_asked(
    engine: Engine, tmp_path: Path, recursive: str, below: str, is_writable: bool
) -> None:
    top, low = tmp_path / "top", tmp_path / "low"
    (top / "in").mkdir(parents=True)
    low.mkdir()
    (low / "low").touch()
    bind = f"{{type: bind, source: {top}, target: /top, read_only: true, bind: {{recursive: {recursive}, selinux: z}}}}"
    subprocess.run(["mount", "--bind", str(low), str(top / "in")], check=True)
    try:
        with composed(engine, tmp_path / "s", one_service(f"command: sleep 1000, volumes: [{bind}]")) as stack:
            script = "ls /top/in; (touch /top/x || touch /top/in/x) 2>/dev/null && echo written; true"
            seen = stack.once("web", "sh", "-c", script)
    finally:
        subprocess.run(["umount", str(top / "in")], check=True)

    assert seen.out.split() == [*([below] if below else []), *(["written"] if is_writable else [])]
