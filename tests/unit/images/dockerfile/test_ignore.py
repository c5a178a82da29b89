"""Which paths a .dockerignore leaves out."""

from __future__ import annotations

import pytest

from stackctl.images.dockerfile import Ignore


@pytest.mark.parametrize(
    ("text", "left_out", "seen"),
    [
        ("", (), ("a", "a/b")),
        ("a", ("a", "a/b", "a/b/c"), ("b", "b/a", "aa")),
        ("/a", ("a", "a/b"), ("b/a",)),
        ("a/", ("a", "a/b"), ("b/a",)),
        ("./a//b/../c", ("a/c",), ("a", "a/b")),
        ("a/b", ("a/b", "a/b/c"), ("a", "b", "x/a/b")),
        ("*.o", ("a.o", ".o"), ("d/a.o", "a.oo")),
        ("*/*.o", ("d/a.o",), ("a.o", "d/e/a.o")),
        ("**/*.o", ("a.o", "d/a.o", "d/e/a.o"), ("a.c",)),
        ("**", ("a", "a/b"), ()),
        ("*", ("a", "a/b", ".git"), ()),
        ("a/**", ("a/b", "a/b/c"), ("a", "b")),
        ("**/a", ("a", "b/a", "b/c/a", "b/a/x"), ("ba", "b/ca")),
        ("a/**/z", ("a/z", "a/b/z", "a/b/c/z"), ("z", "a/b/zz")),
        ("a**z", ("az", "a/b/z", "ab/z"), ("a", "abz")),
        ("**.x?", (".xa", "b/.xa"), ("b.xa",)),
        ("a**", ("a", "ab", "a/b", "ab/c"), ("ba",)),
        ("**a", ("a", "b/a", "ba", "b/ca"), ("b",)),
        ("?", ("a", "b/c"), ("ab", "ab/c")),
        ("a?b", ("axb",), ("ab", "a/b")),
        ("[a-c]x", ("ax", "cx"), ("dx", "x")),
        ("[^a]x", ("bx",), ("ax", "/x")),
        ("a\\*", ("a*",), ("ab",)),
        ("\\#a", ("#a",), ("a",)),
        (" #a", ("#a",), ("a",)),
        ("#a", (), ("#a", "a")),
        ("  a  ", ("a",), (" a",)),
        ("a\r\nb\r\n", ("a", "b"), ("c",)),
        ("\ufeffa", ("a",), ("b",)),
        ("a.c", ("a.c",), ("abc",)),
        ("a+b(c)|$^{}", ("a+b(c)|$^{}",), ("aab",)),
        (".", (), ("a",)),
        ("..", (), ("a",)),
        ("*\n!a", ("b", "b/a"), ("a", "a/b")),
        ("*\n! a", ("b",), ("a",)),
        ("!a\n*", ("a", "b"), ()),
        ("a\n!a/b", ("a", "a/c"), ("a/b", "a/b/c")),
        ("a\n!a/b\na/b/c", ("a", "a/b/c"), ("a/b", "a/b/d")),
        ("**\n!**/*.c", ("a", "a/b.h"), ("a.c", "a/b.c")),
        ("*.md\n!README*.md\nREADME-secret.md", ("a.md", "README-secret.md"), ("README.md", "README-x.md")),
        ("é*", ("éa",), ("ea",)),
        ("a\\", (), ("a",)),
        ("[a", (), ("a", "[a")),
    ],
)
def test_the_last_line_that_matches_decides(text: str, left_out: tuple[str, ...], seen: tuple[str, ...]) -> None:
    ignore = Ignore.parse(text)
    assert {path: ignore.excludes(path) for path in (*left_out, *seen)} == {
        **dict.fromkeys(left_out, True),
        **dict.fromkeys(seen, False),
    }


def test_a_pattern_with_many_stars_is_matched_in_no_time() -> None:
    assert not Ignore.parse("*a" * 40 + "b").excludes("a" * 250)
    assert not Ignore.parse("**/a/" * 12 + "b").excludes("/".join("a" * 100))


def test_with_an_exception_excluded_folders_are_looked_into() -> None:
    assert not Ignore.parse("a").may_descend
    assert Ignore.parse("a\n!a/b").may_descend


@pytest.mark.parametrize("line", ["[a", "a\\", "[z-a]"])
def test_a_line_that_cannot_be_read_is_told(line: str) -> None:
    (warning,) = Ignore.parse(f"ok\n{line}\n", "x.dockerignore").warnings
    assert (warning.code, str(warning.sources[0])) == ("dockerignore-pattern", "x.dockerignore:2")
