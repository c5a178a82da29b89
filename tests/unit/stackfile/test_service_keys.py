"""Each key of a service, from the text to the value the planner sees, in its short and long forms."""

from __future__ import annotations

from typing import Any

import pytest

from stackctl.model.container import (
    Attachment,
    BindMount,
    Device,
    Dns,
    HostNetwork,
    JoinNetworks,
    LogPolicy,
    NoNetwork,
    PublishedPort,
    RestartPolicy,
    TmpfsMount,
    Ulimit,
    VolumeMount,
)
from stackctl.model.health import HealthCheckOverride
from stackctl.model.hook import Hook
from stackctl.model.limits import BlockLimit, Limits
from stackctl.model.stack import ContentUse, Dependency, ShareServiceNetwork
from tests.support.stacks import loaded, service, stack_of

Case = tuple[str, str, Any]

_PROCESS: dict[str, Case] = {
    "image": ("image: redis:7@sha256:" + "a" * 64, "image", "redis:7@sha256:" + "a" * 64),
    "command as text is split into words": (
        "command: sh -c 'echo \"a b\"' c\\ d",
        "command",
        ("sh", "-c", 'echo "a b"', "c d"),
    ),
    "command as a list": ("command: [a, 'b c']", "command", ("a", "b c")),
    "command that is empty": ("command: []", "command", ()),
    "command that is null is the image's": ("command:", "command", None),
    "entrypoint as text": ("entrypoint: /run.sh -v", "entrypoint", ("/run.sh", "-v")),
    "entrypoint as a list": ("entrypoint: [/run.sh, -v]", "entrypoint", ("/run.sh", "-v")),
    "container_name": ("container_name: front", "container_name", "front"),
    "hostname": ("hostname: front.local", "hostname", "front.local"),
    "domainname": ("domainname: example", "domainname", "example"),
    "user": ("user: 1000:1000", "user", "1000:1000"),
    "group_add": ("group_add: [audio, 44]", "group_add", ("audio", "44")),
    "working_dir": ("working_dir: /srv", "working_dir", "/srv"),
    "environment as a mapping": (
        "environment: {B: yes, A: 1, C: true, D: 1.50, E: '', F: }",
        "environment",
        (("A", "1"), ("B", "yes"), ("C", "true"), ("D", "1.5"), ("E", ""), ("F", None)),
    ),
    "environment as a list": (
        "environment: [A=1, B=x=y, C=, D]",
        "environment",
        (("A", "1"), ("B", "x=y"), ("C", ""), ("D", None)),
    ),
    "labels as a mapping": ("labels: {a: 1, b: }", "labels", (("a", "1"), ("b", ""))),
    "post_start": (
        "post_start: [{command: a 'b c', user: root, working_dir: /w, privileged: true, environment: [A=1, B]}]",
        "post_start",
        (Hook(argv=("a", "b c"), env=("A=1",), user="root", working_dir="/w", privileged=True),),
    ),
    "pre_stop": ("pre_stop: [{command: [a]}, {command: b}]", "pre_stop", (Hook(argv=("a",)), Hook(argv=("b",)))),
    "pull_policy daily": ("pull_policy: daily", "pull_max_age_s", 86400.0),
    "pull_policy every": ("pull_policy: every_1w2d", "pull_max_age_s", 9 * 86400.0),
    "pull_policy refresh": ("pull_policy: refresh\npull_refresh_after: 2h", "pull_max_age_s", 7200.0),
    "labels as a list": ("labels: [a=1, b]", "labels", (("a", "1"), ("b", ""))),
    "init": ("init: true", "init", True),
    "tty": ("tty: true", "tty", True),
    "stdin_open": ("stdin_open: true", "stdin_open", True),
    "read_only": ("read_only: true", "read_only", True),
    "privileged": ("privileged: true", "privileged", True),
    "platform": ("platform: linux/arm64", "platform", "linux/arm64"),
    "attach": ("attach: false", "attach", False),
    "stop_signal": ("stop_signal: SIGQUIT", "stop_signal", "SIGQUIT"),
    "stop_grace_period": ("stop_grace_period: 1m30s", "stop_grace_s", 90.0),
    "stop_grace_period not given": ("tty: true", "stop_grace_s", 10.0),
    "pull_policy": ("pull_policy: always", "pull_policy", "always"),
    "pull_policy if_not_present means missing": ("pull_policy: if_not_present", "pull_policy", "missing"),
    "scale": ("scale: 3", "replicas", 3),
    "x- keys are the user's own": ("x-team: {a: [1]}", "image", "nginx"),
}

