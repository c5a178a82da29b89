"""Each instruction's forms, read without expanding anything."""

from __future__ import annotations

import pytest

from stackctl.images.dockerfile.instruction import (
    Add,
    Arg,
    Cmd,
    Command,
    Copy,
    Entrypoint,
    Env,
    ExecForm,
    Expose,
    From,
    Healthcheck,
    Label,
    Maintainer,
    OnBuild,
    Run,
    Shell,
    ShellForm,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from tests.support.dockerfiles import dockerfile, instruction

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "image", "name", "platform"),
    [
        ("FROM a", "a", None, ""),
        ("from a:1@sha256:00 as Web", "a:1@sha256:00", "web", ""),
        ("FROM --platform=$BUILDPLATFORM ${X:-a} AS x-1_b.c", "${X:-a}", "x-1_b.c", "$BUILDPLATFORM"),
        ("FROM -- a", "a", None, ""),
    ],
)
def test_from(text: str, image: str, name: str | None, platform: str) -> None:
    base = dockerfile(text).stages[0].base
    assert (base.image, base.name, base.platform) == (image, name, platform)


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("a  b", ShellForm("a  b")),
        ('["a", "b c"]', ExecForm(("a", "b c"))),
        ('  [ "a" ]  ', ExecForm(("a",))),
        ("['a']", ShellForm("['a']")),
        ('["a"', ShellForm('["a"')),
        ('["a"] b', ShellForm('["a"] b')),
        ('["a",]', ShellForm('["a",]')),
        ('["\\u00e9\\n"]', ExecForm(("é\n",))),
        ("$A ${B}", ShellForm("$A ${B}")),
        ("[ -f a ] && b", ShellForm("[ -f a ] && b")),
    ],
)
@pytest.mark.parametrize("name", ["RUN", "CMD", "ENTRYPOINT", "HEALTHCHECK CMD"])
def test_a_command_is_exec_form_only_if_it_is_a_json_array(name: str, text: str, command: Command) -> None:
    read = instruction(f"{name} {text}")
    assert isinstance(read, Run | Cmd | Entrypoint | Healthcheck)
    assert read.command == command


@pytest.mark.parametrize("name", ["CMD", "ENTRYPOINT"])
def test_an_empty_array_is_a_command(name: str) -> None:
    read = instruction(f"{name} []")
    assert isinstance(read, Cmd | Entrypoint)
    assert read.command == ExecForm(())


def test_run_flags_are_kept_raw() -> None:
    run = instruction("RUN --mount=type=cache,target=$X --mount=target=/b --network=none --security=sandbox -- --a")
    assert isinstance(run, Run)
    assert run.mounts == ("type=cache,target=$X", "target=/b")
    assert (run.network, run.security, run.command) == ("none", "sandbox", ShellForm("--a"))


def test_flags_end_at_the_first_other_word() -> None:
    run = instruction("RUN a --network=none")
    assert isinstance(run, Run) and run.network == ""


def test_flags_may_be_quoted() -> None:
    copy = instruction("COPY --chown=\"a b\":c --exclude='x y' --exclude=z\\ w s d")
    assert isinstance(copy, Copy)
    assert (copy.chown, copy.excludes) == ("a b:c", ("x y", "z w"))


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("A=1", (("A", "1"),)),
        ("A=1 B=\"x y\" C='$z' D=a\\ b E=", (("A", "1"), ("B", '"x y"'), ("C", "'$z'"), ("D", "a\\ b"), ("E", ""))),
        ('A="x\\" y"', (("A", '"x\\" y"'),)),
        ('A=x"y z"w', (("A", 'x"y z"w'),)),
        ("A x y  z", (("A", "x y  z"),)),
        ("A x=y z", (("A", "x=y z"),)),
        ("A=b=c", (("A", "b=c"),)),
        ("A=${X:-'a b'}", (("A", "${X:-'a b'}"),)),
        ('"A b"=1', (('"A b"', "1"),)),
    ],
)
@pytest.mark.parametrize("name", ["ENV", "LABEL"])
def test_pairs(name: str, text: str, pairs: tuple[tuple[str, str], ...]) -> None:
    read = instruction(f"{name} {text}")
    assert isinstance(read, Env | Label)
    assert read.pairs == pairs


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("A", (("A", None),)),
        ("A=", (("A", ""),)),
        ('A=1 B C="x y"', (("A", "1"), ("B", None), ("C", '"x y"'))),
    ],
)
def test_arg(text: str, pairs: tuple[tuple[str, str | None], ...]) -> None:
    arg = instruction(f"ARG {text}")
    assert isinstance(arg, Arg) and arg.pairs == pairs


def test_args_before_the_first_from_are_global() -> None:
    read = dockerfile("ARG A=1\nARG B\nFROM x\nARG C")
    assert [arg.pairs for arg in read.global_args] == [(("A", "1"),), (("B", None),)]
    assert len(read.stages[0].instructions) == 1


