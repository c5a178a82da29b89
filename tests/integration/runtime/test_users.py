"""Users and groups, looked up in the image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.composed import Composed, composed
from tests.support.engine import Engine
from tests.support.images import busybox_image, docker_save_archive

_FILES = {
    "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\nbroken\n\n",
    "etc/group": b"root:x:0:\nalice:x:1000:\nmail:x:8:alice\naudio:x:29:bob,alice\ndisk:x:6:\n",
}


@pytest.fixture(scope="module")
def stack(shared_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    folder = tmp_path_factory.mktemp("users")
    images = [
        busybox_image("people:latest", files=_FILES),
        busybox_image("asalice:latest", files=_FILES, User="alice"),
    ]
    shared_engine.run("image", "load", "-i", str(docker_save_archive(folder / "people.tar", *images)))
    text = """
        name: users
        services:
          web: {image: people, command: sleep 1000, stop_grace_period: 0s}
          more: {image: people, command: sleep 1000, user: alice, group_add: ["77", disk], stop_grace_period: 0s}
          image: {image: asalice, command: sleep 1000, working_dir: /home/alice/work, stop_grace_period: 0s}
    """
    with composed(shared_engine, folder / "stack", text, "-d") as running:
        yield running


@pytest.mark.parametrize(
    ("user", "uid", "gid", "groups", "home"),
    [
        ("alice", "1000", "1000", {"1000", "8", "29"}, "/home/alice"),
        ("1000", "1000", "1000", {"1000", "8", "29"}, "/home/alice"),
        ("alice:mail", "1000", "8", {"8"}, "/home/alice"),
        ("1000:6", "1000", "6", {"6"}, "/home/alice"),
        ("5555", "5555", "0", {"0"}, "/"),
        ("5555:5556", "5555", "5556", {"5556"}, "/"),
        (":mail", "0", "8", {"8"}, "/root"),
        ("root", "0", "0", {"0"}, "/root"),
    ],
)
def test_a_user_is_looked_up_in_the_image(
    stack: Composed, user: str, uid: str, gid: str, groups: set[str], home: str
) -> None:
    script = "id -u; id -g; sed -n 's/^Groups:\\s*//p' /proc/self/status; echo $HOME"
    out = stack.run("exec", "-T", "-u", user, "web", "sh", "-c", script).out.splitlines()

    assert (out[0], out[1], set(out[2].split()), out[3]) == (uid, gid, groups, home)


def test_the_first_process_has_the_services_user_and_added_groups(stack: Composed) -> None:
    out = stack.sh("more", "grep -E '^(Uid|Gid|Groups):' /proc/1/status")

    lines = dict(line.split(":\t") for line in out.splitlines())
    assert lines["Uid"].split() == ["1000"] * 4
    assert lines["Gid"].split() == ["1000"] * 4
    assert set(lines["Groups"].split()) == {"1000", "8", "29", "77", "6"}


def test_the_images_user_is_taken_where_the_service_names_none(stack: Composed) -> None:
    assert stack.exec("image", "id", "-un").out == "alice\n"
    assert stack.exec("image", "pwd").out == "/home/alice/work\n"


def test_every_user_can_open_the_standard_streams_anew(stack: Composed) -> None:
    assert stack.once("more", "sh", "-c", "echo out > /dev/stdout; echo err > /dev/stderr").out == "out\n"


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ("nobodyhere", "unable to find user nobodyhere: no matching entries in passwd file"),
        ("alice:nogroup", "unable to find group nogroup: no matching entries in group file"),
        ("99999999999", "uids and gids must be in range 0-2147483647"),
    ],
)
def test_an_unknown_user_is_a_clear_error(stack: Composed, user: str, message: str) -> None:
    entering = stack.run("exec", "-T", "-u", user, "web", "true", status=None)
    starting = stack.run("run", "--rm", "-T", "--user", user, "web", "true", status=None)

    assert entering.status != 0 and message in entering.err
    assert starting.status != 0 and message in starting.err


@pytest.mark.parametrize("trick", ["mkfifo /etc/passwd", "ln -s /dev/zero /etc/passwd", "mkdir /etc/passwd"])
def test_a_passwd_that_is_no_file_is_as_none(stack: Composed, trick: str) -> None:
    stack.sh("web", f"cp /etc/passwd /p; rm -r /etc/passwd; {trick}")
    try:
        assert stack.run("exec", "-T", "-u", "1000", "web", "id", "-g").out == "0\n"
        assert stack.run("exec", "-T", "-u", "alice", "web", "id", status=None).status != 0
    finally:
        stack.sh("web", "rm -r /etc/passwd; mv /p /etc/passwd")


def test_a_passwd_outside_the_root_is_not_reached_by_a_link(stack: Composed) -> None:
    outside = Path(stack.folder, "passwd")
    outside.write_text("eve:x:4242:4242::/:/bin/sh\n")
    stack.sh("web", f"cp /etc/passwd /p; ln -sf ../../../../..{outside} /etc/passwd")
    try:
        assert stack.run("exec", "-T", "-u", "eve", "web", "id", status=None).status != 0
    finally:
        stack.sh("web", "rm /etc/passwd; mv /p /etc/passwd")
