"""docker-py's calls for containers."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator

import docker as docker_py
import pytest
from docker.errors import APIError, ContainerError, ImageNotFound, NotFound
from docker.models.containers import Container

from tests.support.engine import wait_until


@pytest.fixture(scope="module", autouse=True)
def _made_once(shared_engine: object, module_client: docker_py.DockerClient) -> None:
    """What an engine makes with its first container on the default network."""
    del shared_engine
    module_client.containers.run("busybox", "true", remove=True)


@pytest.fixture(scope="module")
def module_client(shared_engine: object) -> Iterator[docker_py.DockerClient]:
    """A client for what all tests share."""
    made = docker_py.DockerClient(base_url=str(shared_engine.status()["api"]))  # type: ignore[attr-defined]
    yield made
    made.close()


@pytest.fixture
def box(client: docker_py.DockerClient) -> Iterator[Container]:
    """A container that runs for a while."""
    made = client.containers.run(
        "busybox", ["sleep", "300"], name="box", detach=True, labels={"l": "m"}, stop_signal="KILL"
    )
    try:
        yield made
    finally:
        made.remove(force=True, v=True)


def test_run_returns_what_was_written(client: docker_py.DockerClient) -> None:
    assert client.containers.run("busybox", ["echo", "hi"], remove=True) == b"hi\n"
    assert client.containers.run("busybox", "sh -c 'echo err >&2'", remove=True, stderr=True, stdout=False) == b"err\n"
    with pytest.raises(ContainerError) as failed:
        client.containers.run("busybox", ["sh", "-c", "echo why >&2; exit 3"], remove=True)
    assert (failed.value.exit_status, failed.value.stderr) == (3, b"why\n")


def test_what_is_missing_is_told_by_kind(client: docker_py.DockerClient, box: Container) -> None:
    del box
    with pytest.raises(NotFound):
        client.containers.get("nobody")
    with pytest.raises(ImageNotFound):
        client.containers.create("nothing-of-the-kind", "true")
    with pytest.raises(APIError) as taken:
        client.containers.create("busybox", "true", name="box")
    assert taken.value.status_code == 409


def test_containers_are_found_by_what_they_carry(client: docker_py.DockerClient, box: Container) -> None:
    assert [found.id for found in client.containers.list(filters={"label": ["l=m"], "status": ["running"]})] == [box.id]
    assert client.containers.list(filters={"label": "l=other"}) == []
    assert client.containers.get("box").labels == {"l": "m"}
    assert client.containers.list(filters={"ancestor": "busybox"})


def test_exec_in_all_its_forms(box: Container) -> None:
    assert box.exec_run("sh -c 'echo out; exit 4'") == (4, b"out\n")
    code, (out, err) = box.exec_run(["sh", "-c", "echo out; echo err >&2"], demux=True)
    assert (code, out, err) == (0, b"out\n", b"err\n")
    assert box.exec_run("echo hi", tty=True).output == b"hi\r\n"
    assert b"".join(box.exec_run("seq 3", stream=True).output) == b"1\n2\n3\n"
    _, socket = box.exec_run("cat", stdin=True, socket=True)
    socket._sock.sendall(b"typed")
    assert b"typed" in socket._sock.recv(100)
    socket.close()


def test_every_byte_of_a_quick_answer_arrives(box: Container) -> None:
    for number in range(10):
        assert box.exec_run(f"echo {number}").output == b"%d\n" % number


def test_attach_and_logs(client: docker_py.DockerClient) -> None:
    made = client.containers.create("busybox", ["sh", "-c", "echo one; echo two"])
    try:
        attached = made.attach(stream=True)
        made.start()
        assert b"".join(attached) == b"one\ntwo\n"
        made.wait()
        assert made.logs() == b"one\ntwo\n"
        assert made.logs(tail=1) == b"two\n"
        assert b"".join(made.logs(stream=True)) == b"one\ntwo\n"
        assert made.attach(logs=True, stream=False) == b"one\ntwo\n"
    finally:
        made.remove()


def test_archives_go_both_ways(box: Container) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        member = tarfile.TarInfo("file")
        member.size = 4
        tar.addfile(member, io.BytesIO(b"text"))
    assert box.put_archive("/tmp", packed.getvalue())

    chunks, told = box.get_archive("/tmp/file")

    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        read = tar.extractfile("file")
        assert read is not None
        assert read.read() == b"text"
    assert (told["name"], told["size"]) == ("file", 4)
    assert {"Path": "/tmp/file", "Kind": 1} in box.diff()


def test_the_rest_of_a_containers_life(client: docker_py.DockerClient, box: Container) -> None:
    box.pause()
    box.reload()
    assert box.status == "paused"
    box.unpause()
    box.update(mem_limit="64m", memswap_limit="64m")
    box.rename("other")
    assert client.containers.get("other").attrs["HostConfig"]["Memory"] == 64 << 20
    assert box.top()["Processes"][0][-1] == "sleep 300"
    assert box.stats(stream=False)["memory_stats"]["limit"] == 64 << 20
    assert next(box.stats(stream=True, decode=True))["name"] == "/other"
    box.restart(timeout=0)
    box.kill()
    assert box.wait()["StatusCode"] == 137
    box.start()
    box.stop(timeout=0)
    wait_until("it has ended", lambda: client.containers.get("other").status == "exited")
