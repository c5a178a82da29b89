"""Pulling by mirrors and through proxies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackctl.errors import ImageError
from stackctl.images.registry.access import Access
from stackctl.images.registry.patience import Patience
from stackctl.images.store import ImageStore
from stackctl.model.registry import Credentials
from tests.support.images import Image, files_tar
from tests.support.proxy import proxying
from tests.support.registry import Registry, Told, serving
from tests.support.store import tree

APP = Image((files_tar({"a": b"1"}), files_tar({"b": b"2"})))
SOON = Patience(attempts=1, first_pause_s=0.01)
ME = Credentials("me", "secret")


@pytest.fixture
def origin() -> Iterator[Registry]:
    with serving(Registry(login="basic", user=("me", "secret"))) as found:
        found.put(APP)
        yield found


@pytest.fixture
def mirror() -> Iterator[Registry]:
    with serving(Registry()) as found:
        found.put(APP)
        yield found


def write(root: Path, **settings: object) -> None:
    (root / "registries.json").write_text(json.dumps(settings), encoding="utf-8")


def pull(store: ImageStore, name: str, user: Credentials = ME) -> str:
    store.pull(name, "", Access(credentials=user, patience=SOON))
    return name


class TestMirrors:
    def test_are_asked_first_and_never_told_who_asks(
        self, store: ImageStore, root: Path, origin: Registry, mirror: Registry
    ) -> None:
        write(root, mirrors={origin.address: [mirror.address]})

        assert tree(store, pull(store, f"{origin.address}/app:1")) == [{"a": b"1"}, {"b": b"2"}]
        assert origin.asked == []
        assert {asked.authorization for asked in mirror.asked} == {""}
        assert {asked.query["ns"][0] for asked in mirror.asked if "/app/" in asked.path} == {origin.address}

    def test_may_lack_an_image_or_lie_about_it(
        self, store: ImageStore, root: Path, origin: Registry, mirror: Registry
    ) -> None:
        mirror.trick = lambda asked: Told(200, b"not a layer") if "/blobs/" in asked.path else None
        with serving(Registry()) as empty:
            write(root, mirrors={origin.address: [f"http://{empty.address}", mirror.address, "127.0.0.1:1"]})

            assert tree(store, pull(store, f"{origin.address}/app:1")) == [{"a": b"1"}, {"b": b"2"}]
            assert len([asked for asked in empty.asked if "/app/" in asked.path]) == 1
        assert mirror.fetched("blobs")
        assert origin.fetched("blobs")

    def test_of_docker_hub_stand_in_for_it(self, store: ImageStore, root: Path, mirror: Registry) -> None:
        mirror.put(APP, "library/app:1")
        write(root, mirrors={"docker.io": [mirror.url]})

        pull(store, "app:1", Credentials())
        image = store.resolve("app:1")
        assert image is not None
        assert store.inspect("docker.io/library/app:1").tags == ("app:1",)


class TestProxies:
    def test_lead_to_registries_with_tls(self, root: Path) -> None:
        with serving(Registry(), tls=True) as registry, proxying(int(registry.address.rpartition(":")[2])) as proxy:
            registry.put(APP)
            write(root, insecure=["registry.test"])
            store = ImageStore(str(root), variables={"HTTPS_PROXY": f"http://u:p@{proxy.address}"})
            try:
                assert tree(store, pull(store, "registry.test/app:1")) == [{"a": b"1"}, {"b": b"2"}]
            finally:
                store.close()

            assert {line.rpartition(" ")[0] for line in proxy.asked} == {"CONNECT registry.test:443"}
            assert set(proxy.authorizations) == {"Basic dTpw"}

    def test_and_without(self, store: ImageStore, root: Path, mirror: Registry) -> None:
        with proxying(int(mirror.address.rpartition(":")[2])) as proxy:
            write(root, insecure=["registry.test:5000"], proxies={"http": f"http://{proxy.address}"})

            assert tree(store, pull(store, "registry.test:5000/app:1", Credentials())) == [{"a": b"1"}, {"b": b"2"}]
            assert all(line.split()[1].startswith("http://registry.test:5000/v2/") for line in proxy.asked)

    def test_are_not_used_for_hosts_that_are_to_be_reached_directly(
        self, store: ImageStore, root: Path, mirror: Registry
    ) -> None:
        with proxying(1) as proxy:
            write(root, proxies={"http": f"http://{proxy.address}", "https": f"http://{proxy.address}"})

            pull(store, f"{mirror.address}/app:1", Credentials())
            assert proxy.asked == []

    def test_that_refuse_are_named(self, store: ImageStore, root: Path) -> None:
        with proxying(1) as proxy:
            proxy.refuses = True
            write(root, proxies={"https": f"http://me:hidden@{proxy.address}"})

            with pytest.raises(ImageError, match=rf"by the proxy {proxy.address}: .*407") as refused:
                pull(store, "registry.test/app:1", Credentials())
            assert "hidden" not in str(refused.value)
