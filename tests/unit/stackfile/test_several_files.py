"""Files on top of each other, services based on others, and YAML's own ways of saying things once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stackctl.model.stack import Service
from tests.support.stacks import codes, decoded, loaded, loaded_from, stack_of

_WEB = "services: {{web: {{image: a, {}}}}}\nvolumes: {{vv: , ww: }}\nnetworks: {{n: , m: }}"


def _merged(folder: Path, one: str, two: str) -> Service:
    (folder / "one.yaml").write_text(_WEB.format(one))
    (folder / "two.yaml").write_text(f"services: {{web: {{{two}}}}}")
    return stack_of(loaded_from(folder, "one.yaml", "two.yaml")).services["web"]


@pytest.mark.parametrize(
    ("one", "two", "field", "value"),
    [
        ("user: a", "user: b", "user", "b"),
        ("user: a", "user: ", "user", "a"),
        ("command: [a, b]", "command: [c]", "command", ("c",)),
        ("entrypoint: [a, b]", "entrypoint: c d", "entrypoint", ("c", "d")),
        ("environment: {A: 1, B: 1}", "environment: [B=2, C=2]", "environment", (("A", "1"), ("B", "2"), ("C", "2"))),
        ("labels: [a=1]", "labels: {a: 2, b: 2}", "labels", (("a", "2"), ("b", "2"))),
        ("cap_add: [A, B]", "cap_add: [B, C]", "cap_add", ("A", "B", "C")),
        ("group_add: [a]", "group_add: [b]", "group_add", ("a", "b")),
        ("expose: [80]", "expose: ['80', 81]", "expose", ("80/tcp", "81/tcp")),
    ],
)
def test_a_later_file_wins_or_adds(tmp_path: Path, one: str, two: str, field: str, value: Any) -> None:
    assert getattr(_merged(tmp_path, one, two), field) == value


def test_a_port_is_one_by_address_numbers_and_protocol(tmp_path: Path) -> None:
    found = _merged(tmp_path, "ports: ['8080:80', '53:53/udp']", "ports: ['8080:80', '53:53', {target: 90}]")

    assert [(port.host_first, port.container_port, port.protocol) for port in found.ports] == [
        (8080, 80, "tcp"),
        (53, 53, "udp"),
        (53, 53, "tcp"),
        (0, 90, "tcp"),
    ]


def test_a_mount_is_one_by_its_target_and_keeps_its_place(tmp_path: Path) -> None:
    found = _merged(tmp_path, "volumes: ['vv:/a', 'vv:/b']", "volumes: ['ww:/a:ro', 'ww:/c']")

    assert [(str(getattr(m, "volume", "")).split("_")[-1], m.target) for m in found.mounts] == [
        ("ww", "/a"),
        ("vv", "/b"),
        ("ww", "/c"),
    ]


def test_networks_and_dependencies_are_merged_by_name_in_either_form(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("services: {web: {image: a, depends_on: [db]}, db: {image: b}, mq: {image: c}}")
    (tmp_path / "two.yaml").write_text("services: {web: {depends_on: {mq: {condition: service_healthy}}}}")

    found = stack_of(loaded_from(tmp_path, "one.yaml", "two.yaml")).services["web"]

    assert [(one.service, one.condition) for one in found.depends_on] == [
        ("db", "service_started"),
        ("mq", "service_healthy"),
    ]


def test_options_of_two_log_drivers_are_not_mixed(tmp_path: Path) -> None:
    one = "logging: {driver: json-file, options: {max-size: 1m, max-file: 9}}"

    assert _merged(tmp_path, one, "logging: {options: {max-size: 2m}}").log.max_files == 9
    assert _merged(tmp_path, one, "logging: {driver: local, options: {max-size: 2m}}").log.max_files == 1


def test_reset_takes_away_and_override_replaces(tmp_path: Path) -> None:
    one = "environment: {A: 1, B: 1}, ports: ['80:80'], user: u, expose: [1]"
    two = "environment: {A: !reset }, ports: !override ['90:90'], user: !reset , expose: !reset []"

    found = _merged(tmp_path, one, two)

    assert found.environment == (("B", "1"),)
    assert [port.host_first for port in found.ports] == [90]
    assert (found.user, found.expose) == ("", ())


def test_paths_of_all_files_start_at_the_folder_of_the_first(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "one.yaml").write_text("services: {web: {image: a}}")
    (tmp_path / "sub/two.yaml").write_text("services: {web: {volumes: ['./d:/d']}}")

    found = stack_of(loaded_from(tmp_path, "one.yaml", "sub/two.yaml")).services["web"]

    assert [getattr(mount, "source", "") for mount in found.mounts] == [str(tmp_path / "d")]


def test_a_file_that_is_wrong_alone_may_be_right_on_top_of_another(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("services: {web: {image: a}}")
    (tmp_path / "two.yaml").write_text("services: {web: {tty: true}}")

    assert stack_of(loaded_from(tmp_path, "one.yaml", "two.yaml")).services["web"].tty
    assert codes(loaded_from(tmp_path, "two.yaml").diagnostics) == ["missing-image"]


def test_an_override_file_is_found_but_not_when_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {web: {image: a}}")
    (tmp_path / "compose.override.yaml").write_text("services: {web: {image: b}}")

    assert stack_of(loaded_from(tmp_path)).services["web"].image == "b"
    assert stack_of(loaded_from(tmp_path, "compose.yaml")).services["web"].image == "a"


def test_the_file_is_looked_for_in_the_folders_above(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text("services: {web: {image: a, volumes: ['.:/d']}}")
    (tmp_path / "a/b").mkdir(parents=True)

    found = stack_of(loaded_from(tmp_path / "a/b"))

    assert found.working_dir == str(tmp_path)


def test_documents_of_one_file_are_merged_in_order() -> None:
    assert (
        stack_of(loaded("services: {web: {image: a}}\n---\nservices: {web: {image: b}}")).services["web"].image == "b"
    )


def test_anchors_aliases_and_merge_keys() -> None:
    stack = stack_of(
        loaded("""
        x-base: &base {image: a, user: u, environment: &env {A: 1, B: 1}}
        x-more: &more {user: v, tty: true}
        services:
          web:
            <<: [*base, *more]
            environment: {<<: *env, B: 2}
          db:
            <<: *base
            user: own
        """)
    )

    web, db = stack.services["web"], stack.services["db"]
    assert (web.image, web.user, web.tty, web.environment) == ("a", "u", True, (("A", "1"), ("B", "2")))
    assert (db.user, db.environment) == ("own", (("A", "1"), ("B", "1")))


def test_a_service_extends_another_and_adds_to_its_lists() -> None:
    stack = stack_of(
        loaded("""
        services:
          base: {image: a, user: u, expose: [1], environment: {A: 1, B: 1}}
          mid: {extends: base, expose: [2]}
          web: {extends: {service: mid}, user: v, expose: [3], environment: {B: 2}}
        """)
    )

    web = stack.services["web"]
    assert (web.image, web.user, web.expose) == ("a", "v", ("1/tcp", "2/tcp", "3/tcp"))
    assert web.environment == (("A", "1"), ("B", "2"))


def test_a_service_of_another_file_brings_its_own_paths(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/base.yaml").write_text(
        "services: {base: {image: 'a:${TAG}', volumes: ['./d:/d'], env_file: base.env}}"
    )
    (tmp_path / "lib/base.env").write_text("A=1\n")
    (tmp_path / "compose.yaml").write_text("services: {web: {extends: {service: base, file: lib/base.yaml}}}")

    web = stack_of(loaded_from(tmp_path, env={"TAG": "7"})).services["web"]

    assert (web.image, web.environment) == ("a:7", (("A", "1"),))
    assert [getattr(mount, "source", "") for mount in web.mounts] == [str(tmp_path / "lib/d")]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("services: {a: {extends: b}, b: {extends: a}}", "extends-cycle"),
        ("services: {a: {extends: a}}", "extends-cycle"),
        ("services: {a: {image: i, extends: b}}", "unknown-service"),
        ("services: {a: {image: i, extends: {service: b, file: gone.yaml}}}", "file-not-found"),
        ("services: {a: {image: i, extends: {file: compose.yaml}}}", "missing-key"),
    ],
)
def test_what_cannot_be_extended_is_an_error_with_its_place(text: str, code: str) -> None:
    found = loaded(text)

    assert code in codes(found.diagnostics)
    assert all(one.sources for one in found.diagnostics)


def test_an_included_file_is_a_stack_of_its_own_folder_and_environment(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/.env").write_text("TAG=sub\nOURS=sub\n")
    (tmp_path / "sub/compose.yaml").write_text(
        "name: ignored\nservices: {db: {image: 'b:${TAG}-${OURS}', volumes: ['./d:/d', 'vol:/v']}}\nvolumes: {vol: }"
    )
    (tmp_path / "compose.yaml").write_text(
        "name: ours\ninclude: [sub/compose.yaml]\nservices: {web: {image: a, depends_on: [db]}}"
    )

    stack = stack_of(loaded_from(tmp_path, env={"OURS": "shell"}))

    assert (stack.name, stack.services["db"].image) == ("ours", "b:sub-shell")
    assert [getattr(m, "source", "") or getattr(m, "volume", "") for m in stack.services["db"].mounts] == [
        str(tmp_path / "sub/d"),
        "ours_vol",
    ]


def test_files_that_include_each_other_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("include: [other.yaml]\nservices: {a: {image: i}}")
    (tmp_path / "other.yaml").write_text("include: [compose.yaml]\nservices: {b: {image: i}}")

    _, said = decoded(loaded_from(tmp_path))

    assert codes(said) == ["include-cycle"]
    assert said[0].detail == (
        "`include` goes round in a circle: compose.yaml → other.yaml → compose.yaml.\n"
        "`other.yaml` is included by compose.yaml:1:11."
    )
