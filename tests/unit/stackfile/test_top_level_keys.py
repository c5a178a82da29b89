"""Networks, volumes, configs, secrets and the name, from the text to the value the planner sees."""

from __future__ import annotations

import pytest

from stackctl.model.network import NetworkSpec
from stackctl.model.volume import VolumeSpec
from tests.support.stacks import FOLDER, codes, decoded, loaded, stack_of

_USER = "services: {web: {image: a, networks: [n], volumes: ['vol:/v']}}\n"


@pytest.mark.parametrize(
    ("keys", "spec"),
    [
        ("", NetworkSpec(name="shop_n")),
        ("{name: real}", NetworkSpec(name="real")),
        ("{internal: true}", NetworkSpec(name="shop_n", is_internal=True)),
        ("{external: true}", NetworkSpec(name="n", is_external=True)),
        ("{external: true, name: real}", NetworkSpec(name="real", is_external=True)),
        ("{driver: bridge, labels: [a=1]}", NetworkSpec(name="shop_n", labels=(("a", "1"),))),
        (
            "{ipam: {config: [{subnet: 10.9.0.0/16, ip_range: 10.9.4.0/24, gateway: 10.9.0.1}]}}",
            NetworkSpec(name="shop_n", subnet="10.9.0.0/16", ip_range="10.9.4.0/24", gateway="10.9.0.1"),
        ),
    ],
)
def test_a_network(keys: str, spec: NetworkSpec) -> None:
    assert stack_of(loaded(f"{_USER}networks: {{n: {keys}}}\nvolumes: {{vol: }}")).networks["n"] == spec


@pytest.mark.parametrize(
    ("keys", "spec"),
    [
        ("", VolumeSpec(name="shop_vol")),
        ("{name: real, driver: local}", VolumeSpec(name="real")),
        ("{external: true}", VolumeSpec(name="vol", is_external=True)),
        ("{labels: {a: 1}}", VolumeSpec(name="shop_vol", labels=(("a", "1"),))),
        (
            "{driver_opts: {type: none, o: bind, device: ./d}}",
            VolumeSpec(name="shop_vol", options=(("device", f"{FOLDER}/d"), ("o", "bind"), ("type", "none"))),
        ),
    ],
)
def test_a_volume(keys: str, spec: VolumeSpec) -> None:
    assert stack_of(loaded(f"{_USER}volumes: {{vol: {keys}}}\nnetworks: {{n: }}")).volumes["vol"] == spec


def test_what_no_service_uses_is_left_out() -> None:
    stack = stack_of(loaded("services: {web: {image: a, network_mode: none}}\nvolumes: {vol: }\nnetworks: {n: }"))

    assert (dict(stack.networks), dict(stack.volumes)) == ({}, {})


def test_contents_of_configs_and_secrets_travel_apart_from_the_tree() -> None:
    found = loaded(
        "services: {web: {image: a, configs: [c], secrets: [s]}}\n"
        "configs: {c: {content: 'port ${P}, $$1'}}\nsecrets: {s: {environment: TOKEN}}",
        env={"P": "80", "TOKEN": "hush"},
    )

    assert found.document is not None
    assert dict(found.document.contents) == {"config/c": b"port 80, $1", "secret/s": b"hush"}
    assert "hush" not in str(found.document.tree)


@pytest.mark.parametrize(
    ("text", "options", "name"),
    [
        ("services: {a: {image: b}}", {}, "shop"),
        ("name: Foo_Bar.9\nservices: {a: {image: b}}", {}, "foo_bar9"),
        ("name: ${STAGE}-shop\nservices: {a: {image: b}}", {"env": {"STAGE": "test"}}, "test-shop"),
        ("name: one\nservices: {a: {image: b}}", {"env": {"COMPOSE_PROJECT_NAME": "two"}}, "two"),
        ("name: one\nservices: {a: {image: b}}", {"project_name": "three"}, "three"),
    ],
)
def test_the_project_has_the_nearest_of_its_names(text: str, options: dict[str, object], name: str) -> None:
    assert stack_of(loaded(text, **options)).name == name  # type: ignore[arg-type]


def test_the_projects_name_can_be_used_in_values() -> None:
    stack = stack_of(loaded("name: one\nservices: {a: {image: 'x/${COMPOSE_PROJECT_NAME}'}}"))

    assert stack.services["a"].image == "x/one"


@pytest.mark.parametrize("options", [{"project_name": "Shop"}, {"env": {"COMPOSE_PROJECT_NAME": "a b"}}])
def test_a_name_that_was_asked_for_is_not_bent(options: dict[str, object]) -> None:
    _, said = decoded(loaded("services: {a: {image: b}}", **options))  # type: ignore[arg-type]

    assert codes(said) == ["bad-name"]
