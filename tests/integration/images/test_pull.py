"""Pulling from a registry: what comes is what was asked for, or nothing does."""

from __future__ import annotations

import gzip
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stackctl.errors import ImageError, NotFound
from stackctl.images.platform import host_platform
from stackctl.images.registry.access import Access
from stackctl.images.registry.patience import Patience
from stackctl.images.store import ImageStore
from stackctl.model.registry import Credentials, PullProgress
from tests.support.images import Image, digest, files_tar
from tests.support.registry import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEX,
    MANIFEST,
    Asked,
    Registry,
    Told,
    serving,
)
from tests.support.store import NOTHING, kept, tree
from tests.support.zstd import zstd

HERE = host_platform().architecture
OTHER = "arm64" if HERE == "amd64" else "amd64"
BASE = files_tar({"etc/one": b"1", "bin/tool": os.urandom(300_000)})
TOP = files_tar({"etc/two": b"2"})
APP = Image((BASE, TOP), (), {"Cmd": ["/bin/tool"]}, HERE)
SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"
SOON = Patience(attempts=3, first_pause_s=0.01, longest_s=2.0)


@pytest.fixture
def registry() -> Iterator[Registry]:
    with serving(Registry()) as found:
        found.put(APP, compress=gzip.compress)
        yield found


def access(user: tuple[str, str] = ("", ""), **options: object) -> Access:
    return Access(credentials=Credentials(*user), patience=SOON, **options)  # type: ignore[arg-type]


def pull(store: ImageStore, registry: Registry, name: str = "app:1", platform: str = "", **options: object) -> str:
    """Pull, and return the id of what came."""
    return store.pull(f"{registry.address}/{name}", platform, access(**options)).id  # type: ignore[arg-type]


def refused(store: ImageStore, root: Path, registry: Registry, name: str = "app:1") -> ImageError | NotFound:
    """Pull, which must fail and leave nothing."""
    with pytest.raises((ImageError, NotFound)) as caught:
        pull(store, registry, name)
    assert kept(root) == NOTHING
    assert store.resolve(f"{registry.address}/{name}") is None
    return caught.value


def on(path: str, *answers: Told | None, method: str = "GET") -> Callable[[Asked], Told | None]:
    """Answer requests whose path holds ``path`` with these, the last one from then on; None is the truth."""
    left = list(answers)

    def trick(asked: Asked) -> Told | None:
        if path not in asked.path or asked.method != method:
            return None
        return left.pop(0) if len(left) > 1 else left[0]

    return trick


