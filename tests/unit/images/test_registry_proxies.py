"""Which hosts are reached through a proxy, and what is read of the settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stackctl.errors import ImageError
from stackctl.images.registry.proxies import Proxies, proxies_of
from stackctl.images.registry.settings import read_settings

BOTH = Proxies("http://web:1", "http://me:p%40ss@tls:2")


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://a.test/v2/", "web:1"),
        ("https://a.test/v2/", "tls:2"),
        ("https://localhost:5000/", "None"),
        ("https://127.0.0.1/", "None"),
        ("http://[::1]:5000/", "None"),
    ],
)
def test_the_scheme_says_which_and_this_machine_needs_none(url: str, proxy: str) -> None:
    assert str(BOTH.proxy_for(url)) == proxy


def test_a_name_and_a_password_are_sent_and_never_shown() -> None:
    proxy = BOTH.proxy_for("https://a.test/")

    assert proxy is not None
    assert proxy.headers == {"Proxy-Authorization": "Basic bWU6cEBzcw=="}
    assert BOTH.shown()["HttpsProxy"] == "http://tls:2"


@pytest.mark.parametrize(
    ("direct", "host", "is_direct"),
    [
        ("a.test", "a.test", True),
        ("a.test", "b.a.test", True),
        (".a.test", "b.a.test", True),
        (".a.test", "a.test", False),
        ("*.a.test", "b.a.test", True),
        ("a.test", "ba.test", False),
        ("a.test:5000", "a.test:5000", True),
        ("a.test:5000", "a.test", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("*", "a.test", True),
        ("A.Test", "a.tesT", True),
        ("10.0.0.0/99", "10.1.2.3", False),
    ],
)
def test_some_hosts_are_reached_directly(direct: str, host: str, is_direct: bool) -> None:
    proxies = Proxies("http://web:1", "http://web:1", (direct,))

    assert (proxies.proxy_for(f"https://{host}/") is None) is is_direct


@pytest.mark.parametrize("text", ["https://secure:1", "socks5://other:1", "http://web:port", "http://"])
def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(text: str) -> None:
    with pytest.raises(ImageError) as refused:
        Proxies(http=text.replace("://", "://me:secret@")).proxy_for("http://a.test/")
    assert "secret" not in str(refused.value)


def test_variables_count_in_capitals_or_not() -> None:
    variables = {"http_proxy": "web:1", "HTTPS_PROXY": "tls:2", "no_proxy": "a, b,"}

    assert proxies_of(variables) == Proxies("web:1", "tls:2", ("a", "b"))


def test_the_file_comes_before_the_environment(tmp_path: Path) -> None:
    variables = {"HTTPS_PROXY": "environment:1"}
    assert read_settings(str(tmp_path), variables).proxies.https == "environment:1"

    settings = {"proxies": {"https": "http://file:1", "no": "a.test"}, "mirrors": {"docker.io": ["m:1"], "b": ["c"]}}
    (tmp_path / "registries.json").write_text(json.dumps(settings), encoding="utf-8")
    read = read_settings(str(tmp_path), variables)
    assert read.proxies == Proxies("", "http://file:1", ("a.test",))
    assert (read.mirrors_of("docker.io"), read.mirrors_of("b"), read.mirrors_of("d")) == (("m:1",), ("c",), ())


@pytest.mark.parametrize("wrong", ['{"mirrors": []}', '{"mirrors": {"a": "b"}}', "[]", '{"proxies": 1}'])
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "registries.json").write_text(wrong, encoding="utf-8")

    with pytest.raises(ImageError, match=r"registries\.json"):
        read_settings(str(tmp_path))