_LIFE: dict[str, Case] = {
    "restart no is not a boolean": ("restart: no", "restart", RestartPolicy(kind="no")),
    "restart always": ("restart: always", "restart", RestartPolicy(kind="always")),
    "restart unless-stopped": ("restart: unless-stopped", "restart", RestartPolicy(kind="unless-stopped")),
    "restart on-failure": ("restart: on-failure", "restart", RestartPolicy(kind="on-failure")),
    "restart on-failure with a count": (
        "restart: on-failure:5",
        "restart",
        RestartPolicy(kind="on-failure", max_attempts=5),
    ),
    "deploy.restart_policy wins over restart": (
        "restart: always\ndeploy: {restart_policy: {condition: on-failure, max_attempts: 3}}",
        "restart",
        RestartPolicy(kind="on-failure", max_attempts=3),
    ),
    "deploy.restart_policy any": (
        "deploy: {restart_policy: {condition: any}}",
        "restart",
        RestartPolicy(kind="always"),
    ),
    "deploy.restart_policy none": ("deploy: {restart_policy: {condition: none}}", "restart", RestartPolicy(kind="no")),
    "deploy.replicas": ("deploy: {replicas: 2}", "replicas", 2),
    "deploy.replicas 0": ("deploy: {replicas: 0}", "replicas", 0),
    "healthcheck.test as text goes to the shell": (
        "healthcheck: {test: curl -f http://localhost || exit 1}",
        "healthcheck",
        HealthCheckOverride(test=("CMD-SHELL", "curl -f http://localhost || exit 1")),
    ),
    "healthcheck with every key": (
        "healthcheck: {test: [CMD, ok], interval: 1m30s, timeout: 10s, retries: 4, "
        "start_period: 1h, start_interval: 500ms}",
        "healthcheck",
        HealthCheckOverride(
            test=("CMD", "ok"), interval_s=90, timeout_s=10, retries=4, start_period_s=3600, start_interval_s=0.5
        ),
    ),
    "healthcheck.disable": ("healthcheck: {disable: true}", "healthcheck", HealthCheckOverride(test=("NONE",))),
    "healthcheck.test NONE": ("healthcheck: {test: [NONE]}", "healthcheck", HealthCheckOverride(test=("NONE",))),
    "logging": (
        "logging: {driver: json-file, options: {max-size: 10m, max-file: 3}}",
        "log",
        LogPolicy(max_bytes=10 * 1024 * 1024, max_files=3),
    ),
    "logging without a number of files keeps one": (
        "logging: {options: {max-size: 1k}}",
        "log",
        LogPolicy(max_bytes=1024, max_files=1),
    ),
}

