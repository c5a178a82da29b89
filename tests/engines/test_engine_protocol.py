"""What every action means, on every engine: what success is, that twice is once, and what is refused.

Written against the docstrings of ``reconcile.engine`` and ``reconcile.action``.
"""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from stackctl.errors import Conflict, ContainerError, EngineError, NotFound
from stackctl.model.container import Attachment, JoinNetworks, PublishedPort, RestartPolicy, ShareNetwork
from stackctl.model.limits import Limits
from stackctl.reconcile.action import (
    Action,
    AwaitCondition,
    CreateContainer,
    CreateNetwork,
    CreateVolume,
    KillContainer,
    RemoveContainer,
    RemoveNetwork,
    RemoveVolume,
    RenameContainer,
    StartContainer,
    StopContainer,
    SwitchTraffic,
    UpdateContainer,
)
from stackctl.reconcile.engine import ImageRequest, ResourceNames
from tests.engines.conftest import IMAGE, ON_TERM_EXIT_7, Bench

OTHER_ID = "f" * 64


def refused(bench: Bench, action: Action, kind: type[EngineError], code: str) -> None:
    with pytest.raises(kind) as caught:
        bench.do(action)
    assert caught.value.code == code


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


# -- images and looking -------------------------------------------------------------------------------


def test_only_images_that_are_there_are_resolved(bench: Bench) -> None:
    known, unknown = ImageRequest(IMAGE), ImageRequest("nobody/has:this", policy="never")
    assert set(bench.engine.resolve([known, unknown])) == {known}


def test_a_snapshot_shows_what_has_the_label_and_what_has_a_name(bench: Bench) -> None:
    bench.do(CreateVolume(bench.volume("data")), CreateNetwork(bench.network("net")))
    foreign = replace(bench.container("foreign"), labels=())
    bench.do(CreateContainer(bench.container("web", networks=("net",))), CreateContainer(foreign))

    own = bench.look()
    with_names = bench.engine.snapshot(bench.stack, ResourceNames(containers=(foreign.name,)))

    assert [container.name for container in own.containers] == [bench.name("web")]
    assert [(n.name, n.containers) for n in own.networks] == [(bench.name("net"), (bench.name("web"),))]
    assert [(v.name, v.used_by) for v in own.volumes] == [(bench.name("data"), ())]
    assert [container.name for container in with_names.containers] == [foreign.name, bench.name("web")]
    (taken,) = [container for container in with_names.containers if container.name == foreign.name]
    bench.do(RemoveContainer(foreign.name, taken.id))


def test_a_fingerprint_tells_whether_anything_has_changed(bench: Bench) -> None:
    bench.do(CreateContainer(bench.container("web")))
    first, again = bench.look().fingerprint, bench.look().fingerprint
    bench.do(StartContainer(bench.name("web")))
    assert first == again != bench.look().fingerprint


# -- networks -----------------------------------------------------------------------------------------


def test_a_network_is_made_once(bench: Bench) -> None:
    bench.do(CreateNetwork(bench.network("net")))
    (first,) = bench.look().networks
    bench.do(CreateNetwork(bench.network("net")))
    (second,) = bench.look().networks
    assert first == second
    assert first.spec == bench.network("net")
    assert first.subnet and first.gateway


def test_a_network_is_not_made_over_another_definition(bench: Bench) -> None:
    bench.do(CreateNetwork(bench.network("net")))
    refused(bench, CreateNetwork(bench.network("net", is_internal=True)), Conflict, "network-differs")


def test_two_networks_cannot_have_the_same_addresses(bench: Bench) -> None:
    bench.do(CreateNetwork(bench.network("one", subnet="10.97.3.0/24")))
    refused(bench, CreateNetwork(bench.network("two", subnet="10.97.0.0/16")), Conflict, "subnet-overlap")
    assert [network.name for network in bench.look().networks] == [bench.name("one")]


def test_a_network_is_removed_once(bench: Bench) -> None:
    bench.do(CreateNetwork(bench.network("net")))
    (network,) = bench.look().networks
    remove = RemoveNetwork(network.name, network.id)
    bench.do(remove, remove)
    assert bench.look().networks == ()


