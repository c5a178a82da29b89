"""Archives that lie, break off or mean harm: refused, in words, with nothing of them left."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackctl.errors import ImageError
from stackctl.images.store import ImageStore
from tests.support.images import (
    Image,
    digest,
    docker_save_archive,
    entry,
    files_tar,
    oci_archive,
    old_docker_save_archive,
    tar_of,
)
from tests.support.store import NOTHING, kept, load
from tests.support.zstd import zstd

LAYER = files_tar({"etc/one": b"1" * 5000, "bin/tool": b"tool" * 3000})
OTHER = files_tar({"etc/evil": b"evil"})
GOOD = Image((LAYER,), ("app:1",), {"Cmd": ["/bin/tool"]})
Members = dict[str, bytes]


def members(path: Path) -> Members:
    found: Members = {}
    with tarfile.open(path) as tar:
        for info in tar:
            file = tar.extractfile(info)
            assert file is not None
            found[info.name] = file.read()
    return found


def refused(store: ImageStore, root: Path, data: bytes) -> ImageError:
    """Load ``data``, which must fail and leave nothing of itself."""
    with pytest.raises(ImageError) as caught:
        store.load(io.BytesIO(data))
    assert kept(root) == NOTHING
    assert [image.tags for image in store.list()] == [("host:latest",)]
    assert store.resolve("app:1") is None
    assert "\n" not in caught.value.message
    return caught.value


def blob(content: bytes) -> str:
    return f"blobs/sha256/{digest(content)[7:]}"


class TestWhatIsNotWhatItSays:
    def test_a_layer_that_is_not_its_diff_id(self, store: ImageStore, root: Path, tmp_path: Path) -> None:
        found = members(old_docker_save_archive(tmp_path / "a.tar", GOOD))
        (layer,) = (name for name in found if name.endswith("layer.tar"))
        assert refused(store, root, files_tar({**found, layer: OTHER})).code == "digest-mismatch"

    @pytest.mark.parametrize(
        ("write", "which"),
        [
            (docker_save_archive, "layer"),
            (docker_save_archive, "configuration"),
            (oci_archive, "layer"),
            (oci_archive, "configuration"),
            (oci_archive, "manifest"),
        ],
    )
    def test_a_blob_that_is_not_its_name(
        self, store: ImageStore, root: Path, tmp_path: Path, write: Callable[..., Path], which: str
    ) -> None:
        found = members(write(tmp_path / "a.tar", GOOD))
        layers = [name for name in found if found[name] in (LAYER, gzip.compress(LAYER, mtime=0))]
        configurations = [name for name in found if found[name] == GOOD.document]
        manifests = [name for name in found if name.startswith("blobs/") and name not in (*layers, *configurations)]
        names = {"layer": layers, "configuration": configurations, "manifest": manifests}[which]
        (name,) = names
        assert refused(store, root, files_tar({**found, name: found[name] + b" "})).code == "digest-mismatch"

    def test_a_layer_whose_bytes_are_right_and_whose_content_is_not(
        self, store: ImageStore, root: Path, tmp_path: Path
    ) -> None:
        # Each digest in the manifest is right; only the configuration's diff_id is another layer's.
        liar = Image((LAYER,), ("app:1",))
        found = members(oci_archive(tmp_path / "a.tar", liar, compress=lambda _: gzip.compress(OTHER, mtime=0)))
        assert refused(store, root, files_tar(found)).code == "digest-mismatch"

    def test_a_size_that_is_wrong(self, store: ImageStore, root: Path, tmp_path: Path) -> None:
        found = members(oci_archive(tmp_path / "a.tar", GOOD))
        index = json.loads(found["index.json"])
        index["manifests"][0]["size"] += 1
        found["index.json"] = json.dumps(index).encode()
        assert refused(store, root, files_tar(found)).code == "digest-mismatch"

    def test_a_digest_that_leads_elsewhere(self, store: ImageStore, root: Path, tmp_path: Path) -> None:
        for wrong in ("sha256:../../../../etc/passwd", "md5:0123", "sha256:" + "A" * 64, "x"):
            found = members(oci_archive(tmp_path / "a.tar", GOOD))
            index = json.loads(found["index.json"])
            index["manifests"][0]["digest"] = wrong
            found["index.json"] = json.dumps(index).encode()
            assert refused(store, root, files_tar(found))

    def test_names_of_files_that_lead_out_of_the_archive(self, store: ImageStore, root: Path, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_bytes(LAYER)
        up = "../" * 20 + str(secret).lstrip("/")
        for path in (str(secret), up, "link"):
            manifest = [{"Config": "config.json", "RepoTags": ["app:1"], "Layers": [path]}]
            entries = [
                entry("link", tarfile.SYMTYPE, linkname=str(secret)),
                entry("link2", tarfile.LNKTYPE, linkname=up),
                (entry("config.json"), GOOD.document),
                (entry("manifest.json"), json.dumps(manifest).encode()),
            ]
            assert refused(store, root, tar_of(entries)).code == "archive-incomplete"
        assert secret.read_bytes() == LAYER


class TestWhatBreaksOff:
    @pytest.mark.parametrize("write", [docker_save_archive, old_docker_save_archive, oci_archive])
    @pytest.mark.parametrize("compress", [bytes, gzip.compress, zstd])
    def test_anywhere(
        self,
        store: ImageStore,
        root: Path,
        tmp_path: Path,
        write: Callable[..., Path],
        compress: Callable[[bytes], bytes],
    ) -> None:
        whole = write(tmp_path / "a.tar", GOOD).read_bytes()
        end = len(whole.rstrip(b"\0"))
        data = compress(whole)
        last = end if compress is bytes else len(data) - 1
        for part in range(12):
            refused(store, root, data[: last * part // 12])
        refused(store, root, data[:last])

    def test_a_layer_cut_short_inside_a_whole_archive(self, store: ImageStore, root: Path, tmp_path: Path) -> None:
        path = oci_archive(tmp_path / "a.tar", GOOD, compress=lambda layer: gzip.compress(layer, mtime=0)[:-20])
        assert refused(store, root, path.read_bytes()).code == "archive-corrupt"

    def test_a_reader_that_fails(self, store: ImageStore, root: Path, tmp_path: Path) -> None:
        data = docker_save_archive(tmp_path / "a.tar", GOOD).read_bytes()

        class Failing(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                if self.tell() > 6000:
                    raise ConnectionResetError("gone")
                return super().read(min(size or 0, 4096))

        with pytest.raises(ImageError, match="image store"):
            store.load(Failing(data))
        assert kept(root) == NOTHING


class TestWhatIsNoArchive:
    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\0" * 1024,
            b"hello" * 1000,
            os.urandom(4096),
            b"\x1f\x8b" + os.urandom(500),
            b"\x28\xb5\x2f\xfd" + os.urandom(500),
            gzip.compress(b"not a tar"),
            files_tar({"etc/passwd": b"a root file system"}),
        ],
        ids=["nothing", "zeros", "text", "noise", "gzip noise", "zstd noise", "gzipped text", "root tar"],
    )
    def test_is_refused(self, store: ImageStore, root: Path, data: bytes) -> None:
        assert refused(store, root, data)

    def test_a_root_tar_is_pointed_to_import(self, store: ImageStore, root: Path) -> None:
        assert "import" in refused(store, root, files_tar({"etc/passwd": b""})).hint

    @pytest.mark.parametrize(
        "manifest",
        [
            b"{",
            b"[" * 100_000,
            b"null",
            b'"x"',
            b"[1]",
            b"[{}]",
            b'[{"Config": 1}]',
            b'[{"Config": "c", "Layers": 1}]',
            b'[{"Config": "c", "Layers": ["l", "l"]}]',
            b'[{"Config": "c", "Layers": ["l"], "RepoTags": ["UPPER"]}]',
            b'[{"Config": "c", "Layers": ["l"], "RepoTags": ["a@sha256:' + b"0" * 64 + b'"]}]',
            b"\xff\xfe",
        ],
    )
    def test_a_manifest_that_makes_no_sense(self, store: ImageStore, root: Path, manifest: bytes) -> None:
        data = files_tar({"manifest.json": manifest, "c": GOOD.document, "l": LAYER})
        assert refused(store, root, data)

    @pytest.mark.parametrize(
        "change",
        [
            {"rootfs": None},
            {"rootfs": {"diff_ids": ["sha256:0"]}},
            {"rootfs": {"diff_ids": "x"}},
            {"rootfs": {"diff_ids": ["../../x"]}},
            {"config": []},
            {"config": {"Cmd": 7}},
            {"config": {"Env": {"A": "b"}}},
            {"config": {"Healthcheck": {"Test": ["CMD", "x"], "Interval": "5s"}}},
        ],
    )
    def test_a_configuration_that_makes_no_sense(self, store: ImageStore, root: Path, change: dict[str, Any]) -> None:
        document = json.dumps({**json.loads(GOOD.document), **change}).encode()
        manifest = json.dumps([{"Config": "c", "RepoTags": ["app:1"], "Layers": ["l"]}]).encode()
        assert refused(store, root, files_tar({"manifest.json": manifest, "c": document, "l": LAYER}))

    @pytest.mark.parametrize("what", ["itself", "a chain"])
    def test_indexes_without_end(self, store: ImageStore, root: Path, what: str) -> None:
        inner = json.dumps({"schemaVersion": 2, "manifests": []}).encode()
        found: Members = {}
        for _ in range(3 if what == "itself" else 20):
            found[blob(inner)] = inner
            kind = "application/vnd.oci.image.index.v1+json"
            descriptor = {"mediaType": kind, "digest": digest(inner), "size": len(inner)}
            inner = json.dumps(
                {"schemaVersion": 2, "manifests": [descriptor] * (300 if what == "itself" else 1)}
            ).encode()
        assert refused(store, root, files_tar({**found, "index.json": inner}))

    def test_more_json_than_anybody_needs(self, store: ImageStore, root: Path) -> None:
        assert (
            refused(store, root, gzip.compress(files_tar({"manifest.json": b" " * 9_000_000}))).code
            == "image-too-large"
        )


class TestLayersThatMeanHarm:
    @pytest.fixture
    def victim(self, tmp_path: Path) -> Path:
        path = tmp_path / "victim"
        path.mkdir()
        (path / "file").write_bytes(b"untouched")
        return path

    def test_reach_nothing_outside(self, store: ImageStore, root: Path, tmp_path: Path, victim: Path) -> None:
        link = entry("l", tarfile.SYMTYPE, linkname=str(victim))
        attacks = [
            [(entry("../../../victim/file"), b"evil")],
            [(entry(f"{victim}/file"), b"evil")],
            [link, (entry("l/file"), b"evil")],
            [link, entry("h", tarfile.LNKTYPE, linkname="l/file"), (entry("h"), b"evil")],
            [entry("h", tarfile.LNKTYPE, linkname=f"{victim}/file")],
            [link, (entry("l/.wh.file"), b"")],
            [entry("d", tarfile.DIRTYPE), (entry("d/x"), b""), entry("d", tarfile.SYMTYPE, linkname=str(victim)),
             (entry("d/file"), b"evil")],
        ]  # fmt: skip
        for attack in attacks:
            image = Image((LAYER, tar_of(attack)), ("app:1",))
            refused(store, root, docker_save_archive(tmp_path / "a.tar", image).read_bytes())
        assert ((victim / "file").read_bytes(), os.listdir(victim)) == (b"untouched", ["file"])

    def test_a_good_first_image_does_not_get_in_with_a_bad_second(
        self, store: ImageStore, root: Path, tmp_path: Path
    ) -> None:
        bad = Image((tar_of([(entry("../x"), b"")]),), ("bad:1",))
        refused(store, root, docker_save_archive(tmp_path / "a.tar", GOOD, bad).read_bytes())

    def test_a_bad_archive_leaves_what_was_there(self, store: ImageStore, root: Path, tmp_path: Path) -> None:
        load(store, docker_save_archive(tmp_path / "a.tar", GOOD))
        before = kept(root)
        bad = Image((LAYER, tar_of([(entry("../x"), b"")])), ("app:1",))
        with pytest.raises(ImageError):
            load(store, docker_save_archive(tmp_path / "b.tar", bad))
        assert kept(root) == before
        assert store.inspect("app:1").id == GOOD.id
