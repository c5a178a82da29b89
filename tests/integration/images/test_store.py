"""The image store: archives of every form come in whole, and leave whole."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stackctl.errors import Conflict, ImageError, NotFound
from stackctl.images.platform import host_platform
from stackctl.images.removal import ImageUser
from stackctl.images.store import ImageStore
from tests.support.images import (
    Image,
    docker_save_archive,
    entry,
    files_tar,
    oci_archive,
    oci_index_archive,
    old_docker_save_archive,
    tar_of,
)
from tests.support.store import NOTHING, kept, load, tree
from tests.support.zstd import zstd

BASE = files_tar({"etc/one": b"1", "bin/tool": b"tool"})
TOP = files_tar({"etc/two": b"2"})
HERE = host_platform().architecture
Compress = Callable[[bytes], bytes]
Write = Callable[..., Path]
COMPRESSORS: list[Compress] = [bytes, gzip.compress, zstd, bz2.compress, lzma.compress]


def image(*layers: bytes, name: str = "app:1", architecture: str = HERE) -> Image:
    return Image(layers or (BASE, TOP), (name,) if name else (), {"Cmd": ["/bin/tool"]}, architecture)


def oci_index(path: Path, *images: Image) -> Path:
    return oci_index_archive(path, images[0].names[0], *images)


@pytest.mark.parametrize("write", [docker_save_archive, old_docker_save_archive, oci_archive, oci_index])
@pytest.mark.parametrize("compress", COMPRESSORS)
def test_an_archive_of_every_form_loads(
    store: ImageStore, root: Path, tmp_path: Path, write: Write, compress: Compress
) -> None:
    archive = write(tmp_path / "a.tar", image())
    archive.write_bytes(compress(archive.read_bytes()))

    assert load(store, archive) == ["app:1"]

    found = store.resolve("app:1")
    assert found is not None
    assert (found.id, found.config.cmd) == (image().id, ("/bin/tool",))
    assert tree(store, "app:1") == [{"etc/one": b"1", "bin/tool": b"tool"}, {"etc/two": b"2"}]
    assert kept(root)["tmp"] == []


@pytest.mark.parametrize("compress", COMPRESSORS)
def test_layers_may_be_compressed_in_any_way(store: ImageStore, tmp_path: Path, compress: Compress) -> None:
    load(store, oci_archive(tmp_path / "a.tar", image(), compress=compress))
    assert tree(store, "app:1") == [{"etc/one": b"1", "bin/tool": b"tool"}, {"etc/two": b"2"}]


def test_one_archive_may_hold_several_images(store: ImageStore, tmp_path: Path) -> None:
    second = image(BASE, name="registry.example/x/y:2")
    assert load(store, docker_save_archive(tmp_path / "a.tar", image(), second)) == ["app:1", "registry.example/x/y:2"]
    assert {name for stored in store.list() for name in stored.tags} == {
        "app:1",
        "registry.example/x/y:2",
        "host:latest",
    }


def test_an_image_without_a_name_is_found_by_its_id(store: ImageStore, tmp_path: Path) -> None:
    assert load(store, oci_archive(tmp_path / "a.tar", image(name=""))) == [""]
    assert store.inspect(image().id[7:19]).tags == ()


class TestPlatforms:
    OTHER = "arm64" if HERE == "amd64" else "amd64"

    @pytest.fixture
    def archive(self, tmp_path: Path) -> Path:
        foreign = image(TOP, architecture=self.OTHER)
        return oci_index_archive(tmp_path / "a.tar", "app:1", foreign, image())

    def test_that_of_this_machine_is_taken(self, store: ImageStore, archive: Path) -> None:
        load(store, archive)
        assert store.inspect("app:1").id == image().id

    def test_another_is_taken_on_demand(self, store: ImageStore, archive: Path) -> None:
        load(store, archive, f"linux/{self.OTHER}")
        assert tree(store, "app:1") == [{"etc/two": b"2"}]
        assert store.resolve("app:1", f"linux/{HERE}") is None

    def test_one_that_is_missing_is_refused_naming_what_is_there(
        self, store: ImageStore, archive: Path, root: Path
    ) -> None:
        with pytest.raises(ImageError, match="linux/s390x") as caught:
            load(store, archive, "linux/s390x")
        assert f"linux/{HERE}" in f"{caught.value.message} {caught.value.hint}"
        assert kept(root) == NOTHING


@pytest.mark.parametrize("compress", COMPRESSORS)
def test_a_root_tar_is_imported(store: ImageStore, compress: Compress) -> None:
    image_id = store.import_tar(io.BytesIO(compress(BASE)), name="imported", changes=['CMD ["/bin/tool"]', "ENV A=b"])
    found = store.resolve("imported:latest")
    assert found is not None
    assert (found.id, found.config.cmd, found.config.env) == (image_id, ("/bin/tool",), ("A=b",))
    assert tree(store, "imported") == [{"etc/one": b"1", "bin/tool": b"tool"}]


def test_a_layer_that_several_images_have_is_kept_once_and_as_long_as_one_has_it(
    store: ImageStore, root: Path, tmp_path: Path
) -> None:
    first, second = image(BASE, TOP), image(BASE, name="other:1")
    load(store, docker_save_archive(tmp_path / "a.tar", first, second))
    assert len(kept(root)["layers"]) == 2

    assert store.remove("app:1")[1][0] == first.id
    assert tree(store, "other:1") == [{"etc/one": b"1", "bin/tool": b"tool"}]
    assert len(kept(root)["layers"]) == 1
    store.remove("other:1")
    assert kept(root) == NOTHING


def test_a_second_load_changes_nothing(store: ImageStore, root: Path, tmp_path: Path) -> None:
    archive = docker_save_archive(tmp_path / "a.tar", image())
    load(store, archive)
    layers = {path: path.stat().st_ino for path in (root / "images/layers").iterdir()}
    load(store, archive)
    assert {path: path.stat().st_ino for path in (root / "images/layers").iterdir()} == layers
    assert len(store.list()) == 2


def test_a_new_image_takes_the_name_of_the_old_one(store: ImageStore, tmp_path: Path) -> None:
    load(store, docker_save_archive(tmp_path / "a.tar", image(BASE)))
    load(store, docker_save_archive(tmp_path / "b.tar", image(TOP)))
    assert tree(store, "app:1") == [{"etc/two": b"2"}]
    assert store.inspect(image(BASE).id).tags == ()


def test_a_store_that_is_opened_again_has_everything(store: ImageStore, root: Path, tmp_path: Path) -> None:
    load(store, docker_save_archive(tmp_path / "a.tar", image()))
    again = ImageStore(str(root))
    try:
        assert [stored.tags for stored in again.list()] == [stored.tags for stored in store.list()]
        assert tree(again, "app:1") == tree(store, "app:1")
    finally:
        again.close()


class TestInUse:
    users: list[ImageUser]

    @pytest.fixture
    def used(self, root: Path, tmp_path: Path) -> Iterator[ImageStore]:
        self.users = []
        store = ImageStore(str(root), users_of=lambda image_id: self.users if image_id == image().id else ())
        load(store, docker_save_archive(tmp_path / "a.tar", image()))
        yield store
        store.close()

    def test_by_a_running_container_it_is_not_removed(self, used: ImageStore) -> None:
        self.users.append(ImageUser("0123456789abcdef", is_running=True))
        for reference, force in (("app:1", False), (image().id, False), (image().id, True)):
            with pytest.raises(Conflict, match="0123456789ab"):
                used.remove(reference, force=force)
        assert tree(used, "app:1")

    def test_by_a_stopped_one_force_takes_the_name_and_leaves_the_image(self, used: ImageStore) -> None:
        self.users.append(ImageUser("0123456789abcdef", is_running=False))
        with pytest.raises(Conflict):
            used.remove("app:1")
        assert used.remove("app:1", force=True) == (("app:1",), ())
        assert tree(used, image().id)

    def test_of_two_names_one_may_go(self, used: ImageStore) -> None:
        self.users.append(ImageUser("0123456789abcdef", is_running=True))
        used.tag("app:1", "app:2")
        assert used.remove("app:1") == (("app:1",), ())
        assert tree(used, "app:2")


def test_what_is_not_there_cannot_be_removed(store: ImageStore) -> None:
    with pytest.raises(NotFound, match="nosuch:latest"):
        store.remove("nosuch")


def test_the_built_in_image_cannot_be_removed_or_renamed_or_replaced(store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(Conflict):
        store.remove("host", force=True)
    with pytest.raises(ImageError):
        store.tag("host", "other")
    with pytest.raises(ImageError):
        load(store, docker_save_archive(tmp_path / "a.tar", image(name="host:latest")))


@pytest.mark.parametrize("stores", ["one", "several"])
def test_loads_of_the_same_layers_at_once_all_succeed_and_do_the_work_once(
    store: ImageStore, root: Path, tmp_path: Path, stores: str
) -> None:
    files = {f"{n % 50}/{n}": os.urandom(100) for n in range(2000)}
    layer = files_tar(files)
    archives = [docker_save_archive(tmp_path / f"{n}.tar", image(layer, name=f"app:{n}")) for n in range(4)]
    opened = [store if stores == "one" else ImageStore(str(root)) for _ in archives]
    failures: list[BaseException] = []

    def run(at: int) -> None:
        try:
            load(opened[at], archives[at])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(at,)) for at in range(len(archives))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in opened:
        if other is not store:
            other.close()

    assert failures == []
    assert store.inspect("app:0").tags == tuple(f"app:{n}" for n in range(4))
    assert tree(store, "app:3") == [files]
    assert len(kept(root)["layers"]) == 1
    assert kept(root)["tmp"] == []
    assert os.listdir(root / "images/locks") in (["sweep"], [])


def test_removing_while_loading_leaves_every_image_whole(store: ImageStore, root: Path, tmp_path: Path) -> None:
    layer = files_tar({f"{n}": b"x" for n in range(500)})
    keeping = docker_save_archive(tmp_path / "keep.tar", image(layer, name="keep:1"))
    going = docker_save_archive(tmp_path / "go.tar", image(layer, TOP, name="go:1"))
    stop = threading.Event()

    def churn() -> None:
        other = ImageStore(str(root))
        while not stop.is_set():
            load(other, going)
            other.remove("go:1")
        other.close()

    churning = threading.Thread(target=churn)
    churning.start()
    try:
        for _ in range(6):
            load(store, keeping)
            assert len(tree(store, "keep:1")[0]) == 500
            store.remove("keep:1")
    finally:
        stop.set()
        churning.join()
    load(store, keeping)
    assert len(tree(store, "keep:1")[0]) == 500


def test_names_of_every_kind_and_length_come_back(store: ImageStore, tmp_path: Path) -> None:
    long = "/".join(["n" * 250] * 16)
    assert 4000 < len(long) < 4096
    names = [long, "ünï/çødé/日本語", "a b", "new\nline", "-rf", "back\\slash", "\udcff\udcfe"]
    load(store, docker_save_archive(tmp_path / "a.tar", image(files_tar({name: b"x" for name in names}))))
    found = store.resolve("app:1")
    assert found is not None
    (folder,) = store.layers_of(found.id)
    for name in names:
        # Longer than a path may be with the folder before it: reached part by part, as a container does.
        at = os.open(folder, os.O_RDONLY)
        *parents, last = os.fsencode(name).split(b"/")
        for part in parents:
            below = os.open(part, os.O_RDONLY, dir_fd=at)
            os.close(at)
            at = below
        assert os.stat(last, dir_fd=at).st_size == 1
        os.close(at)
    store.remove("app:1")


def test_a_sparse_gigabyte_takes_no_room(store: ImageStore, root: Path) -> None:
    buffer = io.BytesIO()
    info = entry("hole", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"})
    info.pax_headers["GNU.sparse.realsize"] = str(1024**3)
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        content = b"1\n0\n4\n".ljust(512, b"\0") + b"data"
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    store.import_tar(io.BytesIO(buffer.getvalue()), name="sparse")
    (layer,) = kept(root)["layers"]
    status = (root / "images/layers" / layer / "fs/hole").stat()
    assert (status.st_size, status.st_blocks < 64) == (1024**3, True)


def test_devices_and_set_id_bits_come_only_where_nobody_else_can_reach_them(store: ImageStore, root: Path) -> None:
    tar = tar_of([(entry("su", mode=0o4755), b"x"), entry("mem", tarfile.CHRTYPE, mode=0o666, devmajor=1, devminor=1)])
    store.import_tar(io.BytesIO(tar), name="x")
    assert (root / "images").stat().st_mode & 0o077 == 0
