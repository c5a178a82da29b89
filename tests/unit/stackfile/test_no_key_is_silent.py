"""Every key of the schema does something, or something is said about it; silence is a defect."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from stackctl.diagnostics import Diagnostic
from stackctl.stackfile.node import Json, plain
from stackctl.stackfile.problems import Problems, dotted
from stackctl.stackfile.schema import load_schema
from stackctl.stackfile.yaml_text import read_yaml
from tests.support.stacks import decoded, loaded, loaded_from

KeyPath = tuple[str | int, ...]

_DESCRIPTIVE = {
    "services.*.ports.*.name": "a name for the reader",
    "services.*.ports.*.app_protocol": "a word for other tools about what is spoken there",
    "configs.*.name": "the name in a cluster's store, of which there is none",
    "secrets.*.name": "the name in a cluster's store, of which there is none",
    "networks.*.ipam.driver": "an engine has one way of giving out addresses; another one is reported",
}
"""Keys that ask for nothing, and why."""

_SERVICES = (
    "container_name: cc\nhostname: h\ndomainname: d\nuser: u\nworking_dir: /w\ncommand: c\nentrypoint: e\n"
    "environment: {A: b}\nexpose: [80]\ngroup_add: [g]\ninit: true\nlabels: {a: b}\nread_only: true\nrestart: always\n"
    "stdin_open: true\ntty: true\nstop_grace_period: 1s\nstop_signal: HUP\nsysctls: {a: 1}\ntmpfs: /t\n"
    "platform: linux/arm64\nprivileged: true\npull_policy: always\nattach: false\nshm_size: 1m",
    "cap_add: [A]\ncap_drop: [B]\ncpu_shares: 3\ncpus: 2\ncpuset: '1'\nmem_limit: 1g\nmem_reservation: 1m\n"
    "memswap_limit: 2g\npids_limit: 5\noom_score_adj: 5\nulimits: {nofile: {soft: 1, hard: 2}}\npid: host\nipc: host\n"
    "security_opt: [seccomp=unconfined]\ndevices: [{source: /dev/a, target: /dev/b, permissions: r}]",
    "scale: 2",
    "profiles: [never]",
    "deploy: {mode: global, replicas: 3}",
    "deploy: {replicas: 3, endpoint_mode: vip, labels: {a: b}, resources: {limits: {cpus: 2, memory: 1g, pids: 5}, "
    "reservations: {memory: 1m}}, restart_policy: {condition: on-failure, max_attempts: 3}}",
    "deploy: {placement: {constraints: [a], preferences: [{spread: a}], max_replicas_per_node: 2}, "
    "restart_policy: {condition: any, delay: 1s, window: 1s}, resources: {reservations: {cpus: 2}}}",
    "deploy: {update_config: {parallelism: 2, delay: 1s, failure_action: rollback, monitor: 1s, "
    "max_failure_ratio: 0.1, order: start-first}, "
    "rollback_config: {parallelism: 1, delay: 1s, failure_action: pause, monitor: 1s, "
    "max_failure_ratio: 0.1, order: start-first}}",
    "deploy: {resources: {limits: {generic_resources: [{discrete_resource_spec: {kind: a, value: 1}}]}, "
    "reservations: {generic_resources: [{discrete_resource_spec: {kind: a, value: 1}}], "
    "devices: [{capabilities: [gpu], driver: d, count: 1, options: {a: b}}]}}}",
    "deploy: {resources: {reservations: {devices: [{capabilities: [gpu], device_ids: [a]}]}}}",
    "gpus: [{capabilities: [gpu], driver: d, count: 1, options: {a: b}}]",
    "gpus: [{capabilities: [gpu], device_ids: [a]}]",
    "depends_on: {db: {condition: service_healthy, restart: true, required: false}}",
    "dns: 1.1.1.1\ndns_opt: [a]\ndns_search: a\nextra_hosts: ['a=1.1.1.1']\nmac_address: 02:42:ac:11:65:43",
    "links: [db]",
    "network_mode: host",
    "networks: {n: {aliases: [a], interface_name: eth5, ipv4_address: 10.9.0.5, ipv6_address: 'fd00::5', "
    "link_local_ips: [169.254.1.1], driver_opts: {a: b}, mac_address: 02:42:ac:11:65:43, priority: 5}}",
    "networks: {n: {gw_priority: 5}, a: }",
    "ports: [{name: a, target: 80, published: '80', host_ip: 127.0.0.1, protocol: udp, "
    "app_protocol: http, mode: host}]",
    "healthcheck: {test: a, interval: 1s, timeout: 1s, retries: 1, start_period: 1s, start_interval: 1s}",
    "healthcheck: {disable: true}",
    "logging: {driver: json-file, options: {max-size: 1m}}",
    "logging: {driver: syslog}",
    "env_file: [{path: plain.env, required: true}, {path: raw.env, format: raw}]",
    "env_file: [{path: gone.env, required: false}]",
    "label_file: plain.env",
    "extends: {service: base, file: base.yaml}",
    "configs: [{source: c, target: /cc, uid: '1', gid: '1', mode: 0400}]\n"
    "secrets: [{source: s, target: /s, uid: '1', gid: '1', mode: 0400}]",
    "volumes: [{type: bind, source: ./a, target: /a, read_only: true, consistency: cached, "
    "bind: {propagation: shared, create_host_path: false, recursive: enabled, selinux: z}}]",
    "volumes: [{type: volume, source: v, target: /a, volume: {nocopy: true, subpath: x, labels: {a: b}}}]",
    "volumes: [{type: tmpfs, target: /a, tmpfs: {size: 1m, mode: 0700}}]",
    "volumes: [{type: image, source: i, target: /a, image: {subpath: x}}]",
    "annotations: {a: b}",
    "device_cgroup_rules: ['c 1:3 r']\noom_kill_disable: true\nmem_swappiness: 10\ncpu_quota: 1000\n"
    "cpu_period: 1000\ncpu_rt_period: 1000\ncpu_rt_runtime: 1000",
    "blkio_config: {weight: 10, weight_device: [{path: /dev/a, weight: 10}], "
    "device_read_bps: [{path: /dev/a, rate: 1m}], device_read_iops: [{path: /dev/a, rate: 10}], "
    "device_write_bps: [{path: /dev/a, rate: 1m}], device_write_iops: [{path: /dev/a, rate: 10}]}",
    "use_api_socket: true",
    "pull_policy: refresh\npull_refresh_after: 2h",
    "volumes: [{type: bind, source: /a, target: /a, bind: {recursive: disabled, selinux: z}}]",
    "volumes_from: [db]",
    "cgroup: host\nuts: host\nipc: host\npid: service:db",
    "runtime: crun\nisolation: hyperv",
    "cgroup_parent: a\ncpu_count: 2\ncpu_percent: 10\n"
    "credential_spec: {config: a, file: b, registry: c}\n"
    "external_links: [a]\n"
    "models: {m: {endpoint_var: A, model_var: B}}\n"
    "storage_opt: {size: 1g}\nuserns_mode: private\n"
    "provider: {type: a, options: {b: c}}",
    "build: {context: ./sub, dockerfile: D, args: {a: b}, labels: {a: b}, no_cache: true, network: host, pull: true, "
    "target: a, shm_size: 1m, extra_hosts: ['a=1.1.1.1'], secrets: [{source: s, target: a}], tags: [a], "
    "platforms: [linux/arm64]}",
    "build: {context: ., ssh: [default], cache_from: [a], cache_to: [a], no_cache_filter: [a], "
    "additional_contexts: {a: b}, provenance: true, sbom: true, isolation: a, privileged: true, entitlements: [a], "
    "secrets: [{source: s, target: a, uid: '1', gid: '1', mode: 0400}], ulimits: {nofile: {soft: 1, hard: 2}}}",
    "build: {context: ., dockerfile_inline: FROM a}",
    "pre_start: [{command: a, user: b, privileged: true, working_dir: /, environment: {a: b}, per_replica: true, "
    "image: i}]",
    "develop: {watch: [{path: ., action: sync, target: /a, ignore: [a], include: [b], initial_sync: true, "
    "exec: {command: a, user: b, privileged: true, working_dir: /, environment: {a: b}}}]}",
    *(
        f"{hook}: [{{command: a, user: b, privileged: true, working_dir: /, environment: {{a: b}}}}]"
        for hook in ("post_start", "pre_stop")
    ),
)
_TOPS = (
    "name: other\nversion: '3'\nservices: {web: {image: a}}",
    "include: [{path: [other.yaml], project_directory: sub, env_file: plain.env}]\nservices: {web: {image: a}}",
    "services: {web: {image: a, network_mode: none}}\n"
    "jobs: {j: {image: a, triggers: {manual: true, schedule: [{cron: 0 0 * * *, timezone: UTC, "
    "concurrency: forbid, missed_fires: one}]}}}",
    "services: {web: {image: a, models: [m]}}\nmodels: {m: {name: n, model: a, context_size: 10, runtime_flags: [a]}}",
    *(
        f"services: {{web: {{image: a, networks: [n]}}}}\nnetworks: {{n: {keys}}}"
        for keys in (
            "{name: x, labels: {a: b}, driver: overlay, driver_opts: {a: b}, internal: true, attachable: true}",
            "{internal: true, labels: {a: b}, ipam: {driver: default, config: [{subnet: 10.9.0.0/16, "
            "ip_range: 10.9.1.0/24, gateway: 10.9.0.1, aux_addresses: {a: 10.9.0.2}}], options: {a: b}}}",
            "{enable_ipv4: false, enable_ipv6: true}",
            "{external: true, name: x}",
            "{driver_opts: {com.docker.network.driver.mtu: 1400}}",
            "{external: {name: x}}",
            "{name: x}",
            "{ipam: {config: [{subnet: 10.9.0.0/16}, {subnet: 10.8.0.0/16}]}}",
        )
    ),
    *(
        f"services: {{web: {{image: a, volumes: ['vol:/v']}}}}\nvolumes: {{vol: {keys}}}"
        for keys in (
            "{name: x, labels: {a: b}, driver_opts: {type: tmpfs}}",
            "{driver: nfs}",
            "{external: true}",
            "{external: {name: x}}",
        )
    ),
    *(
        f"services: {{web: {{image: a, configs: [c]}}}}\nconfigs: {{c: {keys}}}"
        for keys in (
            "{content: x, name: n, labels: {a: b}, template_driver: golang}",
            "{file: plain.env}",
            "{environment: HOME}",
            "{external: true}",
            "{external: {name: x}}",
        )
    ),
    *(
        f"services: {{web: {{image: a, secrets: [s]}}}}\nsecrets: {{s: {keys}}}"
        for keys in (
            "{file: plain.env, name: n, labels: {a: b}, template_driver: golang}",
            "{environment: HOME}",
            "{environment: HOME, driver: d, driver_opts: {a: b}}",
            "{external: true}",
            "{external: {name: x}}",
        )
    ),
)
_AROUND = {
    "db": {"image": "b", "healthcheck": {"test": "a"}},
    "volumes": {"v": None},
    "networks": {"n": {"ipam": {"config": [{"subnet": "10.9.0.0/16"}]}}, "a": None},
    "configs": {"c": {"content": "x"}},
    "secrets": {"s": {"environment": "HOME"}},
    "models": {"m": {"model": "a"}},
}


def _schema_keys() -> list[str]:
    """Return every key that holds no further keys of the schema; those that do are as good as what they hold."""
    found = {".".join(path) for path in _walk(load_schema(), (), frozenset())}
    return sorted(key for key in found if not any(other.startswith(f"{key}.") for other in found))


def _walk(schema: dict[str, Any], path: tuple[str, ...], seen: frozenset[str]) -> Iterator[tuple[str, ...]]:
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        if name not in seen:
            yield from _walk(load_schema()["$defs"][name], path, seen | {name})
    for branch in schema.get("anyOf", ()):
        yield from _walk(branch, path, seen)
    for key, entry in schema.get("properties", {}).items():
        if "/properties/" in entry.get("$ref", ""):  # of what is made as a service is: tried there
            continue
        yield (*path, key)
        yield from _walk(entry, (*path, key), seen)
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), dict):
            yield from _walk(schema[keyword], (*path, "*"), seen)


@lru_cache(maxsize=1)
def _samples() -> tuple[dict[str, Json], ...]:
    found: list[dict[str, Json]] = []
    for keys in _SERVICES:
        tree = _parse(keys)
        around: dict[str, Any] = {key: value for key, value in _AROUND.items() if key != "db"}
        found.append({"services": {"web": {"image": "a", **tree}, "db": _AROUND["db"]}, **around})  # type: ignore[dict-item]
    return (*found, *map(_parse, _TOPS))


def _parse(text: str) -> dict[str, Json]:
    problems = Problems()
    (tree,) = map(plain, read_yaml(text, file="sample", problems=problems))
    assert not problems.all() and isinstance(tree, dict), text
    return tree


def _places(value: Json, pattern: list[str], path: KeyPath = ()) -> Iterator[KeyPath]:
    if not pattern:
        yield path
    elif isinstance(value, list) and pattern[0] == "*":
        for at, item in enumerate(value):
            yield from _places(item, pattern[1:], (*path, at))
    elif isinstance(value, dict):
        for key in value if pattern[0] == "*" else value.keys() & {pattern[0]}:
            yield from _places(value[key], pattern[1:], (*path, key))


def _without(value: Json, path: KeyPath) -> Json:
    head, rest = path[0], path[1:]
    if isinstance(value, list):
        return [_without(item, rest) if at == head else item for at, item in enumerate(value)]
    assert isinstance(value, dict)
    if not rest:
        return {key: entry for key, entry in value.items() if key != head}
    return {key: _without(entry, rest) if key == head else entry for key, entry in value.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("silent") / "shop"
    (folder / "sub").mkdir(parents=True)
    (folder / "plain.env").write_text("P='a'\n")
    (folder / "raw.env").write_text("R='a'\n")
    (folder / "base.yaml").write_text("services: {base: {image: base, tty: true}}")
    (folder / "other.yaml").write_text("services: {other: {image: 'b:${P}', volumes: ['./d:/d']}}")
    return folder


@lru_cache(maxsize=1000)
def _outcome(text: str, folder: Path) -> tuple[object, tuple[Diagnostic, ...]]:
    (folder / "compose.yaml").write_text(text)
    found = loaded_from(folder, "compose.yaml")
    stack, said = decoded(found)
    contents = found.document.contents if found.document is not None else None
    return (stack, contents), said


def _is_named(path: KeyPath, said: tuple[Diagnostic, ...], text: str) -> bool:
    """Whether something is said, at a place in the file, about this key or what it is part of."""
    lines = text.splitlines()
    for one in said:
        for end in range(len(path), 0, -1):
            is_meant = f"`{dotted(path[:end])}`" in one.detail or (end == 1 and f"`{path[0]}`" in one.detail)
            if is_meant and one.sources and lines[one.sources[0].line - 1][one.sources[0].column - 1 :].strip():
                return True
    return False


def test_the_samples_hold_every_key_of_the_schema() -> None:
    missing = [key for key in _schema_keys() if not any(list(_places(s, key.split("."))) for s in _samples())]

    assert missing == []


@pytest.mark.parametrize("key", [key for key in _schema_keys() if key not in _DESCRIPTIVE])
def test_a_key_is_acted_upon_or_reported(key: str, folder: Path) -> None:
    for sample in _samples():
        for path in _places(sample, key.split(".")):
            text = json.dumps(sample, indent=1)
            before, _ = _outcome(json.dumps(_without(sample, path), indent=1), folder)
            after, said = _outcome(text, folder)
            if after != before or _is_named(path, said, text):
                return
    pytest.fail(f"{key} is accepted in silence")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("services: {a: {image: i, dns: [1.1.1.1, quad]}}", "services.a.dns[1]"),
        ("services: {a: {image: i, dns: quad}}", "services.a.dns[0]"),
        ("services: {a: {image: i, extra_hosts: ['b=1.1.1.1', 'c=there']}}", "services.a.extra_hosts[1]"),
        ("services: {a: {image: i, userns_mode: remapped}}", "services.a.userns_mode"),
        ("services: {a: {image: i, volumes: ['vol:/v:U']}}\nvolumes: {vol: {}}", "services.a.volumes[0]"),
        ("services: {a: {image: i, networks: [n]}}\nnetworks: {n: {ipam: {driver: dhcp}}}", "networks.n.ipam.driver"),
    ],
)
def test_a_value_that_cannot_be_acted_upon_is_reported(text: str, place: str) -> None:
    said = decoded(loaded(text))[1]

    assert [one.code for one in said if f"`{place}` has a" in one.detail and one.sources] == ["unsupported-key"]


@pytest.mark.parametrize(
    "keys",
    [
        "dns: [1.1.1.1, '2606:4700::1111']",
        "extra_hosts: ['a=1.1.1.1', 'b=::1', 'c=[::1]', 'd:host-gateway']",
        "userns_mode: host",
        "volumes: ['/a:/a:ro,z', '/b:/b:cached', '/c:/c:rw,rshared', '/d:/d:delegated']",
    ],
)
def test_nothing_is_held_against_what_works(keys: str) -> None:
    said = decoded(loaded(f"services: {{a: {{image: i, {keys}}}}}"))[1]

    assert [one for one in said if "SELinux" not in one.detail] == []
