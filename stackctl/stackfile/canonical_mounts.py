"""Mounts, devices, and the use of configs and secrets: short forms to long ones."""

from __future__ import annotations

import posixpath

from stackctl.model.path import Path
from stackctl.stackfile.node import (
    Mapping,
    Mark,
    Node,
    Scalar,
    Sequence,
    child_mapping,
    mapping,
    text_of,
    with_entries,
    with_entry,
    without,
)
from stackctl.stackfile.problems import dotted
from stackctl.stackfile.transform import (
    Context,
    any_file_path,
    each_entry,
    file_mode,
    is_drive,
    items_of,
    key_texts,
    local_path,
    once_each,
    size,
)

_PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
# The last ones say how a shared folder is kept in step where there is a virtual machine in between: nothing on Linux.
_OPTIONS = frozenset((*_PROPAGATIONS, "ro", "rw", "z", "Z", "nocopy", "consistent", "cached", "delegated", "default"))
_HINT = "write `SOURCE:TARGET[:ro]`; an empty part often comes from a variable that is not set"


class _Wrong(Exception):
    pass


def _volume(node: Node, context: Context, path: Path) -> Node:
    if isinstance(node, Mapping):
        return _long_volume(node, context, path)
    text = text_of(node)
    if text is None:
        return node
    try:
        return _short_volume(text, node.mark, context, path)
    except _Wrong as wrong:
        context.problems.error(
            "bad-volume", "Invalid volume", node.mark, detail=f"`{dotted(path)}`: {wrong}", hint=_HINT
        )
        return node


volumes = items_of(_volume)


def _short_volume(text: str, mark: Mark, context: Context, path: Path) -> Node:
    parts = _volume_parts(text)
    if not text:
        raise _Wrong("the text is empty.")
    if "" in parts:
        raise _Wrong(f"there is nothing between the colons of `{text}`, or before or after them.")
    if len(parts) > 3:
        raise _Wrong(f"`{text}` has too many colons.")
    if any(is_drive(part) for part in parts):
        _warn_about_drive(text, mark, context)
    if len(text.encode("utf-8", "surrogatepass")) < 3:
        return mapping({"type": Scalar("volume", mark), "target": Scalar(_clean(text), mark)}, mark)
    if len(parts) == 1:
        return _mount("volume", None, parts[0], mark, ())
    source = parts[0]
    is_path = source[0] in "./~" or source.startswith("\\\\") or is_drive(source)
    options = tuple(parts[2].split(",")) if len(parts) == 3 else ()
    _warn_about_options(options, mark, context, path)
    if is_path and not source.startswith("\\\\"):
        source = local_path(source, context, of_windows=True)
    return _mount("bind" if is_path else "volume", source, parts[1], mark, options)


def _warn_about_drive(text: str, mark: Mark, context: Context) -> None:
    context.problems.warning(
        "windows-path",
        "Read as a path of Windows",
        mark,
        detail=f"In `{text}` a single letter before a colon is read as a drive, not as the name of a volume.",
        hint="give the volume a name of two letters or more",
    )


def _warn_about_options(options: tuple[str, ...], mark: Mark, context: Context, path: Path) -> None:
    for option in options:
        if option not in _OPTIONS:
            context.problems.warning(
                "unsupported-key",
                "Not supported",
                mark,
                detail=f"`{dotted(path)}` has an option without effect: nobody knows `{option}`.",
                hint="remove it, or write one of ro, rw, nocopy, z, Z, or a propagation such as rshared",
            )


def _volume_parts(text: str) -> list[str]:
    """Split at the colons, but not at that of a drive letter: ``v:/x`` is a path of Windows everywhere."""
    if len(text) < 3:
        return [text]
    parts: list[str] = []
    for part in text.split(":"):
        if parts and len(parts[-1]) == 1 and parts[-1].isalpha():
            parts[-1] += f":{part}"
        else:
            parts.append(part)
    return parts


