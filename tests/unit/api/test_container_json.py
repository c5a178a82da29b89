"""Containers in the shapes Docker's clients read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stackctl.api.container_json import Folders, inspect_json, list_json, status_text
from stackctl.model.container import Attachment, ContainerSpec, HostNetwork, JoinNetworks, VolumeMount
from stackctl.model.observed import ObservedAddress, ObservedContainer

FOLDERS = Folders("/root/containers", "/root/volumes")
SPEC = ContainerSpec(
    name="web",
    image_ref="nginx",
    image_id="sha256:1",
    argv=("/entry", "serve"),
    entrypoint_length=1,
    mounts=(VolumeMount(volume="data", target="/data"),),
    networking=JoinNetworks((Attachment(network="front", aliases=("www",)),)),
    exposed_ports=("80/tcp",),
)
_S = 1_000_000_000


def _web(state: str = "created", **more: object) -> ObservedContainer:
    ids = (("front", "beef"),)
    return ObservedContainer(id="c" * 64, name="web", state=state, spec=SPEC, network_ids=ids, **more)  # type: ignore[arg-type]


def test_a_container_that_never_ran_tells_its_networks_and_volumes() -> None:
    """Compose makes containers anew whose networks or volumes it does not find."""
    shape = list_json(_web(), FOLDERS)

    assert shape["NetworkSettings"]["Networks"]["front"]["NetworkID"] == "beef"
    assert shape["NetworkSettings"]["Networks"]["front"]["IPAddress"] == ""
    assert [(mount["Type"], mount["Name"], mount["Source"]) for mount in shape["Mounts"]] == [
        ("volume", "data", "/root/volumes/data/_data")
    ]


def test_what_clients_dereference_is_never_missing() -> None:
    address = ObservedAddress(network="front", ipv4="10.0.0.2", mac="02:42:0a:00:00:02", prefix_length=24)
    shape = inspect_json(_web("running", networks=(address,), pid=7), FOLDERS)

    assert shape["Name"] == "/web"
    assert shape["Config"]["Entrypoint"] == ["/entry"]
    assert shape["Config"]["Cmd"] == ["serve"]
    assert shape["HostConfig"]["LogConfig"]["Type"] == "json-file"
    assert shape["NetworkSettings"]["Ports"] == {"80/tcp": None}
    assert shape["NetworkSettings"]["Networks"]["front"]["IPAddress"] == "10.0.0.2"
    assert "Health" not in shape["State"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (150, "2 minutes"),
        (3700, "About an hour"),
        (47 * 3600, "47 hours"),
        (3 * 86400, "3 days"),
        (20 * 86400, "2 weeks"),
        (100 * 86400, "3 months"),
        (800 * 86400, "2 years"),
    ],
)
def test_durations_are_told_as_docker_does(seconds: int, text: str) -> None:
    assert status_text(_web("running", started_ns=_S), _S + seconds * _S) == f"Up {text}"


def test_how_it_is_stands_behind_how_long() -> None:
    ended = _web("exited", exit_code=137, finished_ns=_S)

    assert status_text(ended, 6 * _S) == "Exited (137) 5 seconds ago"
    assert status_text(_web("paused", started_ns=_S), 6 * _S) == "Up 5 seconds (Paused)"
    assert status_text(_web("running", started_ns=_S, health="starting"), 6 * _S) == "Up 5 seconds (health: starting)"


def test_exposed_ports_are_listed_unless_the_network_is_anothers() -> None:
    of_its_own = _web("running")
    of_the_host = replace(of_its_own, spec=replace(SPEC, networking=HostNetwork()))

    assert list_json(of_its_own, FOLDERS)["Ports"] == [{"PrivatePort": 80, "Type": "tcp"}]
    assert list_json(of_the_host, FOLDERS)["Ports"] == []
