"""What every client of Docker's API relies on before it asks for anything."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping

import pytest

from tests.support.engine import Engine


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _ask(
    engine: Engine, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, Mapping[str, str], bytes]:
    connection = _UnixConnection(engine.status()["api"].removeprefix("unix://"))
    try:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def test_a_ping_tells_the_version_also_without_a_body(resident: Engine) -> None:
    for method, body in (("GET", b"OK"), ("HEAD", b"")):
        status, headers, found = _ask(resident, method, "/_ping")

        assert (status, found) == (200, body)
        assert headers["api-version"] == "1.51"
        assert headers["docker-experimental"] == "false"
        assert headers["ostype"] == "linux"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1.24/version", 200),
        ("GET", "/v1.51/version", 200),
        ("GET", "//version", 200),
        ("GET", "/v1.99/version", 400),
        ("GET", "/v1.23/version", 400),
        ("GET", "/vx/version", 404),
        ("GET", "/v1.51", 404),
        ("POST", "/version", 404),
        ("OPTIONS", "/version", 200),
        ("POST", "/commit?container=x", 404),
        ("GET", "/containers/x/attach/ws", 501),
    ],
)
def test_versions_are_negotiated_and_what_is_not_there_says_so(
    resident: Engine, method: str, path: str, status: int
) -> None:
    found, _, body = _ask(resident, method, path)

    assert found == status
    if status >= 400:
        assert json.loads(body)["message"]


def test_a_body_without_the_content_type_of_json_is_refused(resident: Engine) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        status, _, body = _ask(resident, "POST", "/stackctl/v1/engine/stop", b"{}", {"Content-Type": kind})

        assert (status, b"application/json" in body) == (400, True)


def test_an_answer_that_comes_before_the_upload_is_over_arrives(resident: Engine) -> None:
    status, _, body = _ask(resident, "PUT", "/containers/nobody/archive?path=/tmp", b"x" * (8 << 20))

    assert status == 404
    assert json.loads(body)["message"]
