"""``post_start`` and ``pre_stop`` of the canonical tree to Hooks."""

from __future__ import annotations

from stackctl.model.hook import Hook
from stackctl.stackfile.node import Json
from stackctl.stackfile.tree import as_dict, as_list, as_text, texts


def hooks(value: Json) -> tuple[Hook, ...]:
    """Return the commands, in order; those without a word are left out."""
    found = (_hook(as_dict(entry)) for entry in as_list(value))
    return tuple(hook for hook in found if hook.argv)


def _hook(entry: dict[str, Json]) -> Hook:
    environment = as_dict(entry.get("environment"))
    return Hook(
        argv=texts(entry.get("command")),
        env=tuple(f"{key}={as_text(text)}" for key, text in environment.items() if text is not None),
        user=as_text(entry.get("user")),
        working_dir=as_text(entry.get("working_dir")),
        privileged=entry.get("privileged") is True,
    )
