"""Variables, quotes and escapes in words."""

from __future__ import annotations

import pytest

from stackctl.images.dockerfile import ExpansionError, expand, expand_text, split_words

ENV = {
    "A": "a",
    "E": "",
    "PATH": "/usr/local/bin:/usr/bin",
    "FILE": "dir/archive.tar.gz",
    "WORDS": "one two  three",
    "STAR": "a*b?c",
    "1": "first",
    "é": "accent",
}


@pytest.mark.parametrize(
    ("word", "read"),
    [
        ("", ""),
        ("plain", "plain"),
        ("$A", "a"),
        ("${A}", "a"),
        ("x$A.y", "xa.y"),
        ("$A$A${A}", "aaa"),
        ("$NO|${NO}", "|"),
        ("$", "$"),
        ("a$", "a$"),
        ("$.", "$."),
        ("$1x", "firstx"),
        ("$12", ""),
        ("$é", "accent"),
        ("$@$*$#$?$-$$$!", ""),
        ("\\$A", "$A"),
        ("\\a\\\\b", "a\\b"),
        ("end\\", "end"),
        ("'$A'", "$A"),
        ("'a\\b'", "a\\b"),
        ('"$A"', "a"),
        ('"\\$A"', "$A"),
        ('"a\\"b"', 'a"b'),
        ('"a\\\\b"', "a\\b"),
        ('"a\\nb"', "a\\nb"),
        ('"it\'s $A"', "it's a"),
        ("'say \"$A\"'", 'say "$A"'),
        ("a'b'\"c\"d", "abcd"),
        ('""', ""),
        ("a b  c", "a b  c"),
    ],
)
def test_variables_quotes_and_escapes(word: str, read: str) -> None:
    assert expand(word, ENV) == read


@pytest.mark.parametrize(
    ("word", "read"),
    [
        ("${A:-d}", "a"),
        ("${E:-d}", "d"),
        ("${E-d}", ""),
        ("${NO:-d}", "d"),
        ("${NO-d}", "d"),
        ("${NO:-}", ""),
        ("${NO:-$A}", "a"),
        ("${NO:-${ALSO_NO:-${A}x}y}", "axy"),
        ("${NO:-'q $A'}", "q $A"),
        ('${NO:-"q } $A"}', "q } a"),
        ("${NO:-a\\}b}", "a}b"),
        ("${NO:-a b}", "a b"),
        ("${NO:-http://x:80/}", "http://x:80/"),
        ("${A:+x}", "x"),
        ("${A+x}", "x"),
        ("${E:+x}", ""),
        ("${E+x}", "x"),
        ("${NO+x}|${NO:+x}", "|"),
        ("${A:?must}", "a"),
        ("${A?must}", "a"),
        ("${E?must}", ""),
        ('"${NO:-"in"}"', "in"),
    ],
)
def test_defaults_alternatives_and_demands(word: str, read: str) -> None:
    assert expand(word, ENV) == read


