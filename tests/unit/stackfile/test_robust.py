"""Files nobody would write on purpose, and some that somebody did: the right reading, or one clear error, soon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stackctl.stackfile import yaml_compose
from stackctl.stackfile.load import LoadRequest, load
from tests.support.stacks import codes, decoded, loaded_from

_GOOD = {
    "a byte order mark": b"\xef\xbb\xbfservices: {a: {image: i}}\n",
    "UTF-16": "services: {a: {image: i}}\n".encode("utf-16"),
    "lines that end as on Windows": b"services:\r\n  a:\r\n    image: i\r\n",
    "lines that end as on old Macs": b"services:\r  a:\r    image: i\r",
    "many documents": b"---\nservices: {a: {image: i}}\n" * 200,
    "a megabyte of comments": b"services: {a: {image: i}}\n" + b"# x\n" * 250_000,
    "many keys": b"services:\n  a:\n    image: i\n    labels:\n" + b"".join(b"      k%d: v\n" % i for i in range(5000)),
}
_READ_AS = {
    "words of YAML 1.1": ("yes", "yes"),
    "another one": ("off", "off"),
    "an octal number": ("010", "8"),
    "a number with a leading zero that is no octal": ("08", "8"),
    "a hexadecimal number": ("0x1F", "31"),
    "what was a sexagesimal number": ("12:30", "12:30"),
    "a date": ("2020-01-02", "2020-01-02 00:00:00 +0000 UTC"),
    "a large number": ("1e6", "1e+06"),
    "null": ("~", None),
    "letters of all scripts": ("Ünïcødé 日本 🙂", "Ünïcødé 日本 🙂"),
    "escapes": (r'"\x41\u00e9\n"', "Aé\n"),
    "lines that end as on Windows": ('"a\r\n      b"', "a b"),
}
_LAUGH = b"x-a: &a [x, x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"x-%c: &%c [%s]\n" % (98 + at, 98 + at, b", ".join([b"*%c" % (97 + at)] * 10)) for at in range(9)
)
_MERGES = b"x-a: &a {k: v}\n" + b"".join(
    b"x-%c: &%c {<<: [*%c, *%c, *%c], k%d: v}\n" % (98 + at, 98 + at, *[97 + at] * 3, at) for at in range(20)
)
_BAD = {
    "aliases that multiply": (_LAUGH, "yaml-syntax"),
    "merge keys that multiply": (_MERGES, "yaml-syntax"),
    "an alias inside what it names": (b"services: &s {a: {image: i, x-s: *s}}\n", "unknown-anchor"),
    "deep lists": (b"x-a: " + b"[" * 5000 + b"]" * 5000, "yaml-syntax"),
    "deep mappings": (b"".join(b" " * at + b"a:\n" for at in range(500)), "yaml-syntax"),
    "NUL": (b"services: {a: {image: i}}\n\0", "yaml-syntax"),
    "Latin-1": ("services: {a: {image: é}}".encode("latin-1"), "yaml-syntax"),
    "expressions inside each other": (
        b"services: {a: {image: '" + b"${A:-" * 3000 + b"}" * 3000 + b"'}}",
        "bad-interpolation",
    ),
    "expressions that never end": (b"services: {a: {image: '" + b"${A" * 5000 + b"'}}", "bad-interpolation"),
    "nothing but document marks": (b"---\n---\n", "empty-file"),
    "a key of 100,000 letters": (b"services: {%s: {image: i}}" % (b"k" * 100_000), "yaml-syntax"),
    "a file that includes itself": (b"include: [compose.yaml]\nservices: {a: {image: i}}", "include-cycle"),
    "an env_file that is a folder": (b"services: {a: {image: i, env_file: .}}", "file-unreadable"),
    "an env_file with too long a name": (b"services: {a: {image: i, env_file: %s}}" % (b"x" * 5000), "file-unreadable"),
    "a file to extend that is a folder": (b"services: {a: {extends: {service: b, file: .}}}", "file-unreadable"),
    "NUL in an argument": (b'services: {a: {image: i, command: ["a\\0b"]}}', "bad-value"),
    "NUL in a variable": (b'services: {a: {image: i, environment: {A: "a\\0b"}}}', "bad-value"),
    "one half of a character": (b'services: {a: {image: "\\ud83d"}}', "yaml-syntax"),
}


@pytest.mark.parametrize("content", [pytest.param(content, id=name) for name, content in _GOOD.items()])
def test_odd_but_right(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_bytes(content)

    stack, said = decoded(loaded_from(tmp_path))

    assert stack is not None and list(stack.services) == ["a"], said


@pytest.mark.parametrize(("content", "code"), [pytest.param(*case, id=name) for name, case in _BAD.items()])
def test_one_clear_error(content: bytes, code: str, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_bytes(content)

    stack, said = decoded(loaded_from(tmp_path))

    assert stack is None
    assert codes(said)[:1] == [code]
    assert said[0].sources and said[0].detail


@pytest.mark.parametrize(
    ("kind", "code"), [("folder", "file-unreadable"), ("loop", "file-unreadable"), ("gone", "file-not-found")]
)
def test_what_is_no_file(kind: str, code: str, tmp_path: Path) -> None:
    path = tmp_path / "stack.yaml"
    if kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)

    assert codes(loaded_from(tmp_path, "stack.yaml").diagnostics) == [code]


def test_a_cycle_through_a_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("include: [again.yaml]\nservices: {a: {image: i}}")
    (tmp_path / "again.yaml").symlink_to("compose.yaml")

    assert "include-cycle" in codes(loaded_from(tmp_path).diagnostics)


@pytest.mark.parametrize(("written", "read"), [pytest.param(*case, id=name) for name, case in _READ_AS.items()])
def test_how_a_value_is_read(written: str, read: str | None, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(
        f"services:\n  a:\n    image: i\n    environment:\n      K: {written}\n", encoding="utf-8", newline=""
    )

    document = loaded_from(tmp_path).document

    assert document is not None
    services: Any = document.tree["services"]
    assert services["a"]["environment"] == {"K": read}


def test_values_of_env_files_may_have_several_lines(tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text("KEY=\"-----BEGIN\nabc\n-----END\"\nB='1\n2'\nC=x\n")
    (tmp_path / "compose.yaml").write_text("services: {a: {image: i, env_file: a.env}}")

    document = loaded_from(tmp_path).document

    assert document is not None
    services: Any = document.tree["services"]
    assert services["a"]["environment"] == {"KEY": "-----BEGIN\nabc\n-----END", "B": "1\n2", "C": "x"}


def test_fifty_megabytes_are_read(tmp_path: Path) -> None:
    content = b"services: {a: {image: i, environment: {A: '" + b"x" * 50_000_000 + b"'}}}\n"
    (tmp_path / "compose.yaml").write_bytes(content)

    document = loaded_from(tmp_path).document

    assert document is not None
    services: Any = document.tree["services"]
    assert len(services["a"]["environment"]["A"]) == 50_000_000


def test_a_file_that_never_ends_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "stack.yaml").symlink_to("/dev/zero")

    (one,) = loaded_from(tmp_path, "stack.yaml").diagnostics

    assert (one.code, one.detail) == ("file-unreadable", "`stack.yaml`: file too large.")


def test_more_values_than_any_stack_has_are_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(yaml_compose, "MAX_NODES", 1000)
    (tmp_path / "compose.yaml").write_text("services: {a: {image: i}}\nx-a: [" + "a," * 1000 + "]\n")

    (one,) = loaded_from(tmp_path).diagnostics

    assert (one.code, one.detail) == ("yaml-syntax", "The file holds more than 1000 values.")


def test_services_that_extend_each_other_through_files_and_links_are_found(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {a: {extends: {file: b.yaml, service: b}}}")
    (tmp_path / "b.yaml").write_text("services: {b: {extends: {file: c.yaml, service: b}}}")
    (tmp_path / "c.yaml").symlink_to("b.yaml")

    assert "extends-cycle" in codes(loaded_from(tmp_path).diagnostics)


def test_a_file_nobody_may_read_is_told(tmp_path: Path) -> None:
    def refuse(path: str) -> bytes:
        raise PermissionError(13, "Permission denied", path)

    found = load(LoadRequest(cwd=str(tmp_path), files=("stack.yaml",)), read=refuse)

    assert [(one.code, one.detail) for one in found.diagnostics] == [
        ("file-unreadable", "`stack.yaml`: permission denied.")
    ]