class TestWhatComes:
    @pytest.mark.parametrize("kind", [MANIFEST, DOCKER_MANIFEST])
    @pytest.mark.parametrize(
        ("compress", "layer_kind"),
        [
            (bytes, "application/vnd.oci.image.layer.v1.tar"),
            (gzip.compress, "application/vnd.docker.image.rootfs.diff.tar.gzip"),
            (zstd, "application/vnd.oci.image.layer.v1.tar+zstd"),
        ],
    )
    def test_is_an_image_with_its_layers(
        self,
        store: ImageStore,
        root: Path,
        registry: Registry,
        kind: str,
        compress: Callable[[bytes], bytes],
        layer_kind: str,
    ) -> None:
        manifest = registry.put(APP, "some/app:2", compress=compress, kind=kind, layer_kind=layer_kind)

        assert pull(store, registry, "some/app:2") == APP.id

        name = f"{registry.address}/some/app"
        assert [len(layer) for layer in tree(store, f"{name}:2")] == [2, 1]
        stored = store.inspect(f"{name}:2")
        assert (stored.tags, stored.digests) == ((f"{name}:2",), (f"{name}@{digest(manifest)}",))
        assert kept(root)["tmp"] == []

    @pytest.mark.parametrize("kind", [INDEX, DOCKER_INDEX])
    def test_is_of_this_machine_s_platform_or_the_one_asked_for(
        self, store: ImageStore, registry: Registry, kind: str
    ) -> None:
        foreign = Image((TOP,), (), {}, OTHER)
        index = registry.put_index("many:1", [foreign, APP], kind=kind)
        assert pull(store, registry, "many:1") == APP.id
        assert store.inspect(f"{registry.address}/many:1").digests == (f"{registry.address}/many@{digest(index)}",)
        assert pull(store, registry, "many:1", f"linux/{OTHER}") == foreign.id
        with pytest.raises(ImageError, match="does not exist for linux/s390x") as caught:
            pull(store, registry, "many:1", "linux/s390x")
        assert HERE in caught.value.hint
        assert OTHER in caught.value.hint

    def test_an_index_may_lead_to_another(self, store: ImageStore, registry: Registry) -> None:
        inner = registry.put_index("deep:inner", [APP])
        entry = {"mediaType": INDEX, "digest": digest(inner), "size": len(inner)}
        registry.put_manifest("deep", "1", {"manifests": [entry]}, INDEX)
        assert pull(store, registry, "deep:1") == APP.id

    def test_by_digest_it_has_that_name_alone(self, store: ImageStore, registry: Registry) -> None:
        manifest = registry.put(APP, "other:1")
        name = f"other@{digest(manifest)}"
        assert pull(store, registry, name) == APP.id
        assert (store.inspect(APP.id).tags, store.inspect(APP.id).digests) == ((), (f"{registry.address}/{name}",))

    def test_is_told_of_while_it_comes(self, store: ImageStore, registry: Registry) -> None:
        told: list[PullProgress] = []
        pull(store, registry, tell=told.append)
        layer = registry.fetched("blobs")
        assert {len(progress.id) for progress in told} == {12}
        first = told[0].id
        assert any(first in path for path in layer)
        course = [progress.status for progress in told if progress.id == first]
        assert list(dict.fromkeys(course)) == [
            "Pulling fs layer",
            "Downloading",
            "Download complete",
            "Extracting",
            "Pull complete",
        ]
        assert all(progress.current <= progress.total for progress in told)

    def test_what_is_here_is_not_fetched_again(self, store: ImageStore, registry: Registry) -> None:
        first = store.pull(f"{registry.address}/app:1", "", access())
        registry.asked.clear()
        again = store.pull(f"{registry.address}/app:1", "", access())
        assert (first.is_new, again.is_new, again.id) == (True, False, first.id)
        assert [asked.method for asked in registry.asked if "/manifests/" in asked.path] == ["HEAD"]
        assert registry.fetched("blobs") == []

    def test_a_layer_that_another_image_brought_is_not_fetched_again(
        self, store: ImageStore, registry: Registry
    ) -> None:
        pull(store, registry)
        registry.asked.clear()
        third = files_tar({"etc/three": b"3"})
        registry.put(Image((BASE, TOP, third), (), {}, HERE), "more:1")
        pull(store, registry, "more:1")
        assert len(registry.fetched("blobs")) == 2  # the configuration and one layer
        assert [len(layer) for layer in tree(store, f"{registry.address}/more:1")] == [2, 1, 1]

    def test_a_tag_that_has_moved_brings_the_new_image(self, store: ImageStore, registry: Registry) -> None:
        pull(store, registry)
        newer = Image((TOP,), (), {}, HERE)
        registry.put(newer)
        found = store.find_remote(f"{registry.address}/app:1", "", access())
        assert (found.id, found.remote_digest) == (
            newer.id,
            digest(registry.manifests["app", "1"][1]),
        )
        assert pull(store, registry) == newer.id
        assert store.inspect(APP.id).tags == ()

    def test_a_look_at_the_registry_fetches_no_layers(self, store: ImageStore, root: Path, registry: Registry) -> None:
        found = store.find_remote(f"{registry.address}/app:1", "", access())
        assert (found.id, found.config.cmd) == (APP.id, ("/bin/tool",))
        assert found.remote_digest == digest(registry.manifests["app", "1"][1])
        assert len(registry.fetched("blobs")) == 1
        assert kept(root) == NOTHING
        pull(store, registry)
        assert store.find_remote(f"{registry.address}/app:1", "", access()).remote_digest == ""


