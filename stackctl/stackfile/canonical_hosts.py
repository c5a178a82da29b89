"""``extra_hosts``: names and addresses, ``NAME=ADDRESS`` each."""

from __future__ import annotations

from stackctl.model.path import Path
from stackctl.stackfile.node import Mapping, Node, Scalar, Sequence, text_of
from stackctl.stackfile.transform import Context, bad_value


def host_list(node: Node) -> Node:
    """Return a mapping as the list it is merged as; the texts of a list stay as they are written."""
    if not isinstance(node, Mapping):
        return node
    found = [
        Scalar(f"{name}={text_of(item) or ''}", item.mark)
        for name, entry in node.entries.items()
        for item in (entry.items if isinstance(entry, Sequence) else (entry,))
    ]
    return Sequence(tuple(found), node.mark, node.tag)


def extra_hosts(node: Node, context: Context, path: Path) -> Node:
    """Either form to a list, sorted by name; only in a list a comma separates addresses."""
    found: list[tuple[str, str, Node]] = []
    if isinstance(node, Sequence):
        for at, item in enumerate(node.items):
            text = text_of(item) or ""
            cut = text.find("=" if "=" in text else ":")
            if cut < 1 or ":" in text[:cut]:
                bad_value(context, (*path, at), item.mark, why=f"must be `NAME=ADDRESS`, not `{text}`")
                continue
            found += [(text[:cut], part, item) for part in text[cut + 1 :].split(",")]
    elif isinstance(node, Mapping):
        for name, entry in node.entries.items():
            if not name or set(name) & set("=:"):
                bad_value(context, path, node.keys[name], why=f"has the host name `{name}`, which is none")
            found += [
                (name, text_of(item) or "", item) for item in (entry.items if isinstance(entry, Sequence) else (entry,))
            ]
    else:
        return node
    items = (
        Scalar(f"{name}={_unbracketed(address)}", item.mark)
        for name, address, item in sorted(found, key=lambda entry: entry[0])
    )
    return Sequence(tuple(items), node.mark, node.tag)


def _unbracketed(address: str) -> str:
    return address[1:-1] if address.startswith("[") and address.endswith("]") else address