_LIMITS: dict[str, Case] = {
    "cpus": ("cpus: 1.5", "limits", Limits(nano_cpus=1_500_000_000)),
    "cpus as text": ("cpus: '0.25'", "limits", Limits(nano_cpus=250_000_000)),
    "cpu_quota": ("cpu_quota: 5000\ncpu_period: '9000'", "limits", Limits(cpu_quota_us=5000, cpu_period_us=9000)),
    "cpu_rt": ("cpu_rt_runtime: 5\ncpu_rt_period: 9", "limits", Limits(cpu_rt_runtime_us=5, cpu_rt_period_us=9)),
    "mem_swappiness": ("mem_swappiness: 10", "limits", Limits(swappiness=10)),
    "oom_kill_disable": ("oom_kill_disable: true", "limits", Limits(oom_kill_disable=True)),
    "blkio_config": (
        "blkio_config: {weight: 300, weight_device: [{path: /dev/a, weight: 10}], "
        "device_read_bps: [{path: /dev/a, rate: 1m}], device_write_iops: [{path: /dev/b, rate: '20'}]}",
        "limits",
        Limits(
            block_weight=300,
            block=(
                BlockLimit(measure="weight", device="/dev/a", value=10),
                BlockLimit(measure="read_bps", device="/dev/a", value=1 << 20),
                BlockLimit(measure="write_iops", device="/dev/b", value=20),
            ),
        ),
    ),
    "device_cgroup_rules": ("device_cgroup_rules: ['a *:* r', 'c 1:3 rwm']", "device_rules", ("a *:* r", "c 1:3 rwm")),
    "cpu_shares": ("cpu_shares: 512", "limits", Limits(cpu_shares=512)),
    "cpuset": ("cpuset: 0-2,4", "limits", Limits(cpuset="0-2,4")),
    "mem_limit": ("mem_limit: 1.5g", "limits", Limits(memory_bytes=3 * 512 * 1024 * 1024)),
    "mem_limit in bytes": ("mem_limit: 67108864", "limits", Limits(memory_bytes=64 * 1024 * 1024)),
    "mem_reservation": ("mem_reservation: 64 MiB", "limits", Limits(memory_reservation_bytes=64 * 1024 * 1024)),
    "memswap_limit": ("memswap_limit: -1", "limits", Limits(memory_swap_bytes=-1)),
    "pids_limit": ("pids_limit: 100", "limits", Limits(pids=100)),
    "pids_limit -1 is none": ("pids_limit: -1", "limits", Limits()),
    "deploy.resources": (
        "deploy: {resources: {limits: {cpus: '2', memory: 1g, pids: 50}, reservations: {memory: 512m}}}",
        "limits",
        Limits(nano_cpus=2_000_000_000, memory_bytes=1 << 30, memory_reservation_bytes=1 << 29, pids=50),
    ),
    "shm_size": ("shm_size: 128mb", "shm_size_bytes", 128 * 1024 * 1024),
    "oom_score_adj": ("oom_score_adj: -500", "oom_score_adj", -500),
    "ulimits": (
        "ulimits: {nproc: 64, nofile: {soft: 1024, hard: 2048}}",
        "ulimits",
        (Ulimit(name="nofile", soft=1024, hard=2048), Ulimit(name="nproc", soft=64, hard=64)),
    ),
    "sysctls as a mapping": ("sysctls: {net.core.somaxconn: 1024}", "sysctls", (("net.core.somaxconn", "1024"),)),
    "sysctls as a list": ("sysctls: [net.core.somaxconn=1024]", "sysctls", (("net.core.somaxconn", "1024"),)),
    "cap_add": ("cap_add: [CAP_NET_ADMIN, sys_time]", "cap_add", ("NET_ADMIN", "SYS_TIME")),
    "cap_drop": ("cap_drop: [ALL]", "cap_drop", ("ALL",)),
    "security_opt no-new-privileges": ("security_opt: ['no-new-privileges:true']", "no_new_privileges", True),
    "security_opt seccomp": ("security_opt: [seccomp=unconfined]", "seccomp", "unconfined"),
    "pid": ("pid: host", "pid_mode", "host"),
    "ipc": ("ipc: host", "ipc_mode", "host"),
    "devices": (
        "devices: ['/dev/fuse', '/dev/a:/dev/b:r', {source: /dev/c, target: /dev/d, permissions: rw}]",
        "devices",
        (
            Device(source="/dev/fuse", target="/dev/fuse"),
            Device(source="/dev/a", target="/dev/b", permissions="r"),
            Device(source="/dev/c", target="/dev/d", permissions="rw"),
        ),
    ),
}

_NETWORK: dict[str, Case] = {
    "ports of the container alone": ("ports: [80]", "ports", (PublishedPort(container_port=80),)),
    "ports as text": (
        "ports: ['8080:80']",
        "ports",
        (PublishedPort(container_port=80, host_first=8080, host_last=8080),),
    ),
    "ports are not sexagesimal": (
        "ports: [22:22]",
        "ports",
        (PublishedPort(container_port=22, host_first=22, host_last=22),),
    ),
    "ports with address and protocol": (
        "ports: ['127.0.0.1:53:53/udp']",
        "ports",
        (PublishedPort(container_port=53, protocol="udp", host_ip="127.0.0.1", host_first=53, host_last=53),),
    ),
    "ports with an IPv6 address": (
        "ports: ['[::1]:53:53']",
        "ports",
        (PublishedPort(container_port=53, host_ip="::1", host_first=53, host_last=53),),
    ),
    "ports with an address and any port of it": (
        "ports: ['127.0.0.1::53']",
        "ports",
        (PublishedPort(container_port=53, host_ip="127.0.0.1"),),
    ),
    "ports as two ranges": (
        "ports: ['8000-8001:80-81']",
        "ports",
        (
            PublishedPort(container_port=80, host_first=8000, host_last=8000),
            PublishedPort(container_port=81, host_first=8001, host_last=8001),
        ),
    ),
    "ports as a choice of host ports": (
        "ports: ['8000-8010:80']",
        "ports",
        (PublishedPort(container_port=80, host_first=8000, host_last=8010),),
    ),
    "ports in the long form": (
        "ports: [{target: 53, published: '5353', protocol: udp, host_ip: 127.0.0.1, mode: ingress}]",
        "ports",
        (PublishedPort(container_port=53, protocol="udp", host_ip="127.0.0.1", host_first=5353, host_last=5353),),
    ),
    "expose": ("expose: [80, '90-91/udp']", "expose", ("80/tcp", "90/udp", "91/udp")),
    "networks not given": ("tty: true", "networking", JoinNetworks((Attachment(network="shop_default"),))),
    "network_mode host": ("network_mode: host", "networking", HostNetwork()),
    "network_mode none": ("network_mode: none", "networking", NoNetwork()),
    "network_mode bridge": ("network_mode: bridge", "networking", JoinNetworks((Attachment(network="shop_bridge"),))),
    "mac_address": (
        "mac_address: 02:42:ac:11:65:43",
        "networking",
        JoinNetworks((Attachment(network="shop_default", mac_address="02:42:ac:11:65:43"),)),
    ),
    "dns as text": ("dns: 9.9.9.9", "dns", Dns(servers=("9.9.9.9",))),
    "dns, dns_search and dns_opt as lists": (
        "dns: [1.1.1.1, 9.9.9.9]\ndns_search: [a.example, b.example]\ndns_opt: ['ndots:2', use-vc]",
        "dns",
        Dns(servers=("1.1.1.1", "9.9.9.9"), search=("a.example", "b.example"), options=("ndots:2", "use-vc")),
    ),
    "dns_search as text": ("dns_search: a.example", "dns", Dns(search=("a.example",))),
    "extra_hosts as a list": (
        "extra_hosts: ['b:10.0.0.2', 'a=10.0.0.1', 'host.docker.internal:host-gateway', 'c:[::1]']",
        "extra_hosts",
        (("a", "10.0.0.1"), ("b", "10.0.0.2"), ("c", "::1"), ("host.docker.internal", "host-gateway")),
    ),
    "extra_hosts as a mapping": (
        "extra_hosts: {a: 10.0.0.1, b: [10.0.0.2, 10.0.0.3]}",
        "extra_hosts",
        (("a", "10.0.0.1"), ("b", "10.0.0.2"), ("b", "10.0.0.3")),
    ),
}

