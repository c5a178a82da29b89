"""Short forms to long forms, for a whole file.

Shape only: what is not written stays unwritten, so that files can still be merged; defaults come later, in
``normalise``.
"""

from __future__ import annotations

from stackctl.model.path import Path
from stackctl.stackfile.canonical_build import build, build_at_first, build_at_last, build_once_merged
from stackctl.stackfile.canonical_hosts import extra_hosts
from stackctl.stackfile.canonical_mounts import content_uses, devices, volumes
from stackctl.stackfile.canonical_ports import ports
from stackctl.stackfile.canonical_resources import (
    blkio_config,
    deploy_resources,
    gpus,
    gpus_as_written,
    ulimits,
)
from stackctl.stackfile.node import Mapping, Node, Scalar, Sequence, mapping, text_of, with_entries
from stackctl.stackfile.scalar import text_form
from stackctl.stackfile.transform import (
    Context,
    Transform,
    any_file_path,
    as_text,
    bad_value,
    command,
    duration,
    each_entry,
    entries_of,
    environment,
    file_path,
    items_of,
    key_texts,
    known_keys,
    names_to_mapping,
    no_fraction,
    number,
    once_each,
    option_texts,
    size,
    text_list,
    unique,
    values_of,
    whole_list,
)

_STARTED = "service_started"


def canonical(root: Node, context: Context) -> Node:
    """Return ``root`` with short forms written out and every path absolute.

    Of a service, what Compose merges as it is written stays so: see the functions below.
    """
    return each_entry(root, _TOP, context, ())


def canonical_once_merged(root: Node, context: Context) -> Node:
    """Return what a file was merged into with the rest written out: services of one file extend each other before."""
    return each_entry(root, _ONCE_MERGED, context, ())


def canonical_at_last(root: Node, context: Context) -> Node:
    """Return all files together with what is left written out."""
    return each_entry(root, _AT_LAST, context, ())


def written_out(root: Node, context: Context) -> Node:
    """Return a canonical file by itself, with all that ``canonical`` leaves written out."""
    return canonical_at_last(canonical_once_merged(root, context), context)


def _init_labels(node: Node, context: Context, path: Path) -> Node:
    files = node if isinstance(node, Sequence) else text_list(node, context, path)
    return items_of(file_path)(files, context, path)


def _init_container(node: Node, context: Context, path: Path) -> Node:
    """As for a service, but for what Compose only does there."""
    rules: dict[str, Transform] = {
        **_SERVICE,
        "dns": text_list,
        "gpus": gpus_as_written,
        "label_file": _init_labels,
    }
    return each_entry(node, rules, context, path)


def _job(node: Node, context: Context, path: Path) -> Node:
    """A job is a service with triggers: schedules, in the long form, or its being asked for."""
    found = each_entry(node, _SERVICE, context, path)
    return each_entry(found, {"triggers": entries_of({"schedule": items_of(_schedule)})}, context, path)


def _schedule(node: Node, _: Context, __: Path) -> Node:
    return node if text_of(node) is None else mapping({"cron": node}, node.mark)


def _depends_on(node: Node, context: Context, path: Path) -> Node:
    if not isinstance(node, Sequence):
        return node
    entries: dict[str, Node] = {}
    for item in node.items:
        name = text_of(item)
        if name in entries:
            why = f"names `{name}` twice"
            bad_value(context, path, item.mark, why=why, hint="keep one of the two")
        if name is not None:
            entries[name] = mapping(
                {"condition": Scalar(_STARTED, item.mark), "required": Scalar(True, item.mark)}, item.mark
            )
    return Mapping(entries, {key: entry.mark for key, entry in entries.items()}, node.mark, node.tag)


def _gpus_list(node: Node, _: Context, __: Path) -> Node:
    return node if text_of(node) is None else Sequence((mapping({"count": node}, node.mark),), node.mark)