def test_another_network_of_the_name_is_not_removed(bench: Bench) -> None:
    bench.do(CreateNetwork(bench.network("net")))
    refused(bench, RemoveNetwork(bench.name("net"), OTHER_ID), Conflict, "network-changed")
    assert len(bench.look().networks) == 1


def test_a_network_is_not_removed_from_under_those_who_run_on_it(bench: Bench) -> None:
    bench.do(CreateNetwork(bench.network("net")))
    web = bench.run("web", networks=("net",))
    (network,) = bench.look().networks
    refused(bench, RemoveNetwork(network.name, network.id), Conflict, "network-in-use")
    bench.do(StopContainer(web.name, web.id, 0), RemoveNetwork(network.name, network.id))
    refused(bench, StartContainer(web.name, web.id), NotFound, "no-such-network")


# -- volumes ------------------------------------------------------------------------------------------


def test_a_volume_is_made_once_and_keeps_what_it_has(bench: Bench) -> None:
    bench.do(CreateVolume(bench.volume("data")))
    (first,) = bench.look().volumes
    bench.do(CreateVolume(bench.volume("data")))
    assert bench.look().volumes == (first,)


def test_a_volume_is_removed_once(bench: Bench) -> None:
    bench.do(CreateVolume(bench.volume("data")))
    bench.do(RemoveVolume(bench.name("data")), RemoveVolume(bench.name("data")))
    assert bench.look().volumes == ()


def test_a_volume_is_not_removed_from_a_container(bench: Bench) -> None:
    bench.do(CreateVolume(bench.volume("data")))
    bench.do(CreateContainer(bench.container("db", mounts=(bench.mount("data"),))))
    refused(bench, RemoveVolume(bench.name("data")), Conflict, "volume-in-use")
    assert [volume.used_by for volume in bench.look().volumes] == [(bench.name("db"),)]


# -- create -------------------------------------------------------------------------------------------


def test_a_container_is_created_once_and_not_started(bench: Bench) -> None:
    spec = bench.container("web")
    bench.do(CreateContainer(spec))
    first = bench.one("web")
    bench.do(CreateContainer(spec))
    assert bench.one("web") == first
    assert (first.state, first.spec, first.started_ns, first.exit_code) == ("created", spec, 0, None)


def test_a_container_is_not_created_over_another(bench: Bench) -> None:
    bench.do(CreateContainer(bench.container("web")))
    refused(bench, CreateContainer(bench.container("web", "sleep", "5")), Conflict, "name-taken")


def test_a_container_is_not_created_over_one_that_was_started(bench: Bench) -> None:
    bench.run("web")
    refused(bench, CreateContainer(bench.container("web")), Conflict, "name-taken")


def test_creating_makes_missing_volumes(bench: Bench) -> None:
    bench.do(CreateContainer(bench.container("db", mounts=(bench.mount("data"),))))
    found = bench.engine.snapshot(bench.stack, ResourceNames(volumes=(bench.name("data"),)))
    assert [volume.name for volume in found.volumes] == [bench.name("data")]
    db = bench.one("db")
    bench.do(RemoveContainer(db.name, db.id), RemoveVolume(bench.name("data")))


@pytest.mark.parametrize(
    ("fields", "kind", "code"),
    [
        ({"networks": ("nowhere",)}, NotFound, "no-such-network"),
        ({"image_id": "sha256:" + "0" * 64}, NotFound, "image-not-found"),
        ({"argv": ()}, ContainerError, "no-command"),
        ({"name": "-no"}, ContainerError, "invalid-name"),
    ],
)
def test_what_cannot_be_is_not_created(
    bench: Bench, fields: dict[str, object], kind: type[EngineError], code: str
) -> None:
    refused(bench, CreateContainer(bench.container("web", **fields)), kind, code)  # type: ignore[arg-type]
    assert bench.containers() == []


# -- start --------------------------------------------------------------------------------------------