_MOUNTS: dict[str, Case] = {
    "volumes, a folder": ("volumes: ['./d:/data']", "mounts", (BindMount(source="/srv/shop/d", target="/data"),)),
    "volumes, a folder above": ("volumes: ['../d:/data']", "mounts", (BindMount(source="/srv/d", target="/data"),)),
    "volumes, a folder of the home": (
        "volumes: ['~/d:/data:ro']",
        "mounts",
        (BindMount(source="/home/me/d", target="/data", read_only=True),),
    ),
    "volumes, with propagation": (
        "volumes: ['/a:/b:ro,rslave']",
        "mounts",
        (BindMount(source="/a", target="/b", read_only=True, propagation="rslave"),),
    ),
    "volumes, anonymous": ("volumes: [/cache]", "mounts", (VolumeMount(volume="", target="/cache"),)),
    "volumes, the long form of a folder": (
        "volumes: [{type: bind, source: d, target: /data, read_only: true, bind: {create_host_path: false}}]",
        "mounts",
        (BindMount(source="/srv/shop/d", target="/data", read_only=True, create_source=False),),
    ),
    "volumes, the long form of a tmpfs": (
        "volumes: [{type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 0700}}]",
        "mounts",
        (TmpfsMount(target="/t", size_bytes=1 << 20, mode=0o700),),
    ),
    "tmpfs as text": ("tmpfs: /run", "mounts", (TmpfsMount(target="/run"),)),
    "tmpfs with options": (
        "tmpfs: ['/run:size=64k,mode=755,noexec', /tmp]",
        "mounts",
        (TmpfsMount(target="/run", size_bytes=65536, mode=0o755, options=("noexec",)), TmpfsMount(target="/tmp")),
    ),
}


def _cases(*tables: dict[str, Case]) -> list[Any]:
    return [pytest.param(*case, id=name) for table in tables for name, case in table.items()]


@pytest.mark.parametrize(("keys", "field", "value"), _cases(_PROCESS, _LIFE, _LIMITS, _NETWORK, _MOUNTS))
def test_a_key_becomes_the_value_the_planner_sees(keys: str, field: str, value: object) -> None:
    assert getattr(service(keys), field) == value


