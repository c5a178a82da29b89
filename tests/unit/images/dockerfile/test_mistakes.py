"""What is said about a wrong Dockerfile, and where."""

from __future__ import annotations

import pytest

from stackctl.diagnostics import render
from tests.support.dockerfiles import dockerfile, mistakes

FROM_FORM = ("FROM takes an image, or an image and a name.", "write `FROM IMAGE` or `FROM IMAGE AS NAME`")
SHELL_FORM = ("SHELL is a JSON array of words.", 'write it like `SHELL ["/bin/sh", "-c"]`')
ADD_FLAGS = "it has --chown, --chmod, --link, --exclude, --checksum, --unpack, --keep-git-dir"
STAGE_NAME = "it begins with a letter; letters, digits, `-`, `_` and `.` follow"
KINDS = "it is bind, cache, tmpfs, secret or ssh"
QUOTE = "quote a value that has blanks"


@pytest.mark.parametrize(
    ("line", "place", "said", "hint"),
    [
        ("RNU a", (1, 4), "There is no instruction `RNU`.", "did you mean `RUN`?"),
        ("ENTRYPONT a", (1, 10), "There is no instruction `ENTRYPONT`.", "did you mean `ENTRYPOINT`?"),
        ("xyzzy", (1, 6), "There is no instruction `xyzzy`.", ""),
        ("FROM", (1, 5), *FROM_FORM),
        ("FROM a b", (8, 9), *FROM_FORM),
        ("FROM a AS 1a", (11, 13), "`1a` cannot be a stage's name.", STAGE_NAME),
        ("FROM --platfrom=x a", (6, 18), "FROM has no flag `--platfrom`.", "did you mean `--platform`?"),
        ("RUN", (1, 4), "RUN needs a command.", ""),
        ("RUN []", (1, 4), "RUN needs a command.", ""),
        ("RUN --netwrok=none a", (5, 19), "RUN has no flag `--netwrok`.", "did you mean `--network`?"),
        ("RUN --network a", (5, 14), "`--network` needs a value: `--network=…`.", ""),
        ("RUN --network=x a", (5, 16), "`x` is no network mode.", "it is default, none or host"),
        ("RUN --security=x a", (5, 17), "`x` is no security mode.", "it is sandbox or insecure"),
        ("RUN --network=none --network=none a", (20, 34), "`--network` is given twice.", ""),
        ("RUN --mount=type=x,target=/a a", (5, 29), "`x` is no type of mount.", KINDS),
        ("RUN --mount=type=cache a", (5, 23), "A mount needs `target`.", ""),
        ('RUN ["a", 1]', (5, 13), "An array of words holds texts alone.", "put double quotes around each element"),
        ("ENTRYPOINT", (1, 11), "ENTRYPOINT needs a command.", "`ENTRYPOINT []` takes the base's away"),
        ("SHELL /bin/sh", (1, 6), *SHELL_FORM),
        ("SHELL []", (1, 6), *SHELL_FORM),
        ("COPY a", (1, 5), "COPY needs at least one source and a destination.", ""),
        ("COPY", (1, 5), "COPY needs at least one source and a destination.", ""),
        ("ADD --from=x a b", (5, 13), "ADD has no flag `--from`.", ADD_FLAGS),
        ("COPY --chmod=9 a b", (6, 15), "`9` is no mode.", "write it like 0644 or like u=rwX,go=rX"),
        ("COPY --link=maybe a b", (6, 18), "`--link` is either true or false.", ""),
        ("ENV", (1, 4), "ENV needs a name and a value.", "write `NAME=VALUE`"),
        ("ENV A", (5, 6), "`A` has no value.", "write `A=VALUE`"),
        ("ENV A=1 B", (9, 10), "`B` is not of the form `NAME=VALUE`.", QUOTE),
        ("ENV A=${X:?two words}", (16, 22), "`words}` is not of the form `NAME=VALUE`.", QUOTE),
        ("ENV =1", (5, 7), "The name before `=` is missing.", ""),
        ("ENV --x A=1", (5, 8), "ENV has no flag `--x`.", "it has none"),
        ("ARG", (1, 4), "ARG needs a name.", "write `ARG NAME` or `ARG NAME=DEFAULT`"),
        ("ARG =1", (5, 7), "The name before `=` is missing.", ""),
        ("LABEL a", (7, 8), "`a` has no value.", "write `a=VALUE`"),
        ("WORKDIR", (1, 8), "WORKDIR needs a path.", ""),
        ("USER", (1, 5), "USER needs a user.", ""),
        ("EXPOSE", (1, 7), "EXPOSE needs a port.", ""),
        ("VOLUME", (1, 7), "VOLUME needs a path.", ""),
        ("VOLUME []", (1, 7), "VOLUME needs a path.", ""),
        ('VOLUME [" "]', (1, 7), "A volume's path cannot be empty.", ""),
        ("STOPSIGNAL", (1, 11), "STOPSIGNAL needs a signal.", ""),
        ("MAINTAINER", (1, 11), "MAINTAINER needs a name.", ""),
        ("HEALTHCHECK", (1, 12), "HEALTHCHECK is followed by `CMD` and a command, or by `NONE`.", ""),
        ("HEALTHCHECK curl x", (1, 12), "HEALTHCHECK is followed by `CMD` and a command, or by `NONE`.", ""),
        ("HEALTHCHECK CMD", (1, 12), "HEALTHCHECK CMD needs a command.", ""),
        ("HEALTHCHECK NONE x", (1, 12), "HEALTHCHECK NONE takes nothing more.", ""),
        ("HEALTHCHECK --interval=1 CMD a", (13, 25), "`1` is no duration.", "write it like 30s or 1m30s"),
        ("HEALTHCHECK --interval=1us CMD a", (13, 27), "`--interval` is shorter than one millisecond.", ""),
        ("HEALTHCHECK --retries=-1 CMD a", (13, 25), "`-1` is no number of tries.", ""),
        ("ONBUILD", (1, 8), "ONBUILD needs an instruction.", ""),
        ("ONBUILD FROM a", (9, 13), "FROM cannot be a trigger of ONBUILD.", ""),
        ("ONBUILD ONBUILD RUN a", (9, 16), "ONBUILD cannot be a trigger of ONBUILD.", ""),
        ("ONBUILD MAINTAINER a", (9, 19), "MAINTAINER cannot be a trigger of ONBUILD.", ""),
        ("ONBUILD COPPY a b", (9, 14), "There is no instruction `COPPY`.", "did you mean `COPY`?"),
        ("ONBUILD COPY a", (9, 13), "COPY needs at least one source and a destination.", ""),
    ],
)  # fmt: skip
def test_a_mistake_is_told_at_its_word(line: str, place: tuple[int, int], said: str, hint: str) -> None:
    found = mistakes(f"FROM scratch\n\n{line}")
    assert [(m.code, m.detail, m.hint) for m in found] == [("dockerfile-instruction", said, hint)]
    (source,) = found[0].sources
    assert (source.file, source.line, (source.column, source.end_column)) == ("Dockerfile", 3, place)


