"""decode: from a Document to a Stack, pure.

Runs where the stack is planned, on what a client sent, and so trusts nothing: the tree is checked against the
schema, for long forms, and for what refers to what, before anything is read from it.
"""

from __future__ import annotations

import posixpath
from types import MappingProxyType
from typing import Literal

from stackctl.diagnostics import Diagnostic
from stackctl.model.network import NetworkSpec
from stackctl.model.stack import ContentSource, Service, Stack
from stackctl.model.volume import VolumeSpec
from stackctl.stackfile import support
from stackctl.stackfile.canonical import canonical, written_out
from stackctl.stackfile.check import check
from stackctl.stackfile.check_running import check_running
from stackctl.stackfile.decode_network import link_aliases, network_spec
from stackctl.stackfile.decode_service import Names, service
from stackctl.stackfile.document import Document as Document
from stackctl.stackfile.document import DocumentPlaces
from stackctl.stackfile.document import document_from_wire as document_from_wire
from stackctl.stackfile.document import document_to_wire as document_to_wire
from stackctl.stackfile.node import Json, Mark, from_plain, plain
from stackctl.stackfile.problems import Problems
from stackctl.stackfile.schema import check_tree
from stackctl.stackfile.support_tables import EngineKind
from stackctl.stackfile.transform import Context
from stackctl.stackfile.tree import as_dict, as_text, pairs

BRIDGE = "bridge"


def decode(document: Document, engine: EngineKind = "built-in") -> tuple[Stack | None, tuple[Diagnostic, ...]]:
    """Return the stack, and everything that is wrong with it or not supported by an engine of the kind.

    The stack is None exactly when there is an error. Total: any tree gives diagnostics, never an exception.
    """
    problems = Problems()
    places = DocumentPlaces(document.positions)
    if not check_tree(document.tree, places, problems, is_partial=False):
        return None, problems.all()
    if not _is_canonical(document.tree, problems):
        return None, problems.all()
    check(document.tree, places, problems, disabled=document.disabled_services)
    check_running(document.tree, places, problems)
    problems.extend(support.check(document, engine))
    if problems.has_errors:
        return None, problems.all()
    stack = _stack(document, places, problems)
    return (None if problems.has_errors else stack), problems.all()


def _is_canonical(tree: dict[str, Json], problems: Problems) -> bool:
    """Say whether ``tree`` is in long form already; what else is wrong with its values is reported."""
    found = Problems()
    context = Context(found, None, "/")
    whole = plain(written_out(canonical(from_plain(tree, Mark("", 0)), context), context))
    if found.has_errors:
        problems.extend(found.all())
        return False
    if whole != tree or not as_text(tree.get("name")):
        problems.error(
            "not-canonical",
            "Document is not in its long form",
            detail="The document was not made by `load`: it has short forms, or no name.",
        )
        return False
    return True


def _stack(document: Document, places: DocumentPlaces, problems: Problems) -> Stack:
    tree = document.tree
    name = as_text(tree.get("name"))
    networks = {
        key: network_spec(as_dict(entry), ("networks", key), places, problems)
        for key, entry in as_dict(tree.get("networks")).items()
    }
    trees = {key: as_dict(entry) for key, entry in as_dict(tree.get("services")).items()}
    bridge = _bridge(name, trees, networks)
    volumes = {
        key: _volume(as_dict(entry), document.working_dir) for key, entry in as_dict(tree.get("volumes")).items()
    }
    names = Names(
        project=name,
        networks={key: spec.name for key, spec in networks.items()},
        volumes={key: spec.name for key, spec in volumes.items()},
        services=frozenset(trees),
        bridge=bridge,
    )
    services: dict[str, Service] = {
        key: service(key, entry, names, places=places, problems=problems) for key, entry in trees.items()
    }
    return Stack(
        name=name,
        working_dir=document.working_dir,
        config_files=document.config_files,
        services=MappingProxyType(link_aliases(services, trees)),
        networks=MappingProxyType(networks),
        volumes=MappingProxyType(volumes),
        contents=MappingProxyType({**_contents(tree, "config"), **_contents(tree, "secret")}),
        disabled_services=document.disabled_services,
        positions=document.positions,
    )


def _bridge(name: str, trees: dict[str, dict[str, Json]], networks: dict[str, NetworkSpec]) -> str:
    """Give ``network_mode: bridge`` a network of the stack's own; return its real name, "" if unused."""
    if not any(entry.get("network_mode") == BRIDGE for entry in trees.values()):
        return ""
    key = BRIDGE
    while key in networks:
        key = f"_{key}"
    networks[key] = NetworkSpec(name=f"{name}_{key}")
    return networks[key].name


def _contents(tree: dict[str, Json], kind: Literal["config", "secret"]) -> dict[str, ContentSource]:
    return {
        f"{kind}/{key}": ContentSource(
            kind=kind,
            name=as_text(as_dict(entry).get("name")),
            is_external=as_dict(entry).get("external") is True,
            labels=pairs(as_dict(entry).get("labels")),
        )
        for key, entry in as_dict(tree.get(f"{kind}s")).items()
    }


def _volume(entry: dict[str, Json], working_dir: str) -> VolumeSpec:
    options = dict(pairs(entry.get("driver_opts")))
    device = options.get("device", "")
    if device and "bind" in options.get("o", "").split(","):
        # The model shows it as written, unless the driver is named, because Compose's does; it is meant all the same.
        options["device"] = posixpath.normpath(posixpath.join(working_dir, device))
    return VolumeSpec(
        name=as_text(entry.get("name")),
        is_external=entry.get("external") is True,
        driver=as_text(entry.get("driver")) or "local",
        options=tuple(options.items()),
        labels=pairs(entry.get("labels")),
    )
