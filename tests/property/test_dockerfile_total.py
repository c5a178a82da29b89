"""Whatever the text is, reading a Dockerfile ends in stages or in diagnostics with a place in it."""

from __future__ import annotations

import re
import string

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stackctl.diagnostics import render
from stackctl.images.dockerfile import DockerfileError, ExpansionError, Ignore, expand, parse, split_words
from stackctl.images.dockerfile.mounts import BadMount, read_mount
from stackctl.images.dockerfile.path_pattern import path_regex

QUICKLY = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
_PIECES = [
    *"FROM RUN CMD ENTRYPOINT COPY ADD ENV ARG LABEL WORKDIR USER EXPOSE VOLUME SHELL HEALTHCHECK ONBUILD".split(),
    *"scratch AS a b /x/ 80/tcp NONE <<EOF <<-'E' EOF E 3<<F << --from=a --mount=type=cache,target=/x --link".split(),
    *"--interval=1m --chmod=u=x --network=$X -- ${A:-b} ${A#*} ${A//x/y} ${ $ $$ '' \" ' \\ ` # [ ] [1] =".split(),
    '["a"]',
    *("\n", "\n", "\n", " ", "\t", "\\\n", "`\n", "\r\n", "# escape=`\n", "# syntax=x\n", "\ufeff", "é", "\0", "A=1"),
]
_texts = st.one_of(
    st.lists(st.sampled_from(_PIECES), max_size=40).map("".join),
    st.lists(st.sampled_from(_PIECES), max_size=40).map(" ".join),
    st.text(string.printable, max_size=200),
    st.text(max_size=100),
)
_words = st.one_of(
    st.lists(st.sampled_from([*"$ ${ } : - + ? # % / // \\ ' \" A B * ? x".split(), " ", "``"]), max_size=30).map(
        "".join
    ),
    st.text(max_size=60),
)


@QUICKLY
@given(_texts)
def test_every_text_is_a_dockerfile_or_has_mistakes(text: str) -> None:
    lines = text.split("\n")
    try:
        read = parse(f"FROM a\n{text}", "Dockerfile")
        assert read.stages[0].index == 0
        told = read.warnings
    except DockerfileError as error:
        assert error.diagnostics
        told = error.diagnostics
    for diagnostic in told:
        for source in diagnostic.sources:
            assert 1 <= source.line <= len(lines) + 1
            assert 1 <= source.column <= source.end_column
        render(diagnostic, text_of_line={})


@QUICKLY
@given(st.binary(max_size=100))
def test_every_bytes_are_a_dockerfile_or_have_mistakes(text: bytes) -> None:
    try:
        parse(text, "Dockerfile")
    except DockerfileError as error:
        assert error.diagnostics


@QUICKLY
@given(_words, st.dictionaries(st.sampled_from("ABx"), st.text(max_size=8)), st.sampled_from("\\`"))
def test_every_word_expands_or_says_why(word: str, variables: dict[str, str], escape: str) -> None:
    try:
        whole = expand(word, variables, escape=escape)
        words = split_words(word, variables, escape=escape)
    except ExpansionError as error:
        assert error.message
        return
    assert "".join("".join(words).split()) == "".join(whole.split())


@QUICKLY
@given(st.text("ab*?[]^-!/\\.#\n ", max_size=30), st.text("ab/.", min_size=1, max_size=20))
def test_every_ignore_file_is_read(text: str, path: str) -> None:
    Ignore.parse(text).excludes(path)


@QUICKLY
@given(
    st.lists(st.sampled_from(["a", "b", "/", "*", "?", "**/", "/**", "/**/", "a*", "*b"]), max_size=8).map("".join),
    st.text("ab/", min_size=1, max_size=10),
    st.booleans(),
)
def test_patterns_match_what_their_plain_translation_matches(pattern: str, path: str, covers_below: bool) -> None:
    pattern = re.sub(r"\*{3,}", "**", pattern)
    plain = {"**": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    if re.fullmatch(r"\*\*[^*?/][^*?]*", pattern):
        text = ".*" + pattern[2:]
    else:
        start, _, end = re.fullmatch(r"(.*?)((\*\*/?)?)", pattern).groups()  # type: ignore[union-attr]  # it matches all
        text = re.sub(r"(\*\*)/?|\*|\?", lambda found: plain[found[1] or found[0]], start) + (".*" if end else "")
    expected = re.fullmatch(text + ("(?:/.*)?" if covers_below else ""), path) is not None
    assert (path_regex(pattern, covers_below=covers_below).fullmatch(path) is not None) == expected


@QUICKLY
@given(
    st.lists(st.sampled_from('type= cache bind tmpfs target= /a , size= 1m mode= rw " = x uid='.split())).map("".join)
)
def test_every_mount_is_read_or_says_why(text: str) -> None:
    try:
        read_mount(text)
    except BadMount as error:
        assert str(error)
