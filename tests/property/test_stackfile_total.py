"""Whatever the text is, loading and decoding answer with diagnostics, never with an exception."""

from __future__ import annotations

import json
import string
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stackctl.diagnostics import render
from stackctl.stackfile.canonical import canonical
from stackctl.stackfile.decode import decode
from stackctl.stackfile.document import Document, document_from_wire, document_to_wire
from stackctl.stackfile.dotenv import read_dotenv
from stackctl.stackfile.interpolate import Fault, expand
from stackctl.stackfile.load import Loaded, LoadRequest, load
from stackctl.stackfile.node import Mark, from_plain, plain
from stackctl.stackfile.problems import Problems
from stackctl.stackfile.render import config_text
from stackctl.stackfile.schema import _validator, load_schema
from stackctl.stackfile.schema_quick import compile_schema
from stackctl.stackfile.transform import Context
from stackctl.stackfile.yaml_text import read_yaml

QUICKLY = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))

_SCHEMA = load_schema()
_SERVICE_KEYS = sorted(_SCHEMA["$defs"]["service"]["properties"])


def _keys_below(schema: Any) -> set[str]:
    found: set[str] = set()
    if isinstance(schema, dict):
        found |= set(schema.get("properties", {}))
        for entry in schema.values():
            found |= _keys_below(entry)
    elif isinstance(schema, list):
        for entry in schema:
            found |= _keys_below(entry)
    return found


_WORDS = [
    "",
    "a",
    "a:b",
    "./a:/b:ro",
    "v:/x",
    ":/x",
    "80",
    "80:80",
    "1-3:1-3/udp",
    "::1:1:1",
    "[::]:1:1",
    "10m",
    "1m30s",
    "-1",
    "1e400",
    "A=1",
    "=",
    "service:a",
    "host",
    "yes",
    "${A}",
    "${A:-b}",
    "${",
    "a && b",
    "'",
    "10.0.0.0/8",
    "10.0.0.1",
    "/dev/x:/dev/y:rwm",
    "service_healthy",
    "bind",
    "volume",
    "tmpfs",
    "true",
    "seccomp=unconfined",
    "\u2028",
    "é\ud83d\ude00",
]
_atoms = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 70_000),
    st.sampled_from([1 << 70, 1.5, -0.0, 1e20, 0o444]),
    st.sampled_from(_WORDS).map(lambda word: word.encode("utf-16", "surrogatepass").decode("utf-16")),
)
_inner_keys = st.sampled_from([*sorted(_keys_below(_SCHEMA)), "a", "x-a", "A", ""])
_values = st.recursive(
    _atoms,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_inner_keys, inner, max_size=3)),
    max_leaves=6,
)
_services = st.dictionaries(
    st.sampled_from(["a", "b", "x-c"]),
    st.one_of(
        st.dictionaries(st.sampled_from(_SERVICE_KEYS), _values, max_size=5).map(lambda d: {"image": "i", **d}),
        _values,
    ),
    max_size=2,
)
_resources = st.one_of(_values, st.dictionaries(st.sampled_from(["a", "v", "default"]), _values, max_size=2))
_trees = st.fixed_dictionaries(
    {},
    optional={
        "name": _values,
        "services": st.one_of(_services, _values),
        "networks": _resources,
        "volumes": _resources,
        "secrets": _resources,
        "configs": _resources,
        "include": _values,
        "version": _atoms,
        "x-y": _values,
    },
)


def _load(text: str, *, override: str = "{}") -> Loaded:
    files = {"/p/a.yaml": text.encode("utf-8", "surrogatepass"), "/p/b.yaml": override.encode()}

    def read(path: str) -> bytes:
        if path in files:
            return files[path]
        raise FileNotFoundError(2, "No such file or directory", path)

    names = ("a.yaml", "b.yaml") if override != "{}" else ("a.yaml",)
    request = LoadRequest(cwd="/p", files=names, environment={"HOME": "/home/u"})
    return load(request, read=read)


def _check(loaded: Loaded) -> None:
    is_bad = any(found.severity == "error" for found in loaded.diagnostics)
    assert (loaded.document is None) == is_bad
    for found in loaded.diagnostics:
        assert render(found, text_of_line=dict(loaded.lines))
    if loaded.document is None:
        return
    wire = json.loads(json.dumps(document_to_wire(loaded.document)))
    again = document_from_wire(wire)
    assert again == loaded.document.without_contents()
    stack, diagnostics = decode(again)
    assert (stack is None) == any(found.severity == "error" for found in diagnostics)
    assert "not-canonical" not in [found.code for found in diagnostics]
    for format in ("yaml", "json"):
        assert read_yaml(config_text(loaded.document, format), file="f", problems=Problems())


@given(_trees)
@QUICKLY
def test_loading_any_tree_is_total(tree: Any) -> None:
    _check(_load(json.dumps(tree)))


@given(_services, _services)
@QUICKLY
def test_merging_any_two_trees_is_total(one: Any, two: Any) -> None:
    _check(_load(json.dumps({"services": one}), override=json.dumps({"services": two})))


@given(
    st.text(
        st.sampled_from(string.ascii_lowercase[:4] + " :-#[]{}&*!|>'\"%@`?,\n\t\x00\u2028\ud800<.$=0é"), max_size=60
    )
)
@QUICKLY
def test_loading_any_text_is_total(text: str) -> None:
    _check(_load(text))
    _check(_load("services: {a: {image: " + text))


@given(_trees)
@QUICKLY
def test_the_quick_pass_and_the_json_schema_accept_the_same(tree: Any) -> None:
    accepts = compile_schema(_SCHEMA, with_required=True)
    assert accepts(tree) == _validator().is_valid(tree)


@given(_trees)
@QUICKLY
def test_decoding_any_tree_is_total(tree: Any) -> None:
    stack, diagnostics = decode(Document(tree=tree, positions={}, name="p"))
    assert (stack is None) == any(found.severity == "error" for found in diagnostics)


@given(_trees)
@QUICKLY
def test_canonical_twice_is_canonical_once(tree: Any) -> None:
    context = Context(Problems(), None, "/home/u")
    once = canonical(from_plain(tree, Mark("f", 1)), context)
    if not context.problems.has_errors:
        assert plain(canonical(once, context)) == plain(once)


@given(st.text(st.sampled_from("aA_1${}:-?+ \n'\"\\=#.é"), max_size=50))
@QUICKLY
def test_expressions_and_environment_files_are_total(text: str) -> None:
    faults: list[Fault] = []
    assert isinstance(expand(text, {"a": "1"}.get, faults=faults), str)
    problems = Problems()
    for key, value in read_dotenv(text, file=".env", lookup=lambda _: None, problems=problems).items():
        assert isinstance(value, str)
        assert key or problems.all()