def test_all_mistakes_are_told_at_once() -> None:
    found = mistakes("RUNN a\nFROM a\nENV\nRUN ok\nCOPY x\n")
    assert [mistake.sources[0].line for mistake in found] == [1, 3, 5]


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "ARG A=1\n"])
def test_a_file_without_a_stage_is_empty(text: str) -> None:
    (mistake,) = mistakes(text)
    assert (mistake.code, mistake.sources[0].line) == ("dockerfile-empty", 1)


def test_only_arguments_stand_before_the_first_from() -> None:
    (mistake,) = mistakes("ENV A=1\nFROM a\n")
    assert (mistake.code, mistake.detail) == ("dockerfile-no-base", "Only ARG may stand there.")


@pytest.mark.parametrize("name", ["b", "B", "1", "2", "c"])
def test_a_stage_below_cannot_be_copied_from(name: str) -> None:
    found = mistakes(f"FROM x AS a\nFROM x AS b\nCOPY --from={name} x y\nFROM x AS c")
    assert [(m.code, m.sources[0].line) for m in found] == [("dockerfile-stage-order", 3)]


@pytest.mark.parametrize("name", ["a", "0", "image:1", "$X"])
def test_a_stage_above_or_an_image_can_be_copied_from(name: str) -> None:
    assert len(dockerfile(f"FROM x AS a\nFROM x\nCOPY --from={name} x y").stages) == 2


def test_a_name_given_twice_is_warned_of() -> None:
    (warning,) = dockerfile("FROM x AS a\nFROM y AS A").warnings
    assert (warning.code, warning.sources[0].line) == ("duplicate-stage", 2)


def test_what_cannot_be_built_yet_says_so() -> None:
    (mistake,) = mistakes("FROM x\nRUN --device=a b")
    assert (mistake.code, mistake.detail) == ("dockerfile-unsupported", "`RUN --device` is not supported yet.")


def test_a_mistake_is_shown_with_its_line() -> None:
    (mistake,) = mistakes("FROM x\nRUN --mont=a b")
    assert (
        render(mistake, text_of_line={("Dockerfile", 2): "RUN --mont=a b"})
        == """\
error[dockerfile-instruction]: Instruction cannot be read
  --> Dockerfile:2:5
    2 | RUN --mont=a b
      |     ^^^^^^^^
RUN has no flag `--mont`.
hint: did you mean `--mount`?"""
    )
