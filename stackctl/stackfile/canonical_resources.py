"""What containers may use of the machine: devices, limits and weights; short forms to long ones."""

from __future__ import annotations

import re

from stackctl.model.path import Path
from stackctl.stackfile.node import Mapping, Node, Scalar, Sequence, mapping, text_of, with_entries, without
from stackctl.stackfile.transform import (
    Context,
    Transform,
    bad_value,
    each_entry,
    entries_of,
    items_of,
    key_texts,
    known_keys,
    no_fraction,
    number,
    once_each,
    size,
    unique,
    values_of,
)

_GPU_KEYS = ("capabilities", "count", "device_ids", "driver", "options")
_DEVICE_REQUEST: dict[str, Transform] = {
    "capabilities": unique,
    "device_ids": unique,
    "options": once_each(key_texts),
}


def gpus(node: Node, context: Context, path: Path) -> Node:
    """``all`` to a list of one request; a request that says neither how many nor which is for all."""
    return device_requests(gpus_as_written(node, context, path), context, path)


def gpus_as_written(node: Node, context: Context, path: Path) -> Node:
    """As ``gpus``, but a request stays as it is; keys nobody knows go, which Compose does here only."""
    if text_of(node) is not None:
        every = mapping({"count": Scalar(-1, node.mark)}, node.mark)
        return Sequence((every,), node.mark)
    return items_of(lambda item, at, below: known_keys(item, _GPU_KEYS, at, below))(node, context, path)


def _device_request(node: Node, context: Context, path: Path) -> Node:
    if not isinstance(node, Mapping):
        return node
    entries = dict(node.entries)
    no_fraction(entries.get("count", node), context, (*path, "count"))
    count = text_of(entries.get("count"))
    if count == "all" or not {"count", "device_ids"} & entries.keys():
        entries["count"] = Scalar(-1, node.mark)
    elif count is not None and re.fullmatch("[-+]?[0-9]{1,18}", count):
        entries["count"] = Scalar(int(count), entries["count"].mark)
    elif count is not None:
        bad_value(context, (*path, "count"), entries["count"].mark, why=f"must be `all` or a number, not `{count}`")
    return each_entry(with_entries(node, entries), _DEVICE_REQUEST, context, path)


def _resource_kind(node: Node, _: Context, __: Path) -> Node:
    return _filled(node, {"kind": "", "value": 0})


device_requests = items_of(_device_request)
deploy_resources = entries_of(
    {
        "limits": entries_of({"cpus": number, "memory": size, "pids": number}),
        "reservations": entries_of(
            {
                "cpus": number,
                "memory": size,
                "devices": device_requests,
                "generic_resources": items_of(entries_of({"discrete_resource_spec": _resource_kind})),
            }
        ),
    }
)


def ulimits(node: Node, context: Context, path: Path) -> Node:
    """Limits as they are, without keys of one's own, which are none."""
    if not isinstance(node, Mapping):
        return node
    limits = without(node, [key for key in node.entries if key.startswith("x-")])
    return values_of(_ulimit)(limits, context, path)


def _ulimit(node: Node, context: Context, path: Path) -> Node:
    """A limit of 0 is both limits, as Compose shows it."""
    if isinstance(node, Mapping):
        return each_entry(node, {"soft": no_fraction, "hard": no_fraction}, context, path)
    if isinstance(node, Scalar) and node.value == 0 and not isinstance(node.value, bool):
        return Mapping({"soft": node, "hard": node}, {"soft": node.mark, "hard": node.mark}, node.mark, node.tag)
    return no_fraction(node, context, path)


def _blkio_limit(node: Node, context: Context, path: Path) -> Node:
    found = each_entry(node, {"rate": size}, context, path)
    return _filled(found, {"path": "", "rate": "0"})


def _blkio_weight(node: Node, _: Context, __: Path) -> Node:
    return _filled(node, {"path": "", "weight": 0})


def _filled(node: Node, defaults: dict[str, str | int]) -> Node:
    """Say what goes without saying."""
    if not isinstance(node, Mapping):
        return node
    return with_entries(node, {**{key: Scalar(value, node.mark) for key, value in defaults.items()}, **node.entries})


blkio_config = entries_of(
    {
        "weight_device": items_of(_blkio_weight),
        **{f"device_{way}_{what}": items_of(_blkio_limit) for way in ("read", "write") for what in ("bps", "iops")},
    }
)