def test_a_container_is_started_once(bench: Bench) -> None:
    first = bench.run("web")
    bench.do(StartContainer(first.name, first.id))
    assert bench.one("web") == first
    assert first.state == "running"
    assert first.pid and first.started_ns > first.created_ns


def test_a_started_container_has_its_addresses(bench: Bench) -> None:
    bench.do(CreateNetwork(bench.network("net", subnet="10.97.8.0/24")))
    networking = JoinNetworks((Attachment(network=bench.name("net"), ipv4_address="10.97.8.7"),))
    (address,) = bench.run("web", networking=networking).networks
    assert (address.network, address.ipv4, address.prefix_length) == (bench.name("net"), "10.97.8.7", 24)
    assert (address.gateway, address.mac) == ("10.97.8.1", "02:42:0a:61:08:07")


def test_starting_what_is_not_there_is_refused(bench: Bench) -> None:
    refused(bench, StartContainer(bench.name("web")), NotFound, "no-such-container")
    refused(bench, StartContainer(bench.name("web"), OTHER_ID), NotFound, "no-such-container")


def test_another_container_of_the_name_is_not_started(bench: Bench) -> None:
    bench.do(CreateContainer(bench.container("web")))
    refused(bench, StartContainer(bench.name("web"), OTHER_ID), Conflict, "container-changed")
    assert bench.one("web").state == "created"


def test_a_command_that_does_not_exist_leaves_the_container_as_it_was(bench: Bench) -> None:
    bench.do(CreateContainer(bench.container("web", "no-such-command")))
    refused(bench, StartContainer(bench.name("web")), ContainerError, "command-not-found")
    assert bench.one("web").state == "created"


def test_a_host_port_is_held_by_one(bench: Bench) -> None:
    bench.do(CreateNetwork(bench.network("net")))
    number = free_port()
    port = PublishedPort(container_port=80, host_first=number, host_last=number, host_ip="127.0.0.1")
    holder = bench.run("one", networks=("net",), ports=(port,))
    bench.do(CreateContainer(bench.container("two", networks=("net",), ports=(port,))))
    refused(bench, StartContainer(bench.name("two")), Conflict, "port-taken")
    assert bench.one("two").state == "created"
    bench.do(StopContainer(holder.name, holder.id, 0), StartContainer(bench.name("two")))
    assert [port.host_port for port in bench.one("two").ports] == [number]
    assert bench.one("one").ports == ()


def test_replicas_share_a_host_port(bench: Bench) -> None:
    bench.do(CreateNetwork(bench.network("net")))
    number = free_port()
    port = PublishedPort(container_port=80, host_first=number, host_last=number, host_ip="127.0.0.1", share="s/web")
    for text in ("one", "two"):
        assert [held.host_port for held in bench.run(text, networks=("net",), ports=(port,)).ports] == [number]


def test_an_address_is_held_by_one_that_runs(bench: Bench) -> None:
    bench.do(CreateNetwork(bench.network("net", subnet="10.97.9.0/24")))
    networking = JoinNetworks((Attachment(network=bench.name("net"), ipv4_address="10.97.9.9"),))
    holder = bench.run("one", networking=networking)
    bench.do(CreateContainer(bench.container("two", networking=networking)))
    refused(bench, StartContainer(bench.name("two")), Conflict, "address-taken")
    bench.do(StopContainer(holder.name, holder.id, 0), StartContainer(bench.name("two")))
    assert [address.ipv4 for address in bench.one("two").networks] == ["10.97.9.9"]


def test_a_fixed_address_is_spared_for_one_that_does_not_run_yet(bench: Bench) -> None:
    bench.do(CreateNetwork(bench.network("net", subnet="10.97.9.0/29")))
    fixed = JoinNetworks((Attachment(network=bench.name("net"), ipv4_address="10.97.9.2"),))
    bench.do(CreateContainer(bench.container("fixed", networking=fixed)))
    other = bench.run("other", networks=("net",))
    bench.do(StartContainer(bench.name("fixed")))
    assert [address.ipv4 for one in (other, bench.one("fixed")) for address in one.networks] == [
        "10.97.9.3",
        "10.97.9.2",
    ]


