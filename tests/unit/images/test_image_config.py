"""Image configurations: from and to JSON, and Docker's view of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stackctl.errors import ImageError
from stackctl.images.config import (
    StoredImage,
    config_document,
    describe,
    inspect_json,
    list_json,
    rfc3339,
)
from stackctl.model.health import HealthCheck
from stackctl.model.image import ImageConfig

DIFF_ID = "sha256:" + "1" * 64
FULL: dict[str, Any] = {
    "architecture": "arm64",
    "variant": "v8",
    "os": "linux",
    "created": "2024-05-06T07:08:09.123456789Z",
    "author": "me",
    "config": {
        "Entrypoint": ["/e"],
        "Cmd": ["a", "b"],
        "Env": ["PATH=/bin", "A="],
        "User": "7:8",
        "WorkingDir": "/w",
        "Labels": {"b": "2", "a": "1"},
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}, "90": {}},
        "Volumes": {"/v": {}},
        "StopSignal": "SIGINT",
        "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000, "Retries": 2},
        "OnBuild": ["RUN x"],
    },
    "rootfs": {"type": "layers", "diff_ids": [DIFF_ID]},
}


def described(**changes: Any) -> ImageConfig:
    return describe(json.dumps({**FULL, "config": {**FULL["config"], **changes}}).encode()).config


def test_everything_is_read() -> None:
    known = describe(json.dumps(FULL).encode())
    assert known.diff_ids == (DIFF_ID,)
    assert known.config == ImageConfig(
        entrypoint=("/e",),
        cmd=("a", "b"),
        env=("PATH=/bin", "A="),
        user="7:8",
        working_dir="/w",
        labels=(("a", "1"), ("b", "2")),
        ports=("53/udp", "80/tcp", "90/tcp"),
        volumes=("/v",),
        stop_signal="SIGINT",
        health=HealthCheck(test=("CMD-SHELL", "true"), interval_s=5.0, retries=2),
        architecture="arm64",
        variant="v8",
    )


def test_what_is_written_reads_back() -> None:
    config = described()
    text = config_document(config, (DIFF_ID,), created="2024-01-01T00:00:00Z", history=())
    assert describe(text).config == config
    assert text == config_document(config, (DIFF_ID,), created="2024-01-01T00:00:00Z", history=())


def test_a_configuration_may_say_nothing() -> None:
    assert describe(b"{}").config == ImageConfig()
    assert describe(b'{"config":null,"rootfs":null}').diff_ids == ()


def test_a_command_may_be_a_text() -> None:
    assert described(Cmd="sh").cmd == ("sh",)


def test_an_empty_health_check_is_none() -> None:
    assert described(Healthcheck={"Test": []}).health is None


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"config":[]}',
        b'{"config":{"Env":"A=1"}}',
        b'{"config":{"Env":[1]}}',
        b'{"config":{"Cmd":{"a":1}}}',
        b'{"config":{"Labels":[]}}',
        b'{"config":{"User":7}}',
        b'{"config":{"Healthcheck":{"Test":["NONE"],"Interval":"5s"}}}',
        b'{"config":{"Healthcheck":{"Test":["NONE"],"Interval":1e400}}}',
        b'{"config":{"Healthcheck":{"Test":["NONE"],"Retries":-1}}}',
        b'{"rootfs":{"diff_ids":["sha256:../../etc"]}}',
        b'{"rootfs":{"diff_ids":["md5:aa"]}}',
        b'{"created":7}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"rootfs":{"diff_ids":[' + b",".join([b'"%s"' % DIFF_ID.encode()] * 1000) + b"]}}",
        b" " * (9 * 1024 * 1024),
    ],
    ids=range(19),
)
def test_a_malformed_configuration_is_an_image_error(document: bytes) -> None:
    with pytest.raises(ImageError):
        describe(document)


def test_docker_clients_see_an_image() -> None:
    image = StoredImage(
        id="sha256:" + "2" * 64,
        tags=("web:1",),
        digests=(),
        size_bytes=5,
        tagged_ns=1_700_000_000_500_000_000,
        document=json.dumps(FULL).encode(),
    )
    shape = inspect_json(image)
    assert shape["RootFS"] == {"Type": "layers", "Layers": [DIFF_ID]}
    assert shape["Config"] == {**FULL["config"]}
    assert (shape["Architecture"], shape["Variant"], shape["Os"], shape["Size"]) == ("arm64", "v8", "linux", 5)
    assert shape["Metadata"] == {"LastTagTime": "2023-11-14T22:13:20.5Z"}
    row = list_json(image)
    assert (row["Created"], row["Labels"], row["RepoTags"]) == (1714979289, {"a": "1", "b": "2"}, ["web:1"])


def test_times_have_nanoseconds() -> None:
    assert rfc3339(1_700_000_000_000_000_001) == "2023-11-14T22:13:20.000000001Z"
