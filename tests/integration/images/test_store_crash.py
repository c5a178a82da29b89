"""A load that is killed, or finds the disk full, leaves nothing half made, and works the next time."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from stackctl.errors import ImageError
from stackctl.images.store import ImageStore
from tests.support.engine import Engine, wait_until
from tests.support.images import Image, docker_save_archive, files_tar
from tests.support.store import NOTHING, kept, load

FILES = {f"{n % 100}/{n}": b"x" * 100 for n in range(5_000)}
BIG = Image((files_tar({"first": b"1"}), files_tar(FILES)), ("big:1",))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return docker_save_archive(tmp_path_factory.mktemp("big") / "big.tar", BIG)


def reading(root: Path) -> bool:
    """Whether a load below ``root`` has spooled something."""
    return any(path.stat().st_size > 100_000 for path in (root / "images/tmp").glob("*/[0-9]*"))


def extracting(root: Path) -> bool:
    """Whether a load below ``root`` is amid a layer."""
    return any(True for _ in (root / "images/tmp").glob("*/layer-*/fs/[1-9]*"))


def feed(stream: IO[bytes], archive: Path, share: float) -> None:
    """Write the first ``share`` of the archive, and keep the stream open."""
    data = archive.read_bytes()
    stream.write(data[: int(len(data) * share)])
    stream.flush()


@pytest.mark.parametrize(("moment", "share"), [(reading, 0.7), (extracting, 1.0)])
def test_a_killed_daemon_leaves_nothing_and_the_same_load_works_after(
    engine: Engine, archive: Path, moment: Callable[[Path], bool], share: float
) -> None:
    before = kept(engine.root)
    daemon = engine.pid("daemon")
    loading = engine.start("image", "load", stdin=subprocess.PIPE)
    assert loading.stdin is not None
    feed(loading.stdin, archive, share)
    if share == 1.0:
        loading.stdin.close()
    wait_until("the load is under way", lambda: moment(engine.root))
    os.kill(daemon, signal.SIGKILL)

    # The client is told, whether or not it has sent everything.
    assert loading.wait(20) == 1
    assert loading.stdout is not None
    assert b"closed the connection" in loading.stdout.read()
    if share < 1.0:
        with contextlib.suppress(BrokenPipeError):
            loading.stdin.close()
    wait_until("the keeper has started another daemon", lambda: _daemon_of(engine) not in (0, daemon))
    wait_until("nothing is left of the load", lambda: kept(engine.root) == before)
    assert engine.run("image", "ls", "-q").out.count("\n") == 2
    engine.run("image", "load", "-i", str(archive))
    assert engine.run("image", "inspect", "big:1").json()[0]["Id"] == BIG.id
    layers = [layer for layer in kept(engine.root)["layers"] if layer not in before["layers"]]
    files = sum(len(names) for layer in layers for _, _, names in os.walk(engine.root / "images/layers" / layer / "fs"))
    assert files == len(FILES) + 1


def _daemon_of(engine: Engine) -> int:
    """Return the daemon's process id, 0 while there is none."""
    shape = engine.run("engine", "status", "--format", "json", status=None).json()
    return int(shape.get("pids", {}).get("daemon", 0))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MB."""
    path = tmp_path / "small"
    path.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mount(b"small", os.fsencode(path), b"tmpfs", 0, b"size=6m") == 0
    yield path
    libc.umount2(os.fsencode(path), 2)


class TestAFullDisk:
    def test_while_reading_is_said_and_leaves_nothing(self, small_disk: Path, tmp_path: Path) -> None:
        store = ImageStore(str(small_disk))
        too_large = Image((files_tar({"f": os.urandom(8_000_000)}),), ("large:1",))
        self._refused(store, small_disk, docker_save_archive(tmp_path / "a.tar", too_large))

    def test_while_extracting_is_said_and_leaves_nothing(self, small_disk: Path, tmp_path: Path) -> None:
        store = ImageStore(str(small_disk))
        # The archive fits, the files do not besides.
        too_large = Image((files_tar({str(n): os.urandom(100_000) for n in range(40)}),), ("large:1",))
        self._refused(store, small_disk, docker_save_archive(tmp_path / "a.tar", too_large))

    def _refused(self, store: ImageStore, disk: Path, archive: Path) -> None:
        try:
            with pytest.raises(ImageError, match="No space left on device") as caught:
                load(store, archive)
            assert "make room" in caught.value.hint
            assert kept(disk) == NOTHING
            # What fits still comes in.
            fitting = Image((files_tar({"f": os.urandom(1_000_000)}),), ("small:1",))
            load(store, docker_save_archive(archive.with_name("b.tar"), fitting))
            assert store.inspect("small:1").id == fitting.id
        finally:
            store.close()
