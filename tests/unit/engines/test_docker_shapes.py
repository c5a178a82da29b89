"""What Docker says and shows, in our terms."""

from __future__ import annotations

from typing import Any

import pytest

from stackctl.engines.docker.create import create_body
from stackctl.engines.docker.errors import translated
from stackctl.engines.docker.observe import observed_container, time_ns
from stackctl.errors import EngineError
from stackctl.model.container import BindMount, ContainerSpec, LogPolicy, PublishedPort, RestartPolicy, ShareNetwork
from stackctl.model.limits import Limits

SPEC = ContainerSpec(name="web", image_ref="i", image_id="sha256:1", argv=("serve", "-v"))

# Words of Docker 20.10, 24 and 28.
MESSAGES = [
    (
        "driver failed programming external connectivity on endpoint w (0f): Bind for 127.0.0.1:8080 failed: port is "
        "already allocated",
        "port-taken",
        "ports.8080",
    ),
    ("failed to bind host port 0.0.0.0:80/tcp: address already in use", "port-taken", "ports.80"),
    ("failed to bind host port for 0.0.0.0:80:172.17.0.2:80/tcp: address already in use", "port-taken", "ports.80"),
    ("Error starting userland proxy: listen tcp4 0.0.0.0:81: bind: address already in use", "port-taken", "ports.81"),
    ("Address already in use", "address-taken", "networking"),
    (
        'OCI runtime create failed: x: exec: "nope": executable file not found in $PATH: unknown',
        "command-not-found",
        "argv.0",
    ),
    (
        'failed to create shim task: OCI runtime create failed: runc create failed: exec: "/x": stat /x: no such file '
        "or directory: unknown",
        "command-not-found",
        "argv.0",
    ),
    ('x: exec: "/etc": permission denied: unknown', "command-not-executable", "argv.0"),
    ("unable to find user me: no matching entries in passwd file", "user-not-found", "user"),
    ('invalid mount config for type "bind": bind source path does not exist: /no', "bind-source-missing", "mounts"),
    ("Pool overlaps with other one on this address space", "subnet-overlap", ""),
    ("invalid pool request: Pool overlaps with other one on this address space", "subnet-overlap", ""),
    ("error while removing network: network n id 1 has active endpoints", "network-in-use", ""),
    ("remove v: volume is in use - [1]", "volume-in-use", ""),
    ('Conflict. The container name "/web" is already in use by container "1".', "name-taken", "name"),
    ("No such image: web:1", "image-not-found", "image_ref"),
    ("network nowhere not found", "no-such-network", "networking"),
    ("container rootfs is marked read-only", "read-only-content", "read_only"),
]


@pytest.mark.parametrize(("message", "code", "field"), MESSAGES)
def test_what_docker_says_has_a_code_and_the_field_that_asked_for_it(message: str, code: str, field: str) -> None:
    found = translated(EngineError(message), "container web")
    assert (found.code, found.field) == (code, field)
    assert str(found).startswith("container web: ")


def test_what_nobody_knows_is_passed_on_as_it_is() -> None:
    found = translated(EngineError("something new"), "container web")
    assert (str(found), found.code) == ("container web: something new", EngineError.code)


def test_times_are_read_to_the_nanosecond() -> None:
    assert time_ns("1970-01-01T00:00:01.5Z") == 1_500_000_000
    assert time_ns("1970-01-01T01:00:00.000000001+01:00") == 1
    assert time_ns("0001-01-01T00:00:00Z") == time_ns("") == 0


def test_the_whole_command_is_the_container_s_own() -> None:
    body = create_body(SPEC, "i")
    assert (body["Entrypoint"], body["Cmd"], body["Healthcheck"]) == (["serve"], ["-v"], {"Test": ["NONE"]})


def test_who_shares_a_network_has_no_name_and_no_ports_there() -> None:
    port = PublishedPort(container_port=80, host_first=1, host_last=1)
    spec = ContainerSpec(
        name="a", image_ref="i", image_id="1", argv=("x",), hostname="h", ports=(port,), networking=ShareNetwork("web")
    )
    body = create_body(spec, "i")
    assert (body["Hostname"], body["ExposedPorts"], body["HostConfig"]["PortBindings"]) == ("", {}, {})
    assert body["HostConfig"]["NetworkMode"] == "container:web"


def test_logs_are_left_to_the_engine_s_owner_unless_the_stack_says_otherwise() -> None:
    assert "LogConfig" not in create_body(SPEC, "i")["HostConfig"]
    spec = ContainerSpec(name="a", image_ref="i", image_id="1", argv=("x",), log=LogPolicy(max_files=7))
    assert create_body(spec, "i")["HostConfig"]["LogConfig"]["Config"]["max-file"] == "7"


def test_a_bind_whose_source_must_be_there_is_a_mount() -> None:
    made, checked = BindMount(source="/a", target="/b"), BindMount(source="/c", target="/d", create_source=False)
    spec = ContainerSpec(name="a", image_ref="i", image_id="1", argv=("x",), mounts=(made, checked))
    host = create_body(spec, "i")["HostConfig"]
    assert host["Binds"] == ["/a:/b:rw"]
    assert [mount["Source"] for mount in host["Mounts"]] == ["/c"]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ({"Memory": 64, "MemorySwap": 128}, Limits(memory_bytes=64)),
        ({"Memory": 64, "MemorySwap": -1}, Limits(memory_bytes=64)),
        ({"Memory": 96, "MemorySwap": 192}, Limits(memory_bytes=96)),
    ],
)
def test_limits_are_those_the_container_has_now(host: dict[str, int], expected: Limits) -> None:
    spec = ContainerSpec(name="web", image_ref="i", image_id="1", argv=("x",), limits=Limits(memory_bytes=64))
    found = observed_of(spec, host)
    assert found is not None
    assert found.limits == expected


def test_a_restart_policy_is_that_of_now_and_what_docker_does_not_know_stays() -> None:
    asked = RestartPolicy(kind="on-failure", max_attempts=3, delay_s=2.0, window_s=60.0)
    spec = ContainerSpec(name="web", image_ref="i", image_id="1", argv=("x",), restart=asked)
    assert observed_of(spec, {}) == spec
    now = {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 0}}
    found = observed_of(spec, now)
    assert found is not None
    assert found.restart == RestartPolicy(kind="always", delay_s=2.0, window_s=60.0)


def observed_of(spec: ContainerSpec, host: dict[str, Any]) -> ContainerSpec | None:
    """Return what is seen of a container that was made by ``spec`` and is now as ``host`` says."""
    body = create_body(spec, "i")
    shape = {
        "Id": "1",
        "Name": f"/{spec.name}",
        "State": {"Status": "created"},
        "Config": {"Labels": body["Labels"]},
        "HostConfig": {**body["HostConfig"], **host},
        "NetworkSettings": {},
    }
    return observed_container(shape, {}).spec
