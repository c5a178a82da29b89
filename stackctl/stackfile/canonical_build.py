"""``build`` of a service, short forms to long forms."""

from __future__ import annotations

from stackctl.model.path import Path
from stackctl.stackfile.canonical_hosts import extra_hosts
from stackctl.stackfile.canonical_mounts import content_uses
from stackctl.stackfile.canonical_resources import ulimits
from stackctl.stackfile.node import Mapping, Node, Scalar, Sequence, kind_of, mapping, text_of
from stackctl.stackfile.transform import (
    Context,
    Transform,
    as_text,
    bad_value,
    build_context,
    each_entry,
    file_path,
    is_remote,
    items_of,
    key_texts,
    key_values,
    once_each,
    size,
    text_list,
    values_of,
)


def build(node: Node, context: Context, path: Path) -> Node:
    """A folder or a mapping to a mapping, all in long form."""
    return each_entry(_build_mapping(node), _BUILD, context, path)


def build_at_first(node: Node, context: Context, path: Path) -> Node:
    """As ``build``, without what Compose merges as it is written."""
    return each_entry(_build_mapping(node), _BUILD_AT_FIRST, context, path)


def build_once_merged(node: Node, context: Context, path: Path) -> Node:
    """What is written out once a file is merged."""
    return each_entry(node, {"secrets": items_of(_secret_source), "ssh": _ssh_list}, context, path)


def build_at_last(node: Node, context: Context, path: Path) -> Node:
    """What is written out once all files are merged."""
    return each_entry(node, {"extra_hosts": _BUILD["extra_hosts"], "secrets": content_uses}, context, path)


def _build_mapping(node: Node) -> Node:
    text = text_of(node)
    if text is None:
        return node
    return Mapping({"context": Scalar(text, node.mark)}, {"context": node.mark}, node.mark, node.tag)


def _context_path(node: Node, context: Context, path: Path) -> Node:
    text = text_of(node)
    return node if text is None or is_remote(text) else file_path(node, context, path)


def _contexts(node: Node, context: Context, path: Path) -> Node:
    for at, item in enumerate(node.items if isinstance(node, Sequence) else ()):
        text = text_of(item)
        if text is not None and "=" not in text:
            bad_value(context, (*path, at), item.mark, why=f"must be `NAME=CONTEXT`, not `{text}`")
    for name, entry in node.entries.items() if isinstance(node, Mapping) else ():
        if isinstance(entry, Scalar) and not isinstance(entry.value, str):
            bad_value(context, (*path, name), entry.mark, why=f"must be text, not {kind_of(entry)}")
    return values_of(build_context)(key_texts(node, context, path), context, path)


def _ssh(node: Node, context: Context, path: Path) -> Node:
    for at, item in enumerate(node.items if isinstance(node, Sequence) else ()):
        text = text_of(item)
        if text is not None and "=" not in text and text != "default":
            bad_value(context, (*path, at), item.mark, why=f"must be `default` or `NAME=PATH`, not `{text}`")
    return values_of(file_path)(once_each(key_values)(node, context, path), context, path)


def _ssh_mapping(node: Node, context: Context, path: Path) -> Node:
    return node if isinstance(node, Sequence) else _ssh(node, context, path)


def _ssh_list(node: Node, context: Context, path: Path) -> Node:
    return _ssh(node, context, path) if isinstance(node, Sequence) else node


def _secret_source(node: Node, _: Context, __: Path) -> Node:
    return node if text_of(node) is None else mapping({"source": node}, node.mark)


_BUILD: dict[str, Transform] = {
    "context": _context_path,
    "args": key_values,
    "ulimits": ulimits,
    "ssh": _ssh,
    "labels": key_texts,
    "additional_contexts": _contexts,
    "no_cache_filter": once_each(text_list),
    "extra_hosts": once_each(extra_hosts),
    "provenance": as_text,
    "sbom": as_text,
    "secrets": content_uses,
    "shm_size": size,
    "tags": text_list,
}
_BUILD_AT_FIRST: dict[str, Transform] = {
    **{key: rule for key, rule in _BUILD.items() if key not in ("extra_hosts", "secrets")},
    "ssh": _ssh_mapping,
}