def test_a_network_is_shared_only_with_one_that_runs(bench: Bench) -> None:
    bench.do(CreateContainer(bench.container("owner")))
    bench.do(CreateContainer(bench.container("guest", networking=ShareNetwork(bench.name("owner")))))
    refused(bench, StartContainer(bench.name("guest")), Conflict, "namespace-owner-not-running")
    bench.do(StartContainer(bench.name("owner")), StartContainer(bench.name("guest")))
    assert bench.one("guest").state == "running"


# -- ending -------------------------------------------------------------------------------------------


def test_an_exit_is_recorded_with_its_code(bench: Bench) -> None:
    bench.run("job", "sh", "-c", "exit 3")
    with pytest.raises(ContainerError):
        bench.do(AwaitCondition((bench.name("job"),), "service_completed_successfully"))
    job = bench.one("job")
    assert (job.state, job.exit_code, job.pid) == ("exited", 3, 0)
    assert job.finished_ns >= job.started_ns


def test_a_restart_policy_gives_up_after_its_attempts(bench: Bench) -> None:
    policy = RestartPolicy(kind="on-failure", max_attempts=2)
    bench.run("job", "sh", "-c", "exit 3", restart=policy)
    with pytest.raises(ContainerError):
        bench.do(AwaitCondition((bench.name("job"),), "service_completed_successfully"))
    assert (bench.one("job").state, bench.one("job").restart_count) == ("exited", 2)


def test_a_container_is_stopped_once(bench: Bench) -> None:
    web = bench.run("web", *ON_TERM_EXIT_7)
    bench.do(StopContainer(web.name, web.id, 20))
    first = bench.one("web")
    bench.do(StopContainer(web.name, web.id, 20))
    assert bench.one("web") == first
    assert (first.state, first.exit_code) == ("exited", 7)


def test_what_does_not_stop_is_killed(bench: Bench) -> None:
    web = bench.run("web")
    bench.do(StopContainer(web.name, web.id, 0))
    assert (bench.one("web").state, bench.one("web").exit_code) == ("exited", 137)


def test_what_is_stopped_is_not_restarted(bench: Bench) -> None:
    web = bench.run("web", restart=RestartPolicy(kind="always"))
    bench.do(StopContainer(web.name, web.id, 0))
    assert bench.one("web").state == "exited"


def test_what_waits_for_its_restart_is_stopped(bench: Bench) -> None:
    web = bench.run("web", "sh", "-c", "exit 1", restart=RestartPolicy(kind="always"))
    bench.do(StopContainer(web.name, web.id, 0))
    assert bench.one("web").state == "exited"


def test_stopping_what_is_not_there_is_a_success(bench: Bench) -> None:
    bench.do(StopContainer(bench.name("web"), OTHER_ID, 0))


def test_another_container_of_the_name_is_not_stopped(bench: Bench) -> None:
    bench.run("web")
    refused(bench, StopContainer(bench.name("web"), OTHER_ID, 0), Conflict, "container-changed")
    assert bench.one("web").state == "running"


def test_a_killed_container_has_exited(bench: Bench) -> None:
    web = bench.run("web", restart=RestartPolicy(kind="always"))
    kill = KillContainer(web.name, web.id, "SIGKILL")
    bench.do(kill, StopContainer(web.name, web.id, 0), kill)
    assert (bench.one("web").state, bench.one("web").exit_code) == ("exited", 137)


def test_a_signal_needs_a_container_and_a_name(bench: Bench) -> None:
    refused(bench, KillContainer(bench.name("web"), OTHER_ID, "SIGKILL"), NotFound, "no-such-container")
    web = bench.run("web")
    refused(bench, KillContainer(web.name, OTHER_ID, "SIGKILL"), Conflict, "container-changed")
    refused(bench, KillContainer(web.name, web.id, "SIGNOTHING"), ContainerError, "unknown-signal")
    assert bench.one("web").state == "running"


# -- remove, rename, update ---------------------------------------------------------------------------


