"""Docker's create request in our terms: what comes of it, and what is refused rather than left out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from stackctl.api.connection import BadRequest
from stackctl.api.create_request import Wanted, World, wanted_of
from stackctl.api.fields import Fields
from stackctl.model.container import (
    Attachment,
    BindMount,
    HostNetwork,
    JoinNetworks,
    NoNetwork,
    PublishedPort,
    RestartPolicy,
    ShareNetwork,
    TmpfsMount,
    VolumeMount,
)
from stackctl.model.health import HealthCheck
from stackctl.model.image import ImageConfig, ResolvedImage

IMAGE = ImageConfig(
    entrypoint=("/entry",),
    cmd=("serve",),
    env=("PATH=/bin", "A=image"),
    user="app",
    ports=("80/tcp",),
    labels=(("i", "1"),),
)


_INHERITED = {
    "db": (
        VolumeMount(volume="data", target="/data"),
        BindMount(source="/etc/x", target="/x"),
        TmpfsMount(target="/tmp"),
    )
}


def wanted(body: dict[str, Any], config: ImageConfig = IMAGE) -> Wanted:
    numbers: Iterator[int] = iter(range(100))
    world = World(lambda name: f"{name}", lambda: f"anonymous{next(numbers)}", _INHERITED.__getitem__)
    return wanted_of(Fields({"Image": "it", **body}), "web", ResolvedImage("sha256:1", config), world)


def host(**host_config: Any) -> Wanted:
    return wanted({"HostConfig": host_config})


def test_what_the_request_leaves_open_is_the_images() -> None:
    spec = wanted({"Env": ["B=2", "A"], "Labels": {"l": "2"}}).spec

    assert spec.argv == ("/entry", "serve")
    assert spec.entrypoint_length == 1
    assert spec.env == ("PATH=/bin", "B=2")  # a name alone takes the image's variable away
    assert spec.user == "app"
    assert spec.labels == (("i", "1"), ("l", "2"))
    assert spec.exposed_ports == ("80/tcp",)
    assert spec.networking == JoinNetworks((Attachment(network="bridge"),))
    assert (spec.stop_signal, spec.stop_grace_s) == ("SIGTERM", 10.0)


@pytest.mark.parametrize(
    ("body", "argv"),
    [
        ({"Cmd": ["x"]}, ("/entry", "x")),
        ({"Entrypoint": ["sh"]}, ("sh",)),
        ({"Entrypoint": "sh", "Cmd": "x"}, ("sh", "x")),
        ({"Entrypoint": [""], "Cmd": ["x"]}, ("x",)),
        ({"Entrypoint": None, "Cmd": None}, ("/entry", "serve")),
    ],
)
def test_an_entrypoint_of_its_own_drops_the_images_command(body: dict[str, Any], argv: tuple[str, ...]) -> None:
    assert wanted(body).spec.argv == argv


def test_a_container_without_any_command_is_refused() -> None:
    with pytest.raises(BadRequest, match="no command specified"):
        wanted({}, ImageConfig())


def test_volumes_of_another_container_give_way_to_those_asked_for() -> None:
    spec = host(VolumesFrom=["db:ro"], Binds=["/mine:/x"]).spec

    assert spec.mounts == (
        BindMount(source="/mine", target="/x"),
        VolumeMount(volume="data", target="/data", read_only=True),
    )


def test_every_way_to_mount_something_is_understood() -> None:
    made = wanted(
        {
            "Volumes": {"/anonymous": {}, "/bound": {}},
            "HostConfig": {
                "Binds": ["/srv/../etc:/bound:ro", "data:/data"],
                "Tmpfs": {"/tmp": "size=1m,exec"},
                "Mounts": [
                    {"Type": "bind", "Source": "/etc", "Target": "/etc2", "BindOptions": {"Propagation": "rslave"}},
                    {"Type": "volume", "Source": "v2", "Target": "/v2", "VolumeOptions": {"Labels": {"a": "b"}}},
                    {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 4096, "Mode": 448}},
                ],
            },
        }
    )

    assert made.spec.mounts == (
        BindMount(source="/etc", target="/bound", read_only=True),
        VolumeMount(volume="data", target="/data"),
        BindMount(source="/etc", target="/etc2", create_source=False, propagation="rslave"),
        VolumeMount(volume="v2", target="/v2"),
        TmpfsMount(target="/t", size_bytes=4096, mode=0o700),
        TmpfsMount(target="/tmp", options=("size=1m", "exec")),
        VolumeMount(volume="anonymous0", target="/anonymous"),
    )
    assert {volume.name: dict(volume.labels) for volume in made.volumes} == {
        "v2": {"a": "b"},
        "anonymous0": {"com.docker.volume.anonymous": ""},
    }


def test_ports_are_published_as_bound_and_with_publish_all_as_exposed() -> None:
    made = host(
        PortBindings={"53/udp": [{"HostIp": "127.0.0.1", "HostPort": "5353"}], "8080": [{"HostPort": "9000-9005"}]},
        PublishAllPorts=True,
    )

    assert made.spec.ports == (
        PublishedPort(container_port=53, protocol="udp", host_ip="127.0.0.1", host_first=5353, host_last=5353),
        PublishedPort(container_port=8080, host_first=9000, host_last=9005),
        PublishedPort(container_port=80),
    )


@pytest.mark.parametrize(
    ("mode", "networking"),
    [
        ("default", JoinNetworks((Attachment(network="bridge"),))),
        ("none", NoNetwork()),
        ("host", HostNetwork()),
        ("container:db", ShareNetwork("db")),
    ],
)
def test_network_modes(mode: str, networking: object) -> None:
    assert host(NetworkMode=mode).spec.networking == networking


def test_the_network_of_the_mode_comes_first_and_each_has_its_own_names() -> None:
    endpoints = {"back": {"Aliases": ["b"]}, "front": {"Aliases": ["f"], "IPAMConfig": {"IPv4Address": "10.9.0.5"}}}
    made = wanted(
        {"HostConfig": {"NetworkMode": "front"}, "NetworkingConfig": {"EndpointsConfig": endpoints}, "MacAddress": "m"}
    )

    assert made.spec.networking == JoinNetworks(
        (
            Attachment(network="front", aliases=("f",), ipv4_address="10.9.0.5", mac_address="m"),
            Attachment(network="back", aliases=("b",)),
        )
    )


def test_limits_restart_and_rights() -> None:
    spec = host(
        Memory=64 << 20,
        CpuQuota=50_000,
        PidsLimit=50,
        RestartPolicy={"Name": "on-failure", "MaximumRetryCount": 3},
        CapAdd=["CAP_NET_ADMIN"],
        SecurityOpt=["no-new-privileges", "seccomp=unconfined"],
        ExtraHosts=["h1:1.2.3.4", "h6=::1"],
        LogConfig={"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}},
    ).spec

    assert (spec.limits.memory_bytes, spec.limits.memory_swap_bytes) == (64 << 20, 128 << 20)
    assert (spec.limits.cpu_quota_us, spec.limits.pids) == (50_000, 50)
    assert spec.restart == RestartPolicy(kind="on-failure", max_attempts=3)
    assert spec.cap_add == ("NET_ADMIN",)
    assert (spec.no_new_privileges, spec.seccomp) == (True, "unconfined")
    assert spec.extra_hosts == (("h1", "1.2.3.4"), ("h6", "::1"))
    assert (spec.log.max_bytes, spec.log.max_files) == (1 << 20, 2)


def test_a_healthcheck_changes_the_images_where_it_says_something() -> None:
    config = ImageConfig(cmd=("x",), health=HealthCheck(test=("CMD", "probe"), retries=7))

    assert wanted({"Healthcheck": {"Interval": 2_000_000_000}}, config).spec.health == HealthCheck(
        test=("CMD", "probe"), interval_s=2.0, retries=7
    )
    assert wanted({"Healthcheck": {"Test": ["NONE"]}}, config).spec.health is None


@pytest.mark.parametrize(
    ("host_config", "what"),
    [
        ({"Links": ["x:y"]}, "Links"),
        ({"Links": ["x:y"]}, "Links"),
        ({"DeviceRequests": [{"Driver": "nvidia"}]}, "DeviceRequests"),
        ({"PidMode": "pod:x"}, "PidMode=pod:x"),
        ({"UsernsMode": "keep-id"}, "UsernsMode"),
        ({"MemorySwappiness": 101}, "swappiness range"),
        ({"Runtime": "kata"}, "Runtime=kata"),
        ({"LogConfig": {"Type": "syslog"}}, "log driver syslog"),
        ({"SecurityOpt": ["seccomp=/profile.json"]}, "security option"),
        ({"Mounts": [{"Type": "image", "Target": "/x"}]}, "mounts of type 'image'"),
        ({"AutoRemove": True, "RestartPolicy": {"Name": "always"}}, "AutoRemove"),
        ({"Memory": 1024}, "6MB"),
        ({"RestartPolicy": {"Name": "sometimes"}}, "sometimes"),
        ({"Binds": ["relative/path:/x"]}, "relative/path"),
        ({"Binds": ["/a:relative"]}, "absolute"),
        ({"Binds": ["/a:/x", "/b:/x"]}, "Duplicate mount point: /x"),
        ({"PortBindings": {"80/sctp": [{}]}}, "sctp"),
        ({"PortBindings": {"99999": [{}]}}, "99999"),
    ],
)
def test_what_this_engine_cannot_do_is_refused_by_name(host_config: dict[str, Any], what: str) -> None:
    with pytest.raises(BadRequest, match=what):
        host(**host_config)


def test_the_zero_values_that_dockers_clients_always_send_ask_for_nothing() -> None:
    zero = """{"Links": null, "VolumesFrom": null, "CgroupParent": "", "BlkioWeight": 0, "BlkioWeightDevice": [],
      "DeviceRequests": null, "MemorySwappiness": -1, "OomKillDisable": false, "Isolation": "", "ConsoleSize": [0, 0],
      "LogConfig": {"Type": "", "Config": {}}, "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}}"""

    spec = host(**json.loads(zero)).spec

    assert spec == wanted({}).spec
