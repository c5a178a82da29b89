"""What `--engine` takes."""

from __future__ import annotations

import pytest

from stackctl.client.address import parse_engine
from stackctl.client.dialers import SshDialer, TlsDialer
from stackctl.errors import UsageError

TLS = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/certs"}


@pytest.mark.parametrize(
    ("text", "environment", "kind", "address"),
    [
        ("docker", {}, "docker", "unix:///var/run/docker.sock"),
        ("docker", {"DOCKER_HOST": "tcp://there:1"}, "docker", "tcp://there:1"),
        ("swarm", {}, "swarm", "unix:///var/run/docker.sock"),
        ("swarm+ssh://there", {}, "swarm", "ssh://there"),
        ("unix:///run/x.sock", {"DOCKER_HOST": "tcp://no:1"}, "docker", "unix:///run/x.sock"),
        ("tcp://there", {}, "docker", "tcp://there:2375"),
        ("tcp://there", TLS, "docker", "tcp://there:2376"),
        ("tcp://[::1]:77/", {}, "docker", "tcp://[::1]:77"),
        ("ssh://me@there:22", {}, "docker", "ssh://me@there:22"),
    ],
)
def test_an_address_says_how_and_as_what_an_engine_is_reached(
    text: str, environment: dict[str, str], kind: str, address: str
) -> None:
    found = parse_engine(text, environment)
    assert (found.kind, str(found.dialer)) == (kind, address)


@pytest.mark.parametrize(
    "text", ["nonsense", "npipe:////./pipe/x", "tcp://", "tcp://there:99999", "ssh://-oProxyCommand=x", "ssh://@h"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_engine(text, {})
    assert caught.value.code == "engine-address"


def test_tcp_is_told_to_be_open_unless_it_is_of_this_machine_or_encrypted() -> None:
    assert parse_engine("tcp://there:1", {}).is_exposed
    assert not parse_engine("tcp://127.0.0.1:1", {}).is_exposed
    assert not parse_engine("tcp://there:1", TLS).is_exposed
    assert isinstance(parse_engine("tcp://there:1", TLS).dialer, TlsDialer)


def test_ssh_runs_docker_there_and_takes_no_option_from_an_address() -> None:
    assert SshDialer("me", "there", 77).command()[-9:] == [
        "-l", "me", "-p", "77", "--", "there", "docker", "system", "dial-stdio",
    ]  # fmt: skip