def test_a_container_is_removed_once_and_its_volumes_stay(bench: Bench) -> None:
    bench.do(CreateVolume(bench.volume("data")))
    bench.do(CreateContainer(bench.container("db", mounts=(bench.mount("data"),))))
    db = bench.one("db")
    bench.do(RemoveContainer(db.name, db.id), RemoveContainer(db.name, db.id))
    assert bench.containers() == []
    assert [volume.name for volume in bench.look().volumes] == [bench.name("data")]


def test_a_running_container_is_not_removed(bench: Bench) -> None:
    web = bench.run("web")
    refused(bench, RemoveContainer(web.name, web.id), Conflict, "container-running")
    assert bench.one("web") == web


def test_another_container_of_the_name_is_not_removed(bench: Bench) -> None:
    bench.do(CreateContainer(bench.container("web")))
    refused(bench, RemoveContainer(bench.name("web"), OTHER_ID), Conflict, "container-changed")
    assert bench.containers() == ["web"]


def test_a_running_container_is_renamed_once(bench: Bench) -> None:
    old = bench.run("old")
    rename = RenameContainer(bench.name("old"), bench.name("new"))
    bench.do(rename, rename)
    assert bench.containers() == ["new"]
    assert (bench.one("new").id, bench.one("new").started_ns) == (old.id, old.started_ns)


def test_a_container_does_not_get_the_name_of_another(bench: Bench) -> None:
    bench.do(CreateContainer(bench.container("one")), CreateContainer(bench.container("two")))
    refused(bench, RenameContainer(bench.name("one"), bench.name("two")), Conflict, "name-taken")
    assert bench.containers() == ["one", "two"]


def test_renaming_what_is_not_there_is_refused(bench: Bench) -> None:
    refused(bench, RenameContainer(bench.name("old"), bench.name("new")), NotFound, "no-such-container")


def test_limits_and_restart_policy_change_without_a_restart(bench: Bench) -> None:
    before = bench.run("web")
    limits, restart = Limits(memory_bytes=64 << 20, pids=50), RestartPolicy(kind="always")
    wanted = replace(bench.container("web"), limits=limits, restart=restart, env=("NOT=ASKED",))
    update = UpdateContainer(before.name, before.id, wanted, ("limits", "restart"))
    bench.do(update, update)
    after = bench.one("web")
    assert after.spec is not None
    assert (after.spec.limits, after.spec.restart) == (limits, restart)
    assert after.spec.env == before.spec.env
    assert (after.id, after.pid, after.started_ns) == (before.id, before.pid, before.started_ns)


def test_an_update_needs_the_container_it_is_for(bench: Bench) -> None:
    name = bench.name("web")
    update = UpdateContainer(name, OTHER_ID, bench.container("web"), ("limits",))
    refused(bench, update, NotFound, "no-such-container")
    bench.do(CreateContainer(bench.container("web")))
    refused(bench, update, Conflict, "container-changed")


def test_one_that_replaces_another_stands_by_until_it_is_given_the_traffic(bench: Bench) -> None:
    old = bench.run("old")
    new = bench.container("new")
    bench.do(CreateContainer(new), StartContainer(new.name, "", old.name))
    assert (bench.one("old").is_standby, bench.one("new").is_standby) == (False, True)
    switch = SwitchTraffic(new.name, old.name, old.id)
    bench.do(switch, switch)
    assert (bench.one("old").is_standby, bench.one("new").is_standby) == (True, False)
    bench.do(SwitchTraffic(old.name, new.name))
    assert (bench.one("old").is_standby, bench.one("new").is_standby) == (False, True)
    refused(bench, SwitchTraffic(new.name, old.name, OTHER_ID), Conflict, "container-changed")
    bench.do(SwitchTraffic(new.name, bench.name("nobody")))
    assert not bench.one("new").is_standby


def test_what_is_monitored_must_not_end(bench: Bench) -> None:
    ends = bench.run("ends", "sh", "-c", "exit 3", restart=RestartPolicy(kind="always"))
    refused(bench, AwaitCondition((ends.name,), "service_healthy", 0.0, 1.0), ContainerError, "update-failed")
    stays = bench.run("stays")
    bench.do(AwaitCondition((stays.name,), "service_healthy", 0.0, 0.05))
