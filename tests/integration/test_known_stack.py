"""A stack that was read before is not read again, and is exactly what reading it again would give."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from stackctl.cli.known_stack import KnownStack
from stackctl.cli.settings import Consulted, Settings
from stackctl.cli.stack_files import load_document, loaded_document
from stackctl.cli.stack_files import load_request as asked
from stackctl.errors import UsageError
from stackctl.stackfile.document import document_to_wire
from tests.support.engine import Engine

_STACK = """\
name: known
services:
  web:
    image: "busybox:${TAG:-latest}"
    env_file: [{path: extra.env, required: false}]
    environment: [PASSED]
    profiles: [${PROFILE:-}]
  tool: {image: busybox, profiles: [tools], volumes: ["./data:/data", "kept:/kept"]}
volumes: {kept: {}}
"""


def settings_of(engine: Engine, folder: Path, env: Mapping[str, str] | None = None, **options: object) -> Settings:
    environment = engine.variables(env)
    return Settings(environment=environment, cwd=str(folder), **options)  # type: ignore[arg-type]


def fresh(settings: Settings, services: tuple[str, ...] = ()) -> object:
    """Return the wire form of the stack, read anew."""
    return json.loads(json.dumps(document_to_wire(loaded_document(settings, asked(settings, services)))))


@pytest.fixture
def folder(shared_engine: Engine, tmp_path: Path) -> Path:
    """A folder with a stack that was read before."""
    shared_engine.run("engine", "start")
    (tmp_path / "compose.yaml").write_text(_STACK.replace("    profiles: [${PROFILE:-}]\n", ""), encoding="utf-8")
    assert not isinstance(load_document(settings_of(shared_engine, tmp_path)), KnownStack)
    return tmp_path


def test_a_stack_read_before_is_what_reading_it_again_gives(shared_engine: Engine, folder: Path) -> None:
    found = load_document(settings_of(shared_engine, folder))

    assert isinstance(found, KnownStack)
    assert found.wire == fresh(settings_of(shared_engine, folder))


def test_naming_a_service_makes_no_difference_where_none_is_switched_off(shared_engine: Engine, folder: Path) -> None:
    (folder / "compose.yaml").write_text(
        "name: known\nservices:\n  a: {image: host, depends_on: [b]}\n  b: {image: host}\n  c: {image: host}\n",
        encoding="utf-8",
    )
    load_document(settings_of(shared_engine, folder))
    found = load_document(settings_of(shared_engine, folder), ("a",))

    assert isinstance(found, KnownStack)
    assert found.wire == fresh(settings_of(shared_engine, folder), ("a",))


def test_a_service_nobody_defines_is_not_known(shared_engine: Engine, folder: Path) -> None:
    with pytest.raises(UsageError, match="no such service: nobody"):
        load_document(settings_of(shared_engine, folder), ("nobody",))


def test_what_it_was_made_from_counts_as_consulted(shared_engine: Engine, folder: Path) -> None:
    known, read = settings_of(shared_engine, folder), settings_of(shared_engine, folder)
    load_document(known)
    loaded_document(read, asked(read))

    for what in Consulted.__slots__:
        assert getattr(known.consulted, what) == getattr(read.consulted, what)


def _write(name: str, text: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        (folder / name).write_text(text, encoding="utf-8")

    return act


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_write("compose.yaml", "name: known\nservices: {web: {image: host}}\n"), id="the file"),
        pytest.param(_write(".env", "TAG=2\n"), id="a .env file that was absent"),
        pytest.param(_write("extra.env", "A=2\n"), id="an env_file that was absent"),
        pytest.param(_write("compose.override.yaml", "services: {web: {tty: true}}\n"), id="an override file"),
    ],
)
def test_it_is_read_again_after_a_change_of(
    shared_engine: Engine, folder: Path, change: Callable[[Path], None]
) -> None:
    change(folder)

    assert not isinstance(load_document(settings_of(shared_engine, folder)), KnownStack)


@pytest.mark.parametrize(
    ("env", "options", "services"),
    [
        pytest.param({"TAG": "2"}, {}, (), id="a variable"),
        pytest.param({"PASSED": "2"}, {}, (), id="a variable that is passed on"),
        pytest.param({"COMPOSE_PROFILES": "tools"}, {}, (), id="a variable of Compose"),
        pytest.param({}, {"profiles": ("tools",)}, (), id="a profile"),
        pytest.param({}, {"project_name": "other"}, (), id="a name"),
        pytest.param({}, {}, ("tool",), id="a named service"),
    ],
)
def test_it_is_another_stack_with(
    shared_engine: Engine, folder: Path, env: dict[str, str], options: dict[str, object], services: tuple[str, ...]
) -> None:
    assert not isinstance(load_document(settings_of(shared_engine, folder, env, **options), services), KnownStack)


def test_a_known_stack_is_planned_without_a_parser(shared_engine: Engine, folder: Path) -> None:
    script = "import sys; from stackctl.cli.main import run; run(['plan']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=shared_engine.variables(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    modules = set(done.stderr.splitlines()[-1].split())

    assert "Plan: 2 to create" in done.stdout
    assert not {name for name in modules if name.startswith(("ruamel", "stackctl.stackfile", "stackctl.reconcile"))}


def test_contents_of_secrets_are_not_kept(shared_engine: Engine, folder: Path) -> None:
    (folder / "compose.yaml").write_text(
        "name: known\nservices: {web: {image: host, secrets: [s]}}\nsecrets: {s: {file: s.txt}}\n", encoding="utf-8"
    )
    (folder / "s.txt").write_text("never written down", encoding="utf-8")
    for _ in range(2):
        assert not isinstance(load_document(settings_of(shared_engine, folder)), KnownStack)


def test_a_stack_with_a_warning_is_read_again_to_give_it(shared_engine: Engine, folder: Path) -> None:
    (folder / "compose.yaml").write_text("name: known\nservices: {web: {image: 'host:${NOBODY}'}}\n", encoding="utf-8")
    for _ in range(2):
        assert not isinstance(load_document(settings_of(shared_engine, folder), is_quiet=True), KnownStack)


_FILES = st.sampled_from(["TAG=3\n", "TAG=4\nPASSED=5\n", "# nothing\n", None])


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(
            st.sampled_from([".env", "extra.env"]),
            _FILES,
            st.dictionaries(st.sampled_from(["TAG", "PASSED", "COMPOSE_PROFILES"]), st.sampled_from(["", "tools"])),
        ),
        max_size=6,
    )
)
def test_whatever_changes_the_stack_is_the_one_the_files_say(
    shared_engine: Engine, folder: Path, changes: list[tuple[str, str | None, dict[str, str]]]
) -> None:
    for name, text, env in changes:
        path = folder / name
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text, encoding="utf-8")
        found = load_document(settings_of(shared_engine, folder, env), is_quiet=True)
        wire = found.wire if isinstance(found, KnownStack) else json.loads(json.dumps(document_to_wire(found)))

        assert wire == fresh(settings_of(shared_engine, folder, env))
    for name in (".env", "extra.env"):
        (folder / name).unlink(missing_ok=True)
    assert os.listdir(folder) == ["compose.yaml"]
