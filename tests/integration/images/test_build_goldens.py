"""What we build is what a Docker Engine built: settings, history, and each layer's entries.

What is different on purpose stands in ``tests/golden/build/differences.txt``, with the reason.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stackctl.cli.contexts import ContextTar, read_context
from stackctl.cli.settings import Settings
from stackctl.errors import StackctlError
from stackctl.images.build.image_builds import Helpers
from stackctl.images.build.request import BuildRequest
from tests.support.build_cases import (
    BASE,
    CASES,
    Case,
    all_cases,
    base_tar,
    config_of,
    entries_of_folder,
    history_of,
    layers_of,
)
from tests.support.builds import Builds, Built, builds_on, no_registry
from tests.support.engine import Engine

_DIFFERENCES = CASES.parent / "differences.txt"


def differences() -> set[tuple[str, str]]:
    """Return (case, field) of what is different on purpose."""
    lines = _DIFFERENCES.read_text(encoding="utf-8").splitlines()
    rows = [line.split(": ", 2) for line in lines if line and not line.startswith("#")]
    assert all(len(row) == 3 and row[2] for row in rows)
    return {(case, field) for case, field, _ in rows}


DIFFERENT = differences()


@pytest.fixture(scope="module")
def golden(shared_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builds]:
    with builds_on(shared_engine, tmp_path_factory.mktemp("unused")) as found:
        found.store.import_tar(io.BytesIO(base_tar()), name=BASE)
        found.build(f"FROM {BASE}\nRUN true")  # makes the network of builds, which stays
        yield found


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.name)
def test_a_build_comes_to_what_docker_made_of_it(case: Case, golden: Builds, tmp_path: Path) -> None:
    made = build(golden, case, tmp_path)

    expected = {key: value for key, value in case.expected.items() if value is not None}
    if (case.name, "error") in DIFFERENT:
        assert "error" in made
        return
    if "error" in expected or "error" in made:
        assert ("error" in made) == ("error" in expected), made
        return
    for field in [field for field in expected if (case.name, field) not in DIFFERENT]:
        if field == "history":
            assert [_plain(line) for line in made[field]] == [_plain(line) for line in expected[field]]
        else:
            assert made[field] == expected[field], field


def _plain(line: str) -> str:
    """Return an entry of a history without what Docker words otherwise from one version to another."""
    if line.startswith(("ARG ", "EXPOSE ", "HEALTHCHECK ")):
        return line.split(" ", 1)[0]
    return re.sub(r"^(ADD|COPY)(?: --ch(?:own|mod)=\S+)+", r"\1", line)


def build(golden: Builds, case: Case, folder: Path) -> dict[str, Any]:
    """Build a case's context; return what is compared, as the recorder writes it."""
    case.write_context(folder)
    try:
        built = Built(golden.store, _build(golden, case, folder))
    except StackctlError as error:
        return {"error": str(error)}
    base = golden.store.inspect(BASE).id
    layers, below = golden.store.layers_of(built.id), golden.store.layers_of(base)
    is_on_base = layers[: len(below)] == below
    return {
        "config": config_of(built.document),
        "history": history_of(built.document, 1 if is_on_base else 0),
        "layers": layers_of(
            [entries_of_folder(layer) for layer in layers[len(below) if is_on_base else 0 :]], has_base=is_on_base
        ),
    }


def _build(golden: Builds, case: Case, folder: Path) -> str:
    context = read_context(Settings(environment={}, cwd=str(folder)), str(folder), "Dockerfile")
    request = BuildRequest(dockerfile=context.dockerfile.encode(), target=case.target, args=dict(case.args))
    helpers = Helpers(golden.runner, no_registry, lambda _: None, lambda: False)
    with golden.store.builds.unpacked(ContextTar(context)) as unpacked:
        return golden.store.builds.build(request, unpacked, helpers).id
