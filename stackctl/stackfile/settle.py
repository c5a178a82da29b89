"""What can be said of a value only once all files of a group, an `-f` list or one `include`, are merged."""

from __future__ import annotations

from collections.abc import Callable

from stackctl.stackfile.node import (
    Mapping,
    Node,
    Scalar,
    Sequence,
    child_mapping,
    text_of,
    with_entries,
    with_entry,
)
from stackctl.stackfile.problems import Problems
from stackctl.stackfile.transform import Context, any_file_path


def settle(root: Mapping, context: Context, *, is_included: bool) -> Mapping:
    """Return the merged files of a group, with paths that depend on more than one key made absolute.

    An included service that is built from nowhere is built from the folder of its own file.
    """
    if context.base_dir is None:
        return root
    folder = context.base_dir
    root = _each(root, "volumes", lambda volume: _with_device(volume, context))
    _check_mounts(root, context.problems)
    if is_included:
        root = _each(root, "services", lambda service: _with_build_context(service, folder))
    return root


def _each(root: Mapping, section: str, change: Callable[[Mapping], Mapping]) -> Mapping:
    entries = child_mapping(root, section)
    if entries is None:
        return root
    found: dict[str, Node] = {
        name: change(entry) if isinstance(entry, Mapping) else entry for name, entry in entries.entries.items()
    }
    return with_entry(root, section, with_entries(entries, found))


def _check_mounts(root: Mapping, problems: Problems) -> None:
    services = child_mapping(root, "services")
    for service in services.entries.values() if services is not None else ():
        mounts = service.entries.get("volumes") if isinstance(service, Mapping) else None
        for mount in mounts.items if isinstance(mounts, Sequence) else ():
            if not isinstance(mount, Mapping) or "source" in mount.entries:
                continue
            if text_of(mount.entries.get("type")) == "bind":
                problems.error(
                    "missing-key",
                    "Required key is missing",
                    mount.mark,
                    detail="A bind mount needs the key `source`: the path on this machine.",
                )


def _with_device(volume: Mapping, context: Context) -> Mapping:
    """The device of a local bind volume is a path of this machine; Compose wants exactly ``local`` and ``bind``."""
    options = child_mapping(volume, "driver_opts")
    if options is None or "device" not in options.entries:
        return volume
    if text_of(volume.entries.get("driver")) != "local" or text_of(options.entries.get("o")) != "bind":
        return volume
    device = any_file_path(options.entries["device"], context, ())
    return with_entry(volume, "driver_opts", with_entry(options, "device", device))


def _with_build_context(service: Mapping, folder: str) -> Mapping:
    build = child_mapping(service, "build")
    if build is None or "context" in build.entries:
        return service
    return with_entry(service, "build", with_entry(build, "context", Scalar(folder, build.mark)))
