"""`ps`: rows and objects with Compose's columns and keys. Pure."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any, Final

from stackctl import labels
from stackctl.cli.containers import Listed
from stackctl.cli.render.durations import ago
from stackctl.cli.render.ports import ports_of, ports_text
from stackctl.cli.render.style import without_controls
from stackctl.cli.render.table import table

HEAD: Final = ("NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS")
_COMMAND_WIDTH: Final = 20


def ps_text(containers: Sequence[Listed], form: str, *, now_s: float, is_truncated: bool = True) -> str:
    """Return the table, for the form ``json`` an object a line, and for any other what the template says."""
    if form == "json":
        return "".join(ps_json(container, now_s=now_s, is_truncated=is_truncated) + "\n" for container in containers)
    if form != "table":
        from stackctl.cli.render.template import formatted  # few ask for it

        rows = [ps_fields(container, now_s=now_s, is_truncated=is_truncated) for container in containers]
        return formatted(form, rows)
    return ps_table(containers, now_s=now_s, is_truncated=is_truncated)


def ps_table(containers: Sequence[Listed], *, now_s: float, is_truncated: bool = True) -> str:
    """Return the table with its head."""
    return table(HEAD, [_row(container, now_s, is_truncated) for container in containers])


def _row(container: Listed, now_s: float, is_truncated: bool) -> tuple[str, ...]:
    entry = container.entry
    return (
        container.name,
        without_controls(str(entry.get("Image") or "")),
        _command(container, is_truncated),
        container.service,
        ago(float(entry.get("Created") or 0), now_s),
        container.status,
        ports_text(ports_of(entry)),
    )


def _command(container: Listed, is_truncated: bool) -> str:
    text = str(container.entry.get("Command") or "")
    if is_truncated and len(text) > _COMMAND_WIDTH:
        text = text[: _COMMAND_WIDTH - 1] + "…"
    return json.dumps(text, ensure_ascii=False)


def ps_json(container: Listed, *, now_s: float, is_truncated: bool = True) -> str:
    """Return one line of JSON for a container."""
    shape = ps_fields(container, now_s=now_s, is_truncated=is_truncated)
    return json.dumps(shape, ensure_ascii=False, separators=(",", ":"))


def ps_fields(container: Listed, *, now_s: float, is_truncated: bool = True) -> dict[str, Any]:
    """Return what there is to say about a container, by Docker Compose's names."""
    entry = container.entry
    created = int(entry.get("Created") or 0)
    marks: dict[str, str] = dict(entry.get("Labels") or {})
    mounts = entry.get("Mounts") or ()
    volumes = [mount for mount in mounts if mount.get("Type") == "volume"]
    networks = (entry.get("NetworkSettings") or {}).get("Networks") or {}
    return {
        "Command": _command(container, is_truncated),
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime(created)),
        "ExitCode": container.exit_code,
        "Health": container.health,
        "ID": container.id[:12] if is_truncated else container.id,
        "Image": entry.get("Image") or "",
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(marks.items())),
        "LocalVolumes": str(len(volumes)),
        "Mounts": ",".join(_mount_name(mount, is_truncated) for mount in mounts),
        "Name": container.name,
        "Names": container.name,
        "Networks": ",".join(networks),
        "Ports": ports_text(ports_of(entry)),
        "Project": marks.get(labels.PROJECT, ""),
        "Publishers": [
            {
                "URL": port.ip,
                "TargetPort": port.private,
                "PublishedPort": port.public,
                "Protocol": port.protocol,
            }
            for port in ports_of(entry)
        ],
        "RunningFor": ago(created, now_s),
        "Service": container.service,
        "Size": "0B",
        "State": container.state,
        "Status": container.status,
    }


def _mount_name(mount: dict[str, Any], is_truncated: bool) -> str:
    name = str(mount.get("Name") or mount.get("Source") or "")
    return name[:14] + "…" if is_truncated and len(name) > 15 else name