@pytest.mark.parametrize(
    ("text", "sources", "destination"),
    [
        ("a b", ("a",), "b"),
        ("a  b\tc /d/", ("a", "b", "c"), "/d/"),
        ('["a b", "c d"]', ("a b",), "c d"),
        ('"a b" c', ('"a', 'b"'), "c"),
        ("[a] b", ("[a]",), "b"),
    ],
)
@pytest.mark.parametrize("name", ["COPY", "ADD"])
def test_sources_and_destination(name: str, text: str, sources: tuple[str, ...], destination: str) -> None:
    read = instruction(f"{name} {text}")
    assert isinstance(read, Copy | Add)
    assert (read.sources, read.destination) == (sources, destination)


def test_copy_flags() -> None:
    copy = instruction("COPY --from=b --chown=1:2 --chmod=u=rwX,go=rX --link --parents=false --exclude=*.o a /x")
    assert isinstance(copy, Copy)
    assert (copy.source_stage, copy.chown, copy.chmod, copy.link, copy.parents, copy.excludes) == (
        "b", "1:2", "u=rwX,go=rX", True, False, ("*.o",),
    )  # fmt: skip


def test_add_flags() -> None:
    add = instruction("ADD --chmod=0644 --checksum=sha256:00 --unpack=false --keep-git-dir a /x")
    assert isinstance(add, Add)
    assert (add.chmod, add.checksum, add.unpack, add.keep_git_dir, add.link) == (
        "0644",
        "sha256:00",
        False,
        True,
        False,
    )


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("WORKDIR /a b", Workdir),
        ("USER a:b", User),
        ("STOPSIGNAL SIGTERM", StopSignal),
        ("MAINTAINER me <me@x>", Maintainer),
    ],
)
def test_the_rest_of_the_line_is_one_word(text: str, read: type[Workdir | User | StopSignal | Maintainer]) -> None:
    found = instruction(text)
    assert isinstance(found, read)
    match found:
        case Workdir(path=word) | User(user=word) | StopSignal(signal=word) | Maintainer(name=word):
            assert word == text.partition(" ")[2]


def test_expose_and_volume_are_lists() -> None:
    expose = instruction("EXPOSE 80 53/udp $P 1000-1002")
    assert isinstance(expose, Expose) and expose.ports == ("80", "53/udp", "$P", "1000-1002")
    for text in ("VOLUME /a /b", 'VOLUME ["/a", "/b"]'):
        volume = instruction(text)
        assert isinstance(volume, Volume) and volume.paths == ("/a", "/b")


def test_shell() -> None:
    shell = instruction('SHELL ["/bin/bash", "-c"]')
    assert isinstance(shell, Shell) and shell.argv == ("/bin/bash", "-c")


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("30s", 30 * SECOND),
        ("1m30s", 90 * SECOND),
        ("1.5h", 5400 * SECOND),
        ("100ms", SECOND // 10),
        ("1ms", SECOND // 1000),
        (".5s", SECOND // 2),
        ("2000us", 2_000_000),
        ("0", 0),
        ("0s", 0),
    ],
)
def test_durations_of_a_health_check(text: str, nanoseconds: int) -> None:
    check = instruction(f"HEALTHCHECK --interval={text} CMD true")
    assert isinstance(check, Healthcheck) and check.interval_ns == nanoseconds


def test_health_check_flags_and_none() -> None:
    check = instruction("HEALTHCHECK --timeout=1s --start-period=2s --start-interval=3s --retries=4 cmd true")
    assert isinstance(check, Healthcheck)
    assert (check.timeout_ns, check.start_period_ns, check.start_interval_ns, check.retries) == (
        SECOND, 2 * SECOND, 3 * SECOND, 4,
    )  # fmt: skip
    nothing = instruction("HEALTHCHECK none")
    assert isinstance(nothing, Healthcheck) and nothing.command is None


def test_a_trigger_is_kept_as_text() -> None:
    trigger = instruction("ONBUILD  run a \\\n  b")
    assert isinstance(trigger, OnBuild) and trigger.trigger == "run a   b"


def test_stages_are_found_by_name_and_number() -> None:
    read = dockerfile("FROM a AS x\nFROM b\nFROM c AS X1")
    assert [read.stage(name) for name in ("x", "X", "1", "x1", "3", "nope")] == [
        read.stages[0], read.stages[0], read.stages[1], read.stages[2], None, None,
    ]  # fmt: skip


def test_an_old_form_is_warned_of() -> None:
    found = dockerfile("FROM a\nENV A b\nMAINTAINER me\nLABEL x y\nENV A=b")
    assert [(warning.code, warning.sources[0].line) for warning in found.warnings] == [
        ("dockerfile-old", 2), ("dockerfile-old", 3), ("dockerfile-old", 4),
    ]  # fmt: skip


def test_from_may_stand_alone() -> None:
    assert isinstance(dockerfile("FROM a").stages[0].base, From)