class TestAtOnce:
    def test_layers_of_one_image_come_in_parallel_three_at_most(self, store: ImageStore, registry: Registry) -> None:
        layers = tuple(files_tar({f"{n}": os.urandom(1000)}) for n in range(6))
        registry.put(Image(layers, (), {}, HERE), "wide:1")
        blobs = {digest(layer) for layer in layers}
        lock = threading.Lock()
        three = threading.Barrier(3)
        running = most = 0

        def trick(asked: Asked) -> Told | None:
            nonlocal running, most
            if asked.path.rpartition("/")[2] in blobs:
                with lock:
                    running += 1
                    most = max(most, running)
                three.wait(20)
                with lock:
                    running -= 1
            return None

        registry.trick = trick
        pull(store, registry, "wide:1")
        assert most == 3

    @pytest.mark.parametrize("stores", ["one", "two"])
    def test_two_pulls_of_the_same_layers_do_the_work_once(
        self, store: ImageStore, root: Path, registry: Registry, stores: str
    ) -> None:
        registry.put(Image((BASE, TOP), (), {"Cmd": ["other"]}, HERE), "other:1", compress=gzip.compress)
        second = store if stores == "one" else ImageStore(str(root))
        both = threading.Barrier(2)

        def together(asked: Asked) -> Told | None:
            if asked.method == "HEAD":
                both.wait(20)
            return None

        registry.trick = together
        found: dict[str, str] = {}
        threads = [
            threading.Thread(target=lambda s=s, n=n: found.update({n: pull(s, registry, n)}))  # type: ignore[misc]
            for s, n in ((store, "app:1"), (second, "other:1"))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if second is not store:
            second.close()
        assert set(found) == {"app:1", "other:1"}
        asked = registry.fetched("blobs")
        assert len(asked) == 4, asked  # two configurations, two layers
        assert kept(root)["tmp"] == []
        assert set(os.listdir(root / "images/locks")) <= {"sweep"}

    def test_a_pull_can_be_called_off(self, store: ImageStore, root: Path, registry: Registry) -> None:
        registry.trick = on(f"/blobs/{digest(gzip.compress(BASE))}", Told(200, b"x", length=-1, endless=True))
        told: list[str] = []
        with pytest.raises(ImageError) as caught:
            pull(store, registry, tell=lambda p: told.append(p.status), cancelled=lambda: "Pulling fs layer" in told)
        assert caught.value.code == "cancelled"
        assert kept(root) == NOTHING


class TestARegistryThatLies:
    def test_about_a_layer(self, store: ImageStore, root: Path, registry: Registry) -> None:
        for name, content in list(registry.blobs.items()):
            registry.blobs[name] = content[:-1] + bytes([content[-1] ^ 1]) if content != APP.document else content
        assert refused(store, root, registry).code == "digest-mismatch"

    def test_about_a_layer_s_content(self, store: ImageStore, root: Path, registry: Registry) -> None:
        # Digest and size are right; it is only not the layer that the configuration means.
        registry.put(APP, compress=lambda layer: gzip.compress(TOP if layer == BASE else BASE))
        assert refused(store, root, registry).code == "digest-mismatch"

    def test_about_the_configuration(self, store: ImageStore, root: Path, registry: Registry) -> None:
        registry.blobs[APP.id] = APP.document[:-1] + b" "
        assert refused(store, root, registry).code == "digest-mismatch"

    @pytest.mark.parametrize("by", ["tag", "digest"])
    def test_about_a_manifest(self, store: ImageStore, root: Path, registry: Registry, by: str) -> None:
        kind, body = registry.manifests["app", "1"]
        name = "app:1" if by == "tag" else f"app@{digest(body)}"
        headers = {"Content-Type": kind, "Docker-Content-Digest": digest(body)}
        registry.trick = on("/manifests/", Told(200, body + b" ", headers))
        assert refused(store, root, registry, name).code == "digest-mismatch"

    def test_between_index_and_manifest(self, store: ImageStore, root: Path, registry: Registry) -> None:
        registry.put_index("many:1", [APP])
        inner = digest(registry.manifests["app", "1"][1])
        registry.put(APP, "many:x")
        kind, body = registry.manifests["many", "x"]
        registry.manifests["many", digest(body)] = (kind, registry.manifests["app", inner][1].replace(b"tar", b"rat"))
        assert refused(store, root, registry, "many:1").code == "digest-mismatch"

    @pytest.mark.parametrize("length", [-1, None, 10**15])
    def test_with_a_body_without_end(
        self, store: ImageStore, root: Path, registry: Registry, length: int | None
    ) -> None:
        registry.trick = on("/blobs/", Told(200, bytes(65536), length=length, endless=True))
        assert refused(store, root, registry).code == "digest-mismatch"
        registry.trick = on("/manifests/", Told(200, b" " * 65536, length=length, endless=True))
        assert refused(store, root, registry)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"null",
            b"[]",
            b"<html>sign in</html>",
            b"[" * 100_000,
            b'{"schemaVersion": 2}',
            b'{"config": 1, "layers": []}',
            b'{"config": {"digest": "sha256:../../../etc/passwd", "size": 1}, "layers": []}',
            b'{"config": {"digest": "md5:0", "size": 1}, "layers": []}',
            json.dumps({"config": {"digest": APP.id, "size": -1}, "layers": []}).encode(),
            json.dumps({"config": {"digest": APP.id, "size": "1"}, "layers": []}).encode(),
            json.dumps({"config": {"digest": APP.id, "size": len(APP.document)}, "layers": [{}]}).encode(),
            json.dumps({"config": {"digest": APP.id, "size": len(APP.document)}, "layers": []}).encode(),
            b'{"manifests": "x"}',
            b'{"manifests": []}',
            b'{"manifests": [{"digest": "sha256:0", "size": 1}]}',
        ],
    )
    def test_with_a_manifest_that_makes_no_sense(
        self, store: ImageStore, root: Path, registry: Registry, body: bytes
    ) -> None:
        registry.trick = on("/manifests/", Told(200, body, {"Content-Type": "application/json"}))
        error = refused(store, root, registry)
        assert len(error.message) < 500

    @pytest.mark.parametrize(
        ("shape", "kind", "words"),
        [
            ({"schemaVersion": 1, "fsLayers": []}, SIGNED, "schema 1"),
            ({"mediaType": INDEX, "manifests": []}, MANIFEST, "was sent as"),
            ({"config": {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": APP.id, "size": 1},
              "layers": []}, MANIFEST, "no container image"),
        ],
    )  # fmt: skip
    def test_with_what_is_no_image(
        self, store: ImageStore, root: Path, registry: Registry, shape: dict[str, object], kind: str, words: str
    ) -> None:
        body = json.dumps(shape).encode()
        registry.manifests["app", "1"] = registry.manifests["app", digest(body)] = (kind, body)
        assert words in refused(store, root, registry).message

    def test_the_registry_s_own_words_are_shown_without_control_characters(
        self, store: ImageStore, root: Path, registry: Registry
    ) -> None:
        errors = {"errors": [{"code": "X", "message": "no\x1b[31m\n way" + "y" * 5000}]}
        registry.trick = lambda asked: Told(400, json.dumps(errors).encode()) if "manifests" in asked.path else None
        message = refused(store, root, registry).message
        assert "\x1b" not in message
        assert len(message) < 400


class TestARegistryInTrouble:
    def test_a_transfer_that_breaks_off_goes_on_where_it_was(self, store: ImageStore, registry: Registry) -> None:
        content = next(content for content in registry.blobs.values() if len(content) > 100_000)
        half = Told(200, content[: len(content) // 2], length=len(content))
        registry.trick = on(digest(content), half, None)
        assert pull(store, registry) == APP.id
        ranges = [asked.headers["range"] for asked in registry.asked if "range" in asked.headers]
        assert ranges == [f"bytes={len(content) // 2}-"]

    def test_or_starts_again_where_the_registry_cannot_go_on(self, store: ImageStore, registry: Registry) -> None:
        content = next(content for content in registry.blobs.values() if len(content) > 100_000)
        half = Told(200, content[: len(content) // 2], length=len(content))
        registry.trick = on(digest(content), half, Told(200, content))
        assert pull(store, registry) == APP.id

    def test_bodies_that_are_always_too_short_are_given_up(
        self, store: ImageStore, root: Path, registry: Registry
    ) -> None:
        content = next(name for name, content in registry.blobs.items() if len(content) > 100_000)
        registry.trick = on(content, Told(200, b"short"))
        error = refused(store, root, registry)
        assert (error.code, "broke off" in error.message) == ("registry-unreachable", True)

    @pytest.mark.parametrize("where", ["/manifests/", "/blobs/"])
    @pytest.mark.parametrize("status", [429, 500, 502, 503])
    def test_a_busy_registry_is_asked_again(
        self, store: ImageStore, registry: Registry, where: str, status: int
    ) -> None:
        told: list[str] = []
        registry.trick = on(where, Told(status, headers={"Retry-After": "0"}), Told(status), None)
        assert pull(store, registry, tell=lambda p: told.append(p.status)) == APP.id
        assert [text for text in told if "Retrying" in text] == ["Retrying in 1 second"] * 2

    def test_not_before_it_says(self, store: ImageStore, registry: Registry) -> None:
        told: list[str] = []
        registry.trick = on("/manifests/", Told(429, headers={"Retry-After": "2"}), None)
        pull(store, registry, tell=lambda p: told.append(p.status))
        assert "Retrying in 2 seconds" in told

    def test_which_may_be_a_time_by_its_own_clock(self, store: ImageStore, registry: Registry) -> None:
        told: list[str] = []
        times = {"Date": "Fri, 31 Dec 1999 23:59:59 GMT", "Retry-After": "Sat, 01 Jan 2000 00:00:00 GMT"}
        registry.trick = on("/manifests/", Told(503, headers=times), None)
        pull(store, registry, tell=lambda p: told.append(p.status))
        assert "Retrying in 1 second" in told

    def test_nor_at_all_when_that_is_too_long(self, store: ImageStore, root: Path, registry: Registry) -> None:
        registry.trick = on("/manifests/", Told(429, headers={"Retry-After": "3600"}), None)
        error = refused(store, root, registry)
        assert (error.code, error.hint) == ("registry-busy", "try again in 3600 seconds")

    def test_one_that_stays_busy_is_given_up(self, store: ImageStore, root: Path, registry: Registry) -> None:
        registry.trick = on("/manifests/", Told(429))
        error = refused(store, root, registry)
        assert (error.code, "slow down" in error.message) == ("registry-busy", True)
        assert len(registry.fetched("manifests")) == SOON.attempts

    def test_one_that_is_not_there(self, store: ImageStore, root: Path) -> None:
        nobody = Registry(address="127.0.0.1:9")
        error = refused(store, root, nobody)
        assert error.code == "registry-unreachable"
        assert error.message == "registry 127.0.0.1:9: 127.0.0.1:9 cannot be reached: Connection refused"

    def test_an_image_that_is_not_there(self, store: ImageStore, root: Path, registry: Registry) -> None:
        error = refused(store, root, registry, "nosuch:1")
        assert (error.code, type(error)) == ("image-not-found", NotFound)
        assert error.message.startswith(f"{registry.address}/nosuch:1 is not in the registry")

    def test_one_without_digests_in_its_headers(self, store: ImageStore, registry: Registry) -> None:
        kind, body = registry.manifests["app", "1"]
        registry.trick = lambda asked: Told(200, body, {"Content-Type": kind}) if "manifests" in asked.path else None
        assert pull(store, registry) == APP.id
        assert pull(store, registry) == APP.id


class TestWhoAsks:
    USER = ("me", "pass:word")

    def test_nobody_gets_a_token_for_the_repository(self, store: ImageStore, registry: Registry) -> None:
        registry.login = "bearer"
        assert pull(store, registry) == APP.id
        tokens = [asked for asked in registry.asked if asked.path == "/token"]
        assert len(tokens) == 1
        assert tokens[0].query["scope"] == ["repository:app:pull"]
        assert tokens[0].query["service"] == ["tests"]
        assert tokens[0].authorization == ""

    @pytest.mark.parametrize("login", ["basic", "bearer"])
    def test_who_has_a_name_and_a_password(self, store: ImageStore, registry: Registry, login: str) -> None:
        registry.login, registry.user = login, self.USER
        assert pull(store, registry, user=self.USER) == APP.id

    def test_who_has_an_identity_token(self, store: ImageStore, registry: Registry) -> None:
        registry.login, registry.user = "bearer", self.USER
        own = Access(credentials=Credentials(identity_token="identity"), patience=SOON)
        assert store.pull(f"{registry.address}/app:1", "", own).id == APP.id

    @pytest.mark.parametrize("login", ["basic", "bearer"])
    @pytest.mark.parametrize("user", [("", ""), ("me", "wrong")])
    def test_who_does_not_is_refused_and_told_what_to_do(
        self, store: ImageStore, root: Path, registry: Registry, login: str, user: tuple[str, str]
    ) -> None:
        registry.login, registry.user = login, self.USER
        with pytest.raises(ImageError) as caught:
            pull(store, registry, user=user)
        assert caught.value.code == "registry-denied"
        assert "stackctl login" in caught.value.hint
        assert "wrong" not in f"{caught.value.message}{caught.value.hint}"
        assert kept(root) == NOTHING

    def test_a_token_that_has_expired_is_fetched_anew(self, store: ImageStore, registry: Registry) -> None:
        registry.login = "bearer"
        refusals = [1]

        def trick(asked: Asked) -> Told | None:
            if "/blobs/" in asked.path and refusals:
                refusals.pop()
                challenge = f'Bearer realm="{registry.url}/token",service="tests"'
                return Told(401, headers={"WWW-Authenticate": challenge})
            return None

        registry.trick = trick
        with pytest.raises(ImageError, match="denied"):
            # The new token is the old one: another try would do no better.
            pull(store, registry)
        assert refusals == []


class TestWhereItSendsUs:
    USER = ("me", "secret")

    @pytest.fixture
    def elsewhere(self) -> Iterator[Registry]:
        with serving(Registry()) as found:
            yield found

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize("login", ["basic", "bearer"])
    def test_blobs_may_be_elsewhere_and_nothing_secret_goes_there(
        self, store: ImageStore, registry: Registry, elsewhere: Registry, status: int, login: str
    ) -> None:
        registry.login, registry.user = login, self.USER
        elsewhere.trick = lambda asked: Told(200, registry.blobs[asked.path.rpartition("/")[2]])
        registry.trick = lambda asked: (
            Told(status, headers={"Location": f"{elsewhere.url}/cdn/{asked.path.rpartition('/')[2]}?signed=yes"})
            if "/blobs/" in asked.path and asked.authorization
            else None
        )
        assert pull(store, registry, user=self.USER) == APP.id
        assert len(elsewhere.asked) == 3
        assert {asked.authorization for asked in elsewhere.asked} == {""}
        assert {asked.query["signed"][0] for asked in elsewhere.asked} == {"yes"}

    @pytest.mark.parametrize("challenge", ['Basic realm="x"', 'Bearer realm="{url}/token",service="x"'])
    def test_a_challenge_from_elsewhere_is_not_answered(
        self, store: ImageStore, root: Path, registry: Registry, elsewhere: Registry, challenge: str
    ) -> None:
        elsewhere.trick = lambda _: Told(401, headers={"WWW-Authenticate": challenge.format(url=elsewhere.url)})
        registry.trick = lambda asked: (
            Told(307, headers={"Location": f"{elsewhere.url}/x"}) if "/blobs/" in asked.path else None
        )
        with pytest.raises(ImageError):
            pull(store, registry, user=self.USER)
        assert {asked.authorization for asked in elsewhere.asked} == {""}
        assert "/token" not in {asked.path for asked in elsewhere.asked}
        assert kept(root) == NOTHING

    @pytest.mark.parametrize("target", ["/v2/app/manifests/1", "file:///etc/passwd", "gopher://x", "http://", "//["])
    def test_circles_and_other_places_are_refused(
        self, store: ImageStore, root: Path, registry: Registry, target: str
    ) -> None:
        registry.trick = lambda asked: Told(307, headers={"Location": target}) if "/manifests/" in asked.path else None
        assert refused(store, root, registry).code == "registry-error"
