"""Variables in values: every form, where their values come from, and what a wrong one says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.stacks import codes, decoded, loaded, loaded_from, service, stack_of

_ENV = {"A": "a", "EMPTY": "", "N": "3"}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("$A", "a"),
        ("${A}", "a"),
        ("x${A}y$A.z", "xaya.z"),
        ("$$A $${A}", "$A ${A}"),
        ("a$1b $ $-x", "a$1b $ $-x"),
        ("${A:-d}", "a"),
        ("${NO:-d}", "d"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${NO-d}", "d"),
        ("${NO-b-c}", "b-c"),
        ("${NO:-http://x:80/y z}", "http://x:80/y z"),
        ("${NO:-}", ""),
        ("${A:+alt}", "alt"),
        ("${A+alt}", "alt"),
        ("${EMPTY:+alt}", ""),
        ("${EMPTY+alt}", "alt"),
        ("${NO:+alt}", ""),
        ("${NO+alt}", ""),
        ("${A:?must}", "a"),
        ("${EMPTY?must}", ""),
        ("${NO:-${ALSO_NO:-${A}}}", "a"),
        ("${NO:-x${A}y}", "xay"),
        ("${A:+<${N}>}", "<3>"),
        ("${NO:-$A}", "a"),
        ("$A_b", ""),
    ],
)
def test_a_form_has_this_value(written: str, read: str) -> None:
    assert service(f"environment: ['V={written}']", env=_ENV).environment == (("V", read),)


@pytest.mark.parametrize(
    ("written", "code", "said"),
    [
        ("${NO:?set me}", "missing-variable", "`NO` must be set: set me"),
        ("${EMPTY:?set me}", "missing-variable", "`EMPTY` must be set: set me"),
        ("${NO?}", "missing-variable", "`NO` must be set and not empty."),
        ("${}", "bad-interpolation", "This `${…}` cannot be read: a variable name is expected after `${`."),
        ("${1A}", "bad-interpolation", "This `${…}` cannot be read: a variable name is expected after `${`."),
        ("${A", "bad-interpolation", "This `${…}` cannot be read: the closing `}` is missing."),
        ("${A/b}", "bad-interpolation", "This `${…}` cannot be read: `/` cannot follow the name."),
        ("${NO:-${1}}", "bad-interpolation", "This `${…}` cannot be read: a variable name is expected after `${`."),
    ],
)
def test_a_wrong_form_is_an_error_at_its_place(written: str, code: str, said: str) -> None:
    found = loaded(f"services:\n  web:\n    image: nginx\n    environment: ['V=x{written}']\n", env=_ENV)

    (one,) = found.diagnostics
    assert (one.severity, one.code, one.detail) == ("error", code, said)
    place = one.sources[0]
    assert (place.file, place.line) == ("compose.yaml", 4)
    assert place.column >= len("    environment: ['V=x")


def test_one_variable_that_is_not_set_is_one_warning_with_its_places() -> None:
    found = loaded("services: {web: {image: 'a:$TAG', command: [$TAG], user: '${OTHER}'}}")

    assert [(one.severity, one.code, len(one.sources)) for one in found.diagnostics] == [
        ("warning", "unset-variable", 2),
        ("warning", "unset-variable", 1),
    ]


def test_keys_are_not_expanded_and_a_value_never_becomes_structure() -> None:
    found = service("labels: {'$A': '$MORE'}", env={"A": "a", "MORE": "{x: y}"})

    assert found.labels == (("$A", "{x: y}"),)


@pytest.mark.parametrize(
    ("keys", "field", "value"),
    [("scale: ${N}", "replicas", 3), ("read_only: ${YES}", "read_only", True), ("tty: '${NO:-off}'", "tty", False)],
)
def test_text_of_a_variable_becomes_a_number_or_a_boolean_where_one_is_wanted(
    keys: str, field: str, value: object
) -> None:
    assert getattr(service(keys, env={"N": "3", "YES": "true"}), field) == value


def test_a_variable_with_no_number_where_one_is_wanted_is_an_error() -> None:
    _, said = decoded(loaded("services: {web: {image: a, scale: '${N}'}}", env={"N": "many"}))

    assert [(one.code, one.detail) for one in said] == [
        ("bad-value", "`services.web.scale` must be a whole number, not `many`.")
    ]


def _image(folder: Path, *files: str, **options: object) -> str:
    return stack_of(loaded_from(folder, *files, **options)).services["web"].image  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "compose.yaml").write_text("services: {web: {image: '${A-none}:${B-none}'}}")
    return tmp_path


def test_the_shell_wins_over_the_env_file(folder: Path) -> None:
    (folder / ".env").write_text("A=file\nB=file\n")

    assert _image(folder, env={"A": "shell"}) == "shell:file"


def test_env_files_that_are_named_replace_the_default_one_and_the_later_wins(folder: Path) -> None:
    (folder / ".env").write_text("A=default\nB=default\n")
    (folder / "1.env").write_text("A=one\nB=one\n")
    (folder / "2.env").write_text("B=two\n")

    assert _image(folder, env_files=("1.env", "2.env")) == "one:two"


def test_the_env_file_of_the_projects_folder_counts_not_that_of_the_current_one(folder: Path) -> None:
    (folder / ".env").write_text("A=here\n")
    (folder / "sub").mkdir()
    (folder / "sub/.env").write_text("A=there\n")
    (folder / "compose.yaml").rename(folder / "sub/compose.yaml")

    assert _image(folder, "sub/compose.yaml") == "there:none"


def test_an_env_file_may_name_the_stack_files_and_the_profiles(folder: Path) -> None:
    (folder / ".env").write_text("COMPOSE_FILE=one.yaml:two.yaml\nCOMPOSE_PROFILES=p\nCOMPOSE_PROJECT_NAME=named\n")
    (folder / "one.yaml").write_text("services: {web: {image: one, profiles: [p]}}")
    (folder / "two.yaml").write_text("services: {web: {tty: true}}")

    stack = stack_of(loaded_from(folder))

    assert (stack.name, stack.services["web"].image, stack.services["web"].tty) == ("named", "one", True)


def test_the_default_env_file_can_be_switched_off(folder: Path) -> None:
    (folder / ".env").write_text("A=file\n")

    assert _image(folder, env={"COMPOSE_DISABLE_ENV_FILE": "1"}) == "none:none"


def test_a_named_env_file_must_be_there(folder: Path) -> None:
    assert codes(loaded_from(folder, env_files=("gone.env",)).diagnostics) == ["file-not-found"]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("V=a b", "a b"),
        ("V = a", "a"),
        ("V: a", "a"),
        ("export V=a", "a"),
        ("V=", ""),
        ("V=a # comment", "a"),
        ("V=a#b", "a#b"),
        ("V='a # b $X'", "a # b $X"),
        ('V="a\\nb\\t\\"c\\" \\$X"', 'a\nb\t"c" $X'),
        ("V='two\nlines'", "two\nlines"),
        ('V="two\nlines"', "two\nlines"),
        ("V=${SHELL_VALUE}-${EARLIER}", "sh-early"),
        ("V=${NO:-d}", "d"),
        ("V=a\r", "a"),
    ],
)
def test_a_line_of_an_env_file(folder: Path, line: str, value: str) -> None:
    (folder / "web.env").write_text(f"EARLIER=early\n# comment\n\n{line}\n", newline="")
    (folder / "compose.yaml").write_text("services: {web: {image: a, env_file: web.env}}")

    found = stack_of(loaded_from(folder, env={"SHELL_VALUE": "sh"})).services["web"]

    assert dict(found.environment)["V"] == value


@pytest.mark.parametrize(
    ("text", "line", "column"), [("A=1\nB='open\n", 2, 3), ("A B=1", 1, 1), ("A=1\n=2\n", 2, 1), ("A=1\nB&C=2", 2, 2)]
)
def test_a_wrong_line_of_an_env_file_is_an_error_at_its_place(folder: Path, text: str, line: int, column: int) -> None:
    (folder / "web.env").write_text(text)
    (folder / "compose.yaml").write_text("services: {web: {image: a, env_file: web.env}}")

    (one,) = loaded_from(folder).diagnostics

    place = one.sources[0]
    assert (one.code, place.line, place.column) == ("env-file-syntax", line, column)


def test_env_files_of_a_service_are_below_its_environment_and_the_later_wins(folder: Path) -> None:
    (folder / "1.env").write_text("A=1\nB=1\nC=1\n")
    (folder / "2.env").write_text("B=2\nC=2\n")
    (folder / "compose.yaml").write_text(
        "services: {web: {image: a, env_file: [1.env, {path: 2.env}], environment: {C: 3}}}"
    )

    assert stack_of(loaded_from(folder)).services["web"].environment == (("A", "1"), ("B", "2"), ("C", "3"))


def test_a_raw_env_file_is_taken_as_it_is(folder: Path) -> None:
    (folder / "raw.env").write_text("A='q' # $X\n")
    (folder / "compose.yaml").write_text("services: {web: {image: a, env_file: [{path: raw.env, format: raw}]}}")

    assert stack_of(loaded_from(folder)).services["web"].environment == (("A", "'q' # $X"),)


def test_an_env_file_that_is_not_required_may_be_missing(folder: Path) -> None:
    (folder / "compose.yaml").write_text("services: {web: {image: a, env_file: [{path: no.env, required: false}]}}")

    assert stack_of(loaded_from(folder)).services["web"].environment == ()


def test_an_env_file_that_is_required_is_missed_at_the_line_that_asks(folder: Path) -> None:
    (folder / "compose.yaml").write_text("services:\n  web:\n    image: a\n    env_file: no.env\n")

    (one,) = loaded_from(folder).diagnostics

    place = one.sources[0]
    assert (one.code, place.line, place.column) == ("file-not-found", 4, 15)


def test_a_name_without_a_value_takes_the_callers(folder: Path) -> None:
    (folder / ".env").write_text("FROM_FILE=1\n")
    (folder / "compose.yaml").write_text("services: {web: {image: a, environment: [FROM_FILE, FROM_SHELL, NOWHERE]}}")

    found = stack_of(loaded_from(folder, env={"FROM_SHELL": "2"})).services["web"]

    assert found.environment == (("FROM_FILE", "1"), ("FROM_SHELL", "2"), ("NOWHERE", None))