def _mount(kind: str, source: str | None, target: str, mark: Mark, options: tuple[str, ...]) -> Node:
    entries: dict[str, Node] = {"type": Scalar(kind, mark)}
    if source is not None:
        entries["source"] = Scalar(source, mark)
    entries["target"] = Scalar(_clean(target), mark)
    # The last of ro and rw wins; an option nobody knows was warned of.
    access = [option for option in options if option in ("ro", "rw")]
    if access[-1:] == ["ro"]:
        entries["read_only"] = Scalar(True, mark)
    details: dict[str, dict[str, Node]] = {kind: {}}
    for option in options:
        if option in _PROPAGATIONS:
            details.setdefault("bind", {})["propagation"] = Scalar(option, mark)
        elif option in ("z", "Z"):
            details.setdefault("bind", {})["selinux"] = Scalar(option, mark)
        elif option == "nocopy":
            details.setdefault("volume", {})["nocopy"] = Scalar(True, mark)
    entries.update({key: mapping(entry, mark) for key, entry in sorted(details.items())})
    return mapping(entries, mark)


def _clean(target: str) -> str:
    cleaned = posixpath.normpath(target)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def _long_volume(node: Mapping, context: Context, path: Path) -> Node:
    found = each_entry(
        node,
        {
            "volume": lambda inner, at, below: each_entry(inner, {"labels": once_each(key_texts)}, at, below),
            "tmpfs": lambda inner, at, below: each_entry(inner, {"size": size}, at, below),
        },
        context,
        path,
    )
    assert isinstance(found, Mapping)
    target = text_of(found.entries.get("target"))
    if target is not None:
        found = with_entry(found, "target", Scalar(_clean(target), found.entries["target"].mark))
    if text_of(found.entries.get("type")) == "bind" and "source" in found.entries:
        found = with_entry(found, "source", any_file_path(found.entries["source"], context, path))
    bind = child_mapping(found, "bind")
    create = bind.entries.get("create_host_path") if bind is not None else None
    if bind is not None and isinstance(create, Scalar) and create.value is True:
        found = with_entry(found, "bind", without(bind, ["create_host_path"]))
    return _drop_false(_drop_false_in(found, "volume", "nocopy"), "read_only")


def _drop_false_in(node: Mapping, key: str, flag: str) -> Mapping:
    inner = child_mapping(node, key)
    return node if inner is None else with_entry(node, key, _drop_false(inner, flag))


def _drop_false(node: Mapping, flag: str) -> Mapping:
    entry = node.entries.get(flag)
    is_false = isinstance(entry, Scalar) and entry.value is False
    return without(node, [flag]) if is_false else node


def _device(node: Node, context: Context, path: Path) -> Node:
    if isinstance(node, Mapping):
        return _long_device(node, context, path)
    text = text_of(node)
    if text is None:
        return node
    parts = text.split(":")
    if len(parts) > 3:
        context.problems.error(
            "bad-value",
            "Value not allowed",
            node.mark,
            detail=f"`{dotted(path)}` must be `HOST[:CONTAINER[:rwm]]`, not `{text}`.",
        )
        return node
    source, target = (*parts, "")[:2]
    return _device_entry(source, target or source, parts[2] if len(parts) == 3 else "rwm", node.mark)


def _long_device(node: Mapping, context: Context, path: Path) -> Node:
    entries = dict(node.entries)
    if "target" not in entries:
        context.problems.error(
            "missing-key",
            "Required key is missing",
            node.mark,
            detail=f"`{dotted(path)}` needs the key `target`: the path inside the container.",
        )
    return with_entries(node, entries)


def _device_entry(source: str, target: str, permissions: str, mark: Mark) -> Node:
    texts = {"source": source, "target": target, "permissions": permissions}
    return mapping({key: Scalar(text, mark) for key, text in texts.items()}, mark)


devices = items_of(_device)


def _content_use(node: Node, context: Context, path: Path) -> Node:
    text = text_of(node)
    if text is not None:
        return mapping({"source": Scalar(text, node.mark)}, node.mark)
    return each_entry(node, {"mode": file_mode}, context, path)


content_uses = items_of(_content_use)


def tmpfs_target(text: str) -> str:
    """Return the path of a ``tmpfs`` entry, without its options."""
    return _clean(text.partition(":")[0])


def mount_target(node: Node) -> str | None:
    """Return the target of a long-form mount."""
    return text_of(node.entries.get("target")) if isinstance(node, Mapping) else None


def items(node: Node | None) -> tuple[Node, ...]:
    """Return the items of a list, none for anything else."""
    return node.items if isinstance(node, Sequence) else ()