_NAMED: dict[str, tuple[str, str, str, Any]] = {
    "a named volume": (
        "volumes: ['data:/var/lib/x:ro,nocopy']",
        "volumes: {data: }",
        "mounts",
        (VolumeMount(volume="shop_data", target="/var/lib/x", read_only=True, nocopy=True),),
    ),
    "a named volume in the long form": (
        "volumes: [{type: volume, source: data, target: /x, volume: {nocopy: true, subpath: a/b}}]",
        "volumes: {data: {name: real}}",
        "mounts",
        (VolumeMount(volume="real", target="/x", nocopy=True, subpath="a/b"),),
    ),
    "a secret": (
        "secrets: [key]",
        "secrets: {key: {environment: HOME}}",
        "mounts",
        (ContentUse(kind="secret", name="key", target="/run/secrets/key"),),
    ),
    "a secret in the long form": (
        "secrets: [{source: key, target: cert, uid: '1', gid: '2', mode: 0400}]",
        "secrets: {key: {environment: HOME}}",
        "mounts",
        (ContentUse(kind="secret", name="key", target="/run/secrets/cert", uid=1, gid=2, mode=0o400),),
    ),
    "a config": (
        "configs: [motd]",
        "configs: {motd: {content: hello}}",
        "mounts",
        (ContentUse(kind="config", name="motd", target="/motd"),),
    ),
    "a config in the long form": (
        "configs: [{source: motd, target: /etc/motd, mode: '0644'}]",
        "configs: {motd: {content: hello}}",
        "mounts",
        (ContentUse(kind="config", name="motd", target="/etc/motd", mode=0o644),),
    ),
    "networks as a list": (
        "networks: [b, a]",
        "networks: {a: , b: }",
        "networking",
        JoinNetworks((Attachment(network="shop_a"), Attachment(network="shop_b"))),
    ),
    "networks in the long form": (
        "networks: {a: , b: {aliases: [x, y], ipv4_address: 10.9.0.5, mac_address: '02:00:00:00:00:01', priority: 10}}",
        "networks: {a: , b: {ipam: {config: [{subnet: 10.9.0.0/16}]}}}",
        "networking",
        JoinNetworks(
            (
                Attachment(
                    network="shop_b",
                    aliases=("x", "y"),
                    ipv4_address="10.9.0.5",
                    mac_address="02:00:00:00:00:01",
                    priority=10,
                ),
                Attachment(network="shop_a"),
            )
        ),
    ),
    "the gateway's priority decides before the other one": (
        "networks: {a: {gw_priority: 1}, b: {priority: 10}}",
        "networks: {a: , b: }",
        "networking",
        JoinNetworks((Attachment(network="shop_a"), Attachment(network="shop_b", priority=10))),
    ),
}


@pytest.mark.parametrize(
    ("keys", "top", "field", "value"), [pytest.param(*case, id=name) for name, case in _NAMED.items()]
)
def test_a_key_refers_to_what_stands_at_the_top_level(keys: str, top: str, field: str, value: object) -> None:
    assert getattr(service(keys, top=top), field) == value


_DB = "db: {image: pg}"


def test_depends_on_as_a_list_waits_for_the_start() -> None:
    assert service("depends_on: [db]", others=_DB).depends_on == (Dependency(service="db"),)


@pytest.mark.parametrize("condition", ["service_started", "service_healthy", "service_completed_successfully"])
def test_depends_on_in_the_long_form_has_a_condition(condition: str) -> None:
    found = service(f"depends_on: {{db: {{condition: {condition}, restart: true, required: false}}}}", others=_DB)

    assert [(one.service, one.condition, one.restart, one.required) for one in found.depends_on] == [
        ("db", condition, True, False)
    ]


def test_links_are_dependencies_and_names() -> None:
    keys = "links: ['db:store']"
    shared = JoinNetworks((Attachment(network="shop_default", aliases=("store",)),))

    assert service(keys, others=_DB).depends_on == (Dependency(service="db", restart=True),)
    assert service(keys, others=_DB, name="db").networking == shared


def test_network_mode_service_is_a_dependency_too() -> None:
    found = service("network_mode: service:db", others=_DB)

    assert found.networking == ShareServiceNetwork("db")
    assert [one.service for one in found.depends_on] == ["db"]


@pytest.mark.parametrize(
    ("profiles", "named", "on"), [((), (), False), (("dev",), (), True), (("*",), (), True), ((), ("web",), True)]
)
def test_a_service_with_profiles_is_on_when_one_is_active_or_when_it_is_named(
    profiles: tuple[str, ...], named: tuple[str, ...], on: bool
) -> None:
    text = "services: {web: {image: a, profiles: [dev, test]}, db: {image: b}}"
    stack = stack_of(loaded(text, profiles=profiles, services=named))

    assert ("web" in stack.services) == on
    assert stack.disabled_services == (() if on else ("web",))


def test_a_key_of_gpus_that_nobody_knows_is_warned_of() -> None:
    found = loaded("services: {a: {image: i, gpus: [{cuont: 1}]}}")

    (warning,) = [one for one in found.diagnostics if one.code == "unknown-key"]
    assert (warning.severity, warning.hint) == ("warning", "did you mean `count`?")
