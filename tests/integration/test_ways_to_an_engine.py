"""Other ways to an engine than a socket of this machine: TLS, ssh, plain TCP."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.docker_host import DockerHost, running_docker
from tests.support.engine import Engine
from tests.support.stack import FOREVER, Stack, free_port, stack_in

_TLS = Path(__file__).parents[1] / "support" / "tls"
# What ssh does, as far as this is about: it runs the command, with the same standard input and output.
_SSH = """\
#!/bin/sh
while [ "$1" != -- ]; do shift; done
[ "$2" = there ] || { echo "ssh: Could not resolve hostname $2" >&2; exit 255; }
shift 2
exec "$@"
"""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as DOCKER_CERT_PATH names one."""
    folder = tmp_path_factory.mktemp("certificates")
    for name, source in (("ca.pem", "ca.crt"), ("cert.pem", "server.crt"), ("key.pem", "server.key")):
        shutil.copy(_TLS / source, folder / name)
    return folder


@pytest.fixture(scope="module")
def host(
    tmp_path_factory: pytest.TempPathFactory, certificates: Path, busybox_archive: Path
) -> Iterator[tuple[DockerHost, int]]:
    """A Docker Engine that listens with TLS, too, at a port."""
    port = free_port()
    tls = ("--tlsverify", f"--tlscacert={certificates}/ca.pem", f"--tlscert={certificates}/cert.pem")
    options = ("--host", f"tcp://127.0.0.1:{port}", *tls, f"--tlskey={certificates}/key.pem")
    with running_docker(tmp_path_factory.mktemp("docker"), *options) as found:
        found.load(busybox_archive)
        yield found, port


@pytest.fixture
def fake_ssh(tmp_path: Path) -> Path:
    """A folder with an ssh that only knows this machine, as ``there``."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "ssh").write_text(_SSH, encoding="utf-8")
    (folder / "ssh").chmod(0o755)
    return folder


def use(stack: Stack) -> None:
    """Bring a stack up, and send to a process in it more than any buffer holds."""
    stack.write({"web": FOREVER})
    stack.run("up", "-d")
    typed = "x" * 1_000_000
    assert stack.run("exec", "-T", "web", "sh", "-c", "cat; echo end", stdin=typed).out == f"{typed}end\n"
    assert stack.states() == {"way-web-1": "running"}


def test_by_tls(host: tuple[DockerHost, int], certificates: Path, tmp_path: Path) -> None:
    own = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(certificates)}
    url = f"tcp://localhost:{host[1]}"
    with stack_in(Engine(tmp_path / "none", {"STACKCTL_ENGINE": url, **own}), tmp_path / "way", "way") as stack:
        use(stack)


def test_by_ssh(host: tuple[DockerHost, int], fake_ssh: Path, tmp_path: Path) -> None:
    path = f"{fake_ssh}:/usr/local/bin:/usr/bin:/bin"
    environment = {"STACKCTL_ENGINE": "ssh://me@there", "PATH": path, "DOCKER_HOST": host[0].url}
    own = Engine(tmp_path / "none", environment)
    with stack_in(own, tmp_path / "way", "way") as stack:
        use(stack)
    failed = own.run("--engine", "ssh://elsewhere", "ls", status=1)
    assert "Could not resolve hostname elsewhere" in failed.err
    assert "error[engine-lost]" in failed.err


def test_nobody_is_trusted_without_a_certificate(
    host: tuple[DockerHost, int], certificates: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(certificates, other)
    (other / "ca.pem").write_text((other / "cert.pem").read_text(encoding="utf-8"), encoding="utf-8")
    own = Engine(tmp_path / "none", {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(other)})
    url = f"tcp://localhost:{host[1]}"
    assert "error[engine-tls]" in own.run("--engine", url, "ls", status=1).err
    gone = own.run("--engine", url, "ls", status=1, env={"DOCKER_CERT_PATH": str(tmp_path / "nowhere")}).err
    assert "error[engine-tls]" in gone
    assert "nowhere" in gone


def test_plain_tcp_is_told_to_be_open(tmp_path: Path) -> None:
    own = Engine(tmp_path / "none", {"STACKCTL_TIMEOUT": "0.2"})
    told = own.run("--engine", "tcp://192.0.2.1:2375", "ls", status=1).err
    assert "warning[engine-exposed]" in told
    assert "error[engine-unreachable]" in told
