"""`lint`: advice word for word, silence where it is asked for, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.golden.conftest import Command

_FINE = "services: {web: {image: 'nginx:1.27', command: serve}}\n"


def _codes(text: str, call: Command, shop: Path, *arguments: str) -> list[str]:
    (shop / "compose.yaml").write_text(text)
    _, out, _ = call("lint", "--format", "json", *arguments)
    return [one["code"] for one in json.loads(out)]


def test_a_stack_without_fault_is_met_with_silence(call: Command, shop: Path) -> None:
    (shop / "compose.yaml").write_text(_FINE)

    assert call("lint", "--strict") == (0, "", "")


def test_advice_has_the_form_of_all_diagnostics(call: Command, shop: Path) -> None:
    (shop / "compose.yaml").write_text("services:\n  web:\n    image: nginx\n")

    assert call("lint") == (
        0,
        "warning[latest-tag]: Image can change under you\n"
        "  --> compose.yaml:3:12\n"
        "    3 |     image: nginx\n"
        "      |            ^^^^^\n"
        "The image `nginx` has no tag: what it is depends on when it was pulled.\n"
        "hint: name a version, or a digest\n",
        "",
    )


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("services: {a: {image: 'nginx:latest'}}", ["latest-tag"]),
        ("services: {a: {image: 'r.example:5000/nginx'}}", ["latest-tag"]),
        ("services: {a: {image: 'nginx@sha256:" + "0" * 64 + "'}}", []),
        ("services: {a: {image: 'n:1', environment: {DB_PASSWORD: hush}}}", ["secret-in-environment"]),
        ("services:\n  a:\n    image: n:1\n    environment:\n      DB_PASSWORD: ${PW:-}\n      X_TOKEN:", []),
        ("services: {a: {image: 'n:1', environment: {DB_PASSWORD_FILE: /run/secrets/x}}}", []),
        ("services: {a: {image: 'n:1', ports: ['80:80', '127.0.0.1:81:81', 82]}}", ["open-port"]),
        ("services: {a: {image: 'n:1', volumes: [/data]}}", ["anonymous-volume"]),
        ("services: {a: {image: 'n:1'}}\nvolumes: {vol: }\nnetworks: {n: , default: }", ["unused-resource"] * 2),
        ("version: '3'\nservices: {a: {image: 'n:1'}}", ["obsolete-key"]),
        ("services: {a: {image: 'n:1', annotations: {b: c}}}", ["unsupported-key"]),
        ("services: {a: {image: 'n:1', gpus: all}}", ["unsupported-key"]),
        ("services: {a: {image: 'n:1', foo: 1}}", ["unknown-key"]),
        (
            "services: {a: {image: 'n:1', depends_on: {b: {condition: service_healthy}}}, b: {image: 'm:1'}}",
            ["no-healthcheck"],
        ),
    ],
)
def test_what_is_told(text: str, codes: list[str], call: Command, shop: Path) -> None:
    assert _codes(text, call, shop) == codes


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("services: {a: {image: nginx}}", ("--ignore", "latest-tag")),
        ("x-stackctl-ignore: [latest-tag]\nservices: {a: {image: nginx}}", ()),
        ("services: {a: {image: nginx, x-stackctl-ignore: [latest-tag]}}", ()),
    ],
)
def test_a_code_can_be_silenced(text: str, arguments: tuple[str, ...], call: Command, shop: Path) -> None:
    assert _codes(text, call, shop, *arguments) == []


@pytest.mark.parametrize(
    ("text", "arguments", "status"),
    [
        ("services: {a: {image: nginx}}", (), 0),
        ("services: {a: {image: nginx}}", ("--strict",), 1),
        ("services: {a: {image: 'nginx:1', foo: 1}}", (), 1),
        ("services: {a: {image: 'nginx:1', gpus: all}}", (), 1),
    ],
)
def test_how_it_ends(text: str, arguments: tuple[str, ...], status: int, call: Command, shop: Path) -> None:
    (shop / "compose.yaml").write_text(text)

    assert call("lint", *arguments)[0] == status


def test_advice_can_be_had_as_sarif(call: Command, shop: Path) -> None:
    (shop / "my stack.yaml").write_text("services:\n  web:\n    image: nginx\n    ports: [80:80]\n    foo: 1\n")

    status, out, err = call("-f", "my stack.yaml", "lint", "--format", "sarif")

    found = json.loads(out)
    (run,) = found["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert (status, err, found["version"]) == (1, "", "2.1.0")
    assert [(rules[one["ruleIndex"]], one["level"]) for one in run["results"]] == [("unknown-key", "error")]
    assert run["results"][0]["message"]["text"].startswith("`services.web` has no key `foo`.\nhint: ")
    assert run["results"][0]["locations"] == [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": "my%20stack.yaml"},
                "region": {"startLine": 5, "startColumn": 5, "endColumn": 8},
            }
        }
    ]


def test_sarif_names_every_place_of_a_problem(call: Command, shop: Path) -> None:
    (shop / "compose.yaml").write_text(
        "services:\n  a: {image: 'i:1', container_name: xx}\n  b: {image: 'i:1', container_name: xx}\n"
    )

    (one,) = json.loads(call("lint", "--format", "sarif")[1])["runs"][0]["results"]

    places = [*one["locations"], *one["relatedLocations"]]
    assert [place["physicalLocation"]["region"]["startLine"] for place in places] == [3, 2]


def test_advice_is_about_the_engine_that_is_meant(call: Command, shop: Path) -> None:
    (shop / "compose.yaml").write_text(
        "services: {web: {image: 'nginx:1.27', command: serve, networks: [n]}}\n"
        "networks: {n: {driver: macvlan, driver_opts: {parent: eth0}}}\n"
    )

    status, out, _ = call("lint")
    assert (status, out.count("[unsupported-key]")) == (1, 2)
    assert call("--engine", "docker", "lint") == (0, "", "")