@pytest.mark.parametrize(
    ("word", "read"),
    [
        ("${PATH#*/}", "usr/local/bin:/usr/bin"),
        ("${PATH##*/}", "bin"),
        ("${PATH%/*}", "/usr/local/bin:/usr"),
        ("${PATH%%/*}", ""),
        ("${PATH%%:*}", "/usr/local/bin"),
        ("${PATH##*:}", "/usr/bin"),
        ("${FILE%.gz}", "dir/archive.tar"),
        ("${FILE%.zip}", "dir/archive.tar.gz"),
        ("${FILE%.*}", "dir/archive.tar"),
        ("${FILE%%.*}", "dir/archive"),
        ("${FILE#dir/}", "archive.tar.gz"),
        ("${FILE#???}", "/archive.tar.gz"),
        ("${FILE%?}", "dir/archive.tar.g"),
        ("${FILE#$NO}", "dir/archive.tar.gz"),
        ("${FILE#$A}", "dir/archive.tar.gz"),
        ("${STAR#a\\*}", "b?c"),
        ("${STAR%\\?c}", "a*b"),
        ("${STAR##*\\?}", "c"),
        ("${NO#x}|${E%%*}", "|"),
        ("${FILE/tar/zip}", "dir/archive.zip.gz"),
        ("${FILE/r/R}", "diR/archive.tar.gz"),
        ("${FILE//r/R}", "diR/aRchive.taR.gz"),
        ("${FILE//r/}", "di/achive.ta.gz"),
        ("${FILE//[.]/-}", "dir/archive.tar.gz"),
        ("${FILE/a*e/X}", "dir/X.tar.gz"),
        ("${FILE/.*/}", "dir/archive"),
        ("${FILE//?r/X}", "dX/Xchive.tX.gz"),
        ("${FILE/\\//:}", "dir:archive.tar.gz"),
        ("${WORDS// /_}", "one_two__three"),
        ("${WORDS/$A/x}", "one two  three"),
        ("${STAR/\\*/$A}", "aab?c"),
        ("${NO/a/b}", ""),
        ("${FILE/zip/tar}", "dir/archive.tar.gz"),
    ],
)
def test_patterns_are_cut_off_and_replaced(word: str, read: str) -> None:
    assert expand(word, ENV) == read


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("${A", "the closing `}` is missing"),
        ("${", "the closing `}` is missing"),
        ("${A:", "the closing `}` is missing"),
        ("${NO:-x", "the closing `}` is missing"),
        ("${}", "`${` is followed by no name"),
        ("${{A}}", "`${` is followed by no name"),
        ("${:-x}", "`${` is followed by no name"),
        ("${A:1:3}", "`:1` cannot follow the name in `${A…}`"),
        ("${A^^}", "`^` cannot follow the name in `${A…}`"),
        ("${A:#x}", "`:#` cannot follow the name in `${A…}`"),
        ("${NO:?}", "`NO`: must be set and not empty"),
        ("${NO?}", "`NO`: must be set"),
        ("${E:?give it}", "`E`: give it"),
        ("${A/x", "the closing `/` is missing"),
        ("${A/x/y", "the closing `}` is missing"),
        ("${A#\\x}", "`\\x` means nothing in a pattern"),
        ("'a", "a single quote is not closed"),
        ('"a', "a double quote is not closed"),
        ("${NO:-" * 60 + "}" * 60, "variables are nested too deeply"),
    ],
)
def test_what_cannot_be_expanded_says_why(word: str, said: str) -> None:
    with pytest.raises(ExpansionError) as caught:
        expand(word, ENV)
    assert caught.value.message.endswith(f": {said}")


def test_the_backtick_escapes_where_the_file_says_so() -> None:
    assert expand('`$A \\a "`" `$A \\"', ENV, escape="`") == '$A \\a " $A \\'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("80 443", ("80", "443")),
        ("  a\t b ", ("a", "b")),
        ("$WORDS", ("one", "two", "three")),
        ("x$WORDS.y", ("xone", "two", "three.y")),
        ('"$WORDS" a', ("one two  three", "a")),
        ("'a b' c\\ d", ("a b", "c d")),
        ("$NO $E", ()),
        ("", ()),
    ],
)
def test_words_are_split_after_expansion(text: str, words: tuple[str, ...]) -> None:
    assert split_words(text, ENV) == words


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('it\'s "$A"\n', 'it\'s "a"\n'),
        ("\\$A \\\\ \\n\n", "$A \\ n\n"),
        ("${NO:-d}\n", "d\n"),
    ],
)
def test_in_a_heredoc_quotes_mean_nothing(text: str, read: str) -> None:
    assert expand_text(text, ENV) == read


def test_a_pattern_with_many_stars_is_matched_in_no_time() -> None:
    value = "a" * 3000
    assert expand("${V##" + "*a" * 40 + "b}", {"V": value}) == value
    assert expand("${V/" + "*a" * 40 + "b/x}", {"V": value[:300]}) == value[:300]


def test_values_cannot_grow_without_bound() -> None:
    with pytest.raises(ExpansionError):
        expand("${V//a/$V}", {"V": "a" * 5000})
