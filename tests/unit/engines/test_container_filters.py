"""Docker's filters of container lists."""

from __future__ import annotations

import pytest

from stackctl.engines.container_filters import check, passes
from stackctl.errors import UsageError
from stackctl.model.container import Attachment, BindMount, ContainerSpec, JoinNetworks, VolumeMount
from stackctl.model.observed import ObservedContainer, ObservedPort

SPEC = ContainerSpec(
    name="shop-web-1",
    image_ref="nginx:1",
    image_id="sha256:abc",
    argv=("x",),
    networking=JoinNetworks((Attachment(network="front"),)),
    mounts=(VolumeMount(volume="data", target="/data"), BindMount(source="/srv", target="/www")),
    exposed_ports=("443/tcp",),
)
WEB = ObservedContainer(
    id="f00d",
    name="shop-web-1",
    state="exited",
    spec=SPEC,
    exit_code=3,
    image_ref="nginx:1",
    image_id="sha256:abc",
    labels=(("a", "1"), ("b", "2")),
    ports=(ObservedPort(host_ip="", host_port=8080, container_port=80, protocol="tcp"),),
    volumes=("data",),
    created_ns=50,
    network_ids=(("front", "beef01"),),
)


@pytest.mark.parametrize(
    ("filters", "is_in"),
    [
        ({"label": ["a"]}, True),
        ({"label": ["a=1", "b=2"]}, True),
        ({"label": ["a=1", "b=3"]}, False),
        ({"status": ["running", "exited"]}, True),
        ({"status": ["running"]}, False),
        ({"name": ["^/shop-web"]}, True),
        ({"name": ["web-1$", "nobody"]}, True),
        ({"name": ["["]}, False),
        ({"id": ["f0"]}, True),
        ({"exited": ["3"]}, True),
        ({"exited": ["0"]}, False),
        ({"ancestor": ["docker.io/library/nginx:1"]}, True),
        ({"ancestor": ["abc"]}, True),
        ({"ancestor": ["nginx"]}, False),
        ({"network": ["front"]}, True),
        ({"network": ["beef"]}, True),
        ({"volume": ["data"]}, True),
        ({"volume": ["/www"]}, True),
        ({"publish": ["8000-9000/tcp"]}, True),
        ({"publish": ["80"]}, False),
        ({"expose": ["443"]}, True),
        ({"label": ["a"], "status": ["running"]}, False),
        ({}, True),
    ],
)
def test_labels_must_all_hold_and_of_other_values_one(filters: dict[str, list[str]], is_in: bool) -> None:
    assert passes(WEB, filters, before=0, since=0) is is_in


def test_before_and_since_leave_out_the_container_they_name() -> None:
    assert not passes(WEB, {}, before=50, since=0)
    assert passes(WEB, {}, before=51, since=49)
    assert not passes(WEB, {}, before=0, since=50)


@pytest.mark.parametrize("filters", [{"nonsense": ["x"]}, {"status": ["asleep"]}, {"health": ["fine"]}])
def test_a_filter_there_is_not_is_refused(filters: dict[str, list[str]]) -> None:
    with pytest.raises(UsageError, match="invalid filter"):
        check(filters)