def _env_files(node: Node, context: Context, path: Path) -> Node:
    if text_of(node) is not None:
        node = Sequence((node._replace(tag=""),), node.mark, node.tag)
    return items_of(_env_file)(node, context, path)


def _env_file(node: Node, context: Context, path: Path) -> Node:
    if text_of(node) is not None:
        node = mapping({"path": node}, node.mark)
    return each_entry(node, {"path": file_path}, context, path)


def _file_list(node: Node, context: Context, path: Path) -> Node:
    return items_of(file_path)(text_list(node, context, path), context, path)


def _healthcheck_test(node: Node, _: Context, __: Path) -> Node:
    text = text_of(node)
    if text is None:
        return node
    shell = Scalar("CMD-SHELL", node.mark)
    return Sequence((shell, Scalar(text, node.mark)), node.mark, node.tag)


def _healthcheck(node: Node, context: Context, path: Path) -> Node:
    return each_entry(
        node,
        {
            "test": _healthcheck_test,
            "interval": duration,
            "timeout": duration,
            "start_period": duration,
            "start_interval": duration,
        },
        context,
        path,
    )


def _dns(node: Node, context: Context, path: Path) -> Node:
    """An empty text is no server."""
    found = text_list(node, context, path)
    if not isinstance(found, Sequence):
        return found
    return Sequence(tuple(item for item in found.items if text_of(item) != ""), found.mark, found.tag)


def _provider_options(node: Node, context: Context, path: Path) -> Node:
    def option(entry: Node, _: Context, __: Path) -> Node:
        if isinstance(entry, Sequence):
            return items_of(as_text)(entry, context, path)
        text = text_form(entry.value) if isinstance(entry, Scalar) else ""
        return Sequence((Scalar(text, entry.mark),), entry.mark)

    return values_of(option)(node, context, path)


def _external(node: Node, context: Context, path: Path) -> Node:
    """``external: {name: x}`` to ``external: true`` and ``name: x``."""
    if not isinstance(node, Mapping):
        return node
    external = node.entries.get("external")
    if not isinstance(external, Mapping):
        return node
    context.problems.warning(
        "obsolete-key",
        "Obsolete key",
        external.mark,
        detail="`external` with a `name` inside is an old form.",
        hint="write `external: true` and `name: …` beside it",
    )
    known_keys(external, ("name",), context, (*path, "external"))
    entries = {**node.entries, "external": Scalar(True, external.mark)}
    if "name" in external.entries:
        entries["name"] = external.entries["name"]
        _report_two_names(node, external, context)
    return with_entries(node, entries)


def _report_two_names(node: Mapping, external: Mapping, context: Context) -> None:
    inner, outer = external.entries["name"], node.entries.get("name")
    if outer is not None and text_of(outer) != text_of(inner):
        context.problems.error(
            "conflicting-keys",
            "Keys contradict each other",
            outer.mark,
            inner.mark,
            detail=f"`name` says `{text_of(outer)}`, and the `name` within `external` says `{text_of(inner)}`.",
            hint="write `external: true`, and one `name: …` beside it",
        )


def _pull_policy(node: Node, _: Context, __: Path) -> Node:
    return Scalar("missing", node.mark, node.tag) if text_of(node) == "if_not_present" else node


def _resource(rules: dict[str, Transform]) -> Transform:
    def apply(node: Node, context: Context, path: Path) -> Node:
        return each_entry(_external(node, context, path), rules, context, path)

    return values_of(apply)


def _aliases_and_options(node: Node, context: Context, path: Path) -> Node:
    found = names_to_mapping(node, context, path)
    rules: dict[str, Transform] = {"driver_opts": values_of(as_text), "aliases": text_list}
    return values_of(entries_of(rules))(found, context, path)


