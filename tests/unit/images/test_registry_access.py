"""Whom we believe, and what we read out of a registry's challenges."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from stackctl.errors import ImageError
from stackctl.images.registry.access import Access
from stackctl.images.registry.challenge import Challenge, parse_challenges
from stackctl.images.registry.client import Repository
from stackctl.images.registry.patience import Patience
from stackctl.images.registry.settings import RegistrySettings, address_of, read_settings
from stackctl.model.image import parse_image_ref
from stackctl.model.registry import Credentials
from tests.support.images import Image, files_tar
from tests.support.registry import TLS, Registry, Told, serving

BASIC, BEARER = Challenge("basic", {"realm": "a"}), Challenge("bearer", {"realm": "b"})
APP = Image((files_tar({"a": b"b"}),))


@dataclass(frozen=True)
class FarAway(RegistrySettings):
    """Treats this machine like any other, as it is not to be believed without TLS."""

    def is_insecure(self, registry: str) -> bool:
        return registry in self.insecure


@pytest.fixture
def secure() -> Iterator[Registry]:
    with serving(Registry(), tls=True) as found:
        found.put(APP)
        yield found


@pytest.fixture
def plain() -> Iterator[Registry]:
    with serving(Registry()) as found:
        found.put(APP)
        yield found


def repository(registry: Registry, settings: RegistrySettings, user: Credentials | None = None) -> Repository:
    patience = Patience(attempts=2, first_pause_s=0.01)
    access = Access(credentials=user or Credentials(), patience=patience)
    return access.repository(parse_image_ref(f"{registry.address}/app:1"), settings)


def certificates(folder: Path, registry: Registry) -> Path:
    """Put the tests' authority where certificates of the registry are looked for."""
    own = folder / "certs.d" / registry.address
    own.mkdir(parents=True)
    shutil.copy(TLS / "ca.crt", own / "ca.crt")
    return folder / "certs.d"


class TestTls:
    def test_an_authority_of_our_own_is_believed(self, tmp_path: Path, secure: Registry) -> None:
        settings = FarAway((str(certificates(tmp_path, secure)),))
        assert repository(secure, settings).manifest("1").body == secure.manifests["app", "1"][1]

    def test_nobody_else_is_and_the_error_says_what_to_do(self, secure: Registry) -> None:
        with pytest.raises(ImageError, match="certificate is not trusted") as caught:
            repository(secure, FarAway()).manifest("1")
        assert caught.value.code == "registry-not-trusted"
        assert f"certs.d/{secure.address}/ca.crt" in caught.value.hint
        assert "registries.json" in caught.value.hint

    def test_the_authority_of_another_registry_does_not_count(self, tmp_path: Path, secure: Registry) -> None:
        certificates(tmp_path, Registry(address="127.0.0.1:1"))
        with pytest.raises(ImageError, match="not trusted"):
            repository(secure, FarAway((str(tmp_path / "certs.d"),))).manifest("1")

    def test_without_tls_nothing_is_sent(self, plain: Registry) -> None:
        with pytest.raises(ImageError, match="does not speak TLS") as caught:
            repository(plain, FarAway(), Credentials("me", "secret")).manifest("1")
        assert caught.value.code == "registry-not-trusted"
        assert plain.asked == []

    def test_an_insecure_registry_needs_neither(self, plain: Registry, secure: Registry) -> None:
        for registry in (plain, secure):
            settings = FarAway(insecure=(registry.address,))
            assert repository(registry, settings).manifest("1").body == registry.manifests["app", "1"][1]

    def test_a_redirect_or_a_token_without_tls_is_refused(
        self, tmp_path: Path, secure: Registry, plain: Registry
    ) -> None:
        settings = FarAway((str(certificates(tmp_path, secure)),))
        secure.trick = lambda _: Told(307, headers={"Location": f"{plain.url}/v2/app/manifests/1"})
        with pytest.raises(ImageError, match="without TLS"):
            repository(secure, settings).manifest("1")
        challenge = f'Bearer realm="{plain.url}/token",service="x"'
        secure.trick = lambda _: Told(401, headers={"WWW-Authenticate": challenge})
        with pytest.raises(ImageError, match="without TLS"):
            repository(secure, settings, Credentials("me", "secret")).manifest("1")
        assert plain.asked == []


class TestSettings:
    def test_this_machine_and_what_is_named_are_insecure(self) -> None:
        settings = RegistrySettings(insecure=("registry.lan:5000", "10.0.0.0/8", "nas"))
        for registry in ("localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"):
            assert settings.is_insecure(registry), registry
        for registry in ("registry.lan:5000", "10.1.2.3:5000", "10.1.2.3", "nas", "nas:443"):
            assert settings.is_insecure(registry), registry
        for registry in ("docker.io", "registry.lan", "registry.lan:5001", "11.0.0.1", "localhost.example.org"):
            assert not settings.is_insecure(registry), registry

    def test_ours_are_read_at_each_pull(self, tmp_path: Path) -> None:
        assert "a:1" not in read_settings(str(tmp_path)).insecure
        (tmp_path / "registries.json").write_text('{"insecure": ["a:1"]}', encoding="utf-8")
        assert "a:1" in read_settings(str(tmp_path)).insecure

    @pytest.mark.parametrize("text", ["{", '{"insecure": "a"}', '{"insecure": [1]}', "[]"])
    def test_a_file_that_makes_no_sense_is_said(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "registries.json").write_text(text, encoding="utf-8")
        with pytest.raises(ImageError, match=r"registries\.json"):
            read_settings(str(tmp_path))

    def test_certificates_that_cannot_be_read_are_said(self, tmp_path: Path) -> None:
        (tmp_path / "r").mkdir()
        (tmp_path / "r/ca.crt").write_text("no certificate", encoding="utf-8")
        with pytest.raises(ImageError, match="certificates in"):
            RegistrySettings((str(tmp_path),)).tls("r")

    def test_docker_hub_has_another_address(self) -> None:
        assert address_of("docker.io") == "registry-1.docker.io"
        assert address_of("registry.example:5000") == "registry.example:5000"


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], []),
        (["Basic"], [Challenge("basic", {})]),
        (['Basic realm="a, b"'], [Challenge("basic", {"realm": "a, b"})]),
        (
            ['Bearer realm="https://auth/token",service="r",scope="repository:a/b:pull,push"'],
            [Challenge("bearer", {"realm": "https://auth/token", "service": "r", "scope": "repository:a/b:pull,push"})],
        ),
        (['BEARER Realm=x , service = "q\\"uote"'], [Challenge("bearer", {"realm": "x", "service": 'q"uote'})]),
        (['Basic realm="a", Bearer realm="b"'], [BASIC, BEARER]),
        (['Bearer realm="b"', "Basic realm=a"], [BEARER, BASIC]),
        (["", ",,,", "=", '"'], []),
    ],
)  # fmt: skip
def test_challenges(headers: list[str], found: list[Challenge]) -> None:
    assert parse_challenges(headers) == found


def test_credentials_are_not_shown() -> None:
    assert "secret" not in repr(Credentials("me", "secret", "secret", "secret"))
