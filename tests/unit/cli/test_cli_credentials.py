"""Logins are found where Docker and podman keep them, and kept where Docker does."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from stackctl.cli.credentials import CredentialError, Logins, registry_named
from stackctl.model.registry import ANONYMOUS, Credentials


def auth(name: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{name}:{password}".encode()).decode()}


def logins(folder: Path, config: object = None, **environment: str) -> Logins:
    if config is not None:
        (folder / ".docker").mkdir(exist_ok=True)
        (folder / ".docker/config.json").write_text(
            config if isinstance(config, str) else json.dumps(config), encoding="utf-8"
        )
    return Logins({"HOME": str(folder), "PATH": str(folder), **environment})


def helper(folder: Path, name: str, script: str) -> None:
    path = folder / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("key", "registry"),
    [
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io", "docker.io"),
        ("registry.example:5000", "registry.example:5000"),
        ("https://registry.example", "registry.example"),
        ("https://registry.example/v1/", "registry.example"),
        ("http://registry.example/v2/", "registry.example"),
    ],
)
def test_a_login_is_found_under_every_form_of_its_key(tmp_path: Path, key: str, registry: str) -> None:
    own = logins(tmp_path, {"auths": {key: auth("me", "pass:word")}})
    assert own.find(registry) == Credentials("me", "pass:word")
    assert own.find("another.example") == ANONYMOUS


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ({"identitytoken": "t", **auth("me", "")}, Credentials(identity_token="t")),
        ({"registrytoken": "t"}, Credentials(registry_token="t")),
        ({"username": "me", "password": "p"}, Credentials("me", "p")),
        ({"auth": "not base64!"}, ANONYMOUS),
        ({"auth": 5}, ANONYMOUS),
        ({}, ANONYMOUS),
        ("text", ANONYMOUS),
    ],
)
def test_entries_of_every_kind(tmp_path: Path, entry: Any, found: Credentials) -> None:
    assert logins(tmp_path, {"auths": {"r": entry}}).find("r") == found


def test_nothing_is_kept_is_nobody(tmp_path: Path) -> None:
    assert logins(tmp_path).find("docker.io") == ANONYMOUS


@pytest.mark.parametrize("text", ["{", "[]", "\x00"])
def test_a_file_that_makes_no_sense_is_said(tmp_path: Path, text: str) -> None:
    with pytest.raises(CredentialError, match=r"config\.json"):
        logins(tmp_path, text).find("r")


def test_docker_s_folder_may_be_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"r": auth("me", "p")}}), encoding="utf-8")
    assert logins(tmp_path / "home", DOCKER_CONFIG=str(tmp_path)).find("r") == Credentials("me", "p")


def test_podman_s_logins_count_after_docker_s(tmp_path: Path) -> None:
    podman = tmp_path / "auth.json"
    podman.write_text(json.dumps({"auths": {"r": auth("podman", "p"), "s": auth("s", "p")}}), encoding="utf-8")
    own = logins(tmp_path, {"auths": {"r": auth("docker", "p")}}, REGISTRY_AUTH_FILE=str(podman))
    assert (own.find("r").username, own.find("s").username) == ("docker", "s")


class TestHelpers:
    def test_the_one_of_the_registry_comes_before_the_general_one(self, tmp_path: Path) -> None:
        helper(tmp_path, "one", """echo '{"Username": "one", "Secret": "1"}'""")
        helper(tmp_path, "all", """echo '{"Username": "all", "Secret": "2"}'""")
        own = logins(tmp_path, {"credsStore": "all", "credHelpers": {"r": "one"}})
        assert (own.find("r"), own.find("s")) == (Credentials("one", "1"), Credentials("all", "2"))

    def test_is_asked_by_the_registry_s_key(self, tmp_path: Path) -> None:
        helper(tmp_path, "x", """read -r key; printf '{"Username": "%s", "Secret": "s"}' "$key" """)
        own = logins(tmp_path, {"credsStore": "x"})
        assert own.find("docker.io").username == "https://index.docker.io/v1/"
        assert own.find("r:5000").username == "r:5000"

    def test_may_have_a_token(self, tmp_path: Path) -> None:
        helper(tmp_path, "x", """echo '{"Username": "<token>", "Secret": "t"}'""")
        assert logins(tmp_path, {"credsStore": "x"}).find("r") == Credentials(identity_token="t")

    def test_that_knows_nothing_leaves_it_to_the_file(self, tmp_path: Path) -> None:
        helper(tmp_path, "x", "echo credentials not found in native keychain; exit 1")
        own = logins(tmp_path, {"credsStore": "x", "auths": {"r": auth("me", "p")}})
        assert (own.find("r"), own.find("s")) == (Credentials("me", "p"), ANONYMOUS)

    @pytest.mark.parametrize(
        ("script", "words"),
        [
            ("echo no keyring >&2; exit 1", "failed: no keyring"),
            ("echo nonsense", "no credentials"),
            ("exit 3", "failed: 3"),
        ],
    )
    def test_that_does_not_work_is_said(self, tmp_path: Path, script: str, words: str) -> None:
        helper(tmp_path, "x", script)
        with pytest.raises(CredentialError, match=words):
            logins(tmp_path, {"credsStore": "x"}).find("r")

    def test_that_is_missing_or_elsewhere_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(CredentialError, match="not in PATH"):
            logins(tmp_path, {"credsStore": "missing"}).find("r")
        with pytest.raises(CredentialError, match="cannot be"):
            logins(tmp_path, {"credsStore": "../../bin/sh"}).find("r")


class TestKeeping:
    def test_leaves_all_else_in_the_file_and_lets_nobody_else_read_it(self, tmp_path: Path) -> None:
        own = logins(tmp_path, {"psFormat": "x", "auths": {"s": auth("s", "p")}})
        assert own.keep("docker.io", Credentials("me", "p")) == own.path
        shape = json.loads(Path(own.path).read_text(encoding="utf-8"))
        assert shape["psFormat"] == "x"
        assert set(shape["auths"]) == {"s", "https://index.docker.io/v1/"}
        assert stat.S_IMODE(Path(own.path).stat().st_mode) == 0o600
        assert own.find("docker.io") == Credentials("me", "p")
        assert own.forget("docker.io")
        assert not own.forget("docker.io")
        assert own.find("s").username == "s"

    def test_a_file_that_is_a_link_stays_one(self, tmp_path: Path) -> None:
        own = logins(tmp_path, {})
        file = Path(own.path)
        file.rename(tmp_path / "real.json")
        file.symlink_to(tmp_path / "real.json")
        own.keep("r", Credentials("me", "p"))
        assert file.is_symlink()
        assert own.find("r") == Credentials("me", "p")


@pytest.mark.parametrize(
    ("typed", "registry"),
    [("", "docker.io"), ("docker.io", "docker.io"), ("https://r:5000/v2/", "r:5000"), ("r", "r")],
)
def test_registries_as_people_type_them(typed: str, registry: str) -> None:
    assert registry_named(typed) == registry