def _driver_options(node: Node, context: Context, path: Path) -> Node:
    """Options that are text or whole numbers; keys of one's own cannot stand between them."""
    for key, entry in node.entries.items() if isinstance(node, Mapping) else ():
        no_fraction(entry, context, (*path, key))
        if key.startswith("x-") and isinstance(node, Mapping):
            bad_value(context, (*path, key), node.keys[key], why="is no option: its name begins with `x-`")
    return option_texts(node, context, path)


_HOOK = entries_of({"command": command, "environment": once_each(environment)})
_PATTERNS = once_each(text_list)
_WATCH: dict[str, Transform] = {"path": file_path, "ignore": _PATTERNS, "include": _PATTERNS, "exec": _HOOK}
_UPDATE = entries_of({"delay": duration, "monitor": duration})
_SERVICE: dict[str, Transform] = {
    "annotations": key_texts,
    "blkio_config": blkio_config,
    "build": build,
    "cap_add": text_list,
    "cap_drop": text_list,
    "command": command,
    "configs": content_uses,
    "cpus": number,
    "cpu_shares": number,
    "depends_on": _depends_on,
    "deploy": entries_of(
        {
            "labels": key_texts,
            "update_config": _UPDATE,
            "rollback_config": _UPDATE,
            "resources": deploy_resources,
            "restart_policy": entries_of({"delay": duration, "window": duration}),
        }
    ),
    "develop": entries_of({"watch": items_of(entries_of(_WATCH))}),
    "device_cgroup_rules": unique,
    "devices": devices,
    "dns": _dns,
    "dns_opt": text_list,
    "dns_search": text_list,
    "entrypoint": command,
    "env_file": _env_files,
    "environment": environment,
    "expose": whole_list(text_list),
    "extra_hosts": once_each(extra_hosts),
    "gpus": gpus,
    "external_links": unique,
    "group_add": whole_list(unique),
    "healthcheck": _healthcheck,
    "label_file": _file_list,
    "labels": key_texts,
    "links": text_list,
    "logging": entries_of({"options": option_texts}),
    "mem_limit": size,
    "mem_reservation": size,
    "mem_swappiness": size,
    "memswap_limit": size,
    "models": names_to_mapping,
    "networks": _aliases_and_options,
    "pids_limit": number,
    "ports": ports,
    "post_start": items_of(_HOOK),
    "pre_start": items_of(_init_container),
    "pre_stop": items_of(_HOOK),
    "profiles": text_list,
    "pull_policy": _pull_policy,
    "provider": entries_of({"options": _provider_options}),
    "secrets": content_uses,
    "security_opt": unique,
    "shm_size": size,
    "stop_grace_period": duration,
    "storage_opt": _driver_options,
    "sysctls": key_texts,
    "tmpfs": text_list,
    "ulimits": ulimits,
    "volumes": volumes,
    "volumes_from": unique,
}
_SERVICE_AT_FIRST: dict[str, Transform] = {
    **{key: rule for key, rule in _SERVICE.items() if key not in ("extra_hosts", "gpus")},
    "build": build_at_first,
}
_ONCE_MERGED: dict[str, Transform] = {
    "services": values_of(entries_of({"build": build_once_merged, "gpus": _gpus_list}))
}
_AT_LAST: dict[str, Transform] = {
    "services": values_of(
        entries_of(
            {
                "build": build_at_last,
                "extra_hosts": _SERVICE["extra_hosts"],
                "gpus": gpus,
            }
        )
    )
}
_TOP: dict[str, Transform] = {
    "services": values_of(entries_of(_SERVICE_AT_FIRST)),
    "jobs": values_of(_job),
    "networks": _resource({"driver_opts": values_of(as_text), "labels": key_texts}),
    "volumes": _resource({"driver_opts": values_of(as_text), "labels": once_each(key_texts)}),
    "secrets": _resource({"file": any_file_path, "driver_opts": _driver_options, "labels": once_each(key_texts)}),
    "configs": _resource({"file": any_file_path, "labels": key_texts}),
}
