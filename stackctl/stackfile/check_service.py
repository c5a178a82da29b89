"""Checks within one service: keys that exclude each other."""

from __future__ import annotations

from stackctl.model.path import Path
from stackctl.stackfile.node import Json
from stackctl.stackfile.problems import Problems, dotted
from stackctl.stackfile.schema import Places
from stackctl.stackfile.tree import as_dict, as_list, as_text, texts


def check_service(path: Path, service: dict[str, Json], places: Places, problems: Problems) -> None:
    """Report what does not go together in one canonical service."""
    _device_requests(path, service, places, problems)
    _build(path, service, places, problems)
    _watch(path, service, places, problems)
    _healthcheck(path, service, places, problems)


def _device_requests(path: Path, service: dict[str, Json], places: Places, problems: Problems) -> None:
    reservations = as_dict(as_dict(as_dict(service.get("deploy")).get("resources")).get("reservations"))
    for where, holder in (
        ((*path, "deploy", "resources", "reservations", "devices"), reservations.get("devices")),
        ((*path, "gpus"), service.get("gpus")),
    ):
        for at, item in enumerate(as_list(holder)):
            _exclude((*where, at), as_dict(item), ("count", "device_ids"), places, problems)


def _build(path: Path, service: dict[str, Json], places: Places, problems: Problems) -> None:
    build = as_dict(service.get("build"))
    here: Path = (*path, "build")
    _exclude(here, build, ("dockerfile", "dockerfile_inline"), places, problems)
    platform, platforms = as_text(service.get("platform")), texts(build.get("platforms"))
    if platform and platforms and platform not in platforms:
        problems.error(
            "conflicting-keys",
            "Keys contradict each other",
            places.of_value((*path, "platform")),
            places.of_key((*here, "platforms")),
            detail=f"`{path[1]}` is to run on `{platform}`, which `build.platforms` does not name.",
            hint=f"add `{platform}` to `build.platforms`",
        )


def _watch(path: Path, service: dict[str, Json], places: Places, problems: Problems) -> None:
    for at, item in enumerate(as_list(as_dict(service.get("develop")).get("watch"))):
        here: Path = (*path, "develop", "watch", at)
        rule = as_dict(item)
        if rule.get("path") == "":
            problems.error(
                "bad-value",
                "Value not allowed",
                places.of_value((*here, "path")),
                detail=f"`{dotted((*here, 'path'))}` is empty: nothing would be watched.",
                hint="for the folder of the stack file, write `.`",
            )
        action = as_text(rule.get("action"))
        if action and action not in ("rebuild", "restart") and not rule.get("target"):
            problems.error(
                "missing-key",
                "Required key is missing",
                places.of_value((*here, "action")),
                detail=f"`{action}` copies files into the container, so `{dotted(here)}` needs the key `target`.",
                hint="add `target: /path/in/the/container`",
            )


def _healthcheck(path: Path, service: dict[str, Json], places: Places, problems: Problems) -> None:
    test = as_list(as_dict(service.get("healthcheck")).get("test"))
    if test and test[0] not in ("NONE", "CMD", "CMD-SHELL"):
        here: Path = (*path, "healthcheck", "test")
        problems.error(
            "bad-value",
            "Value not allowed",
            places.of_value((*here, 0)),
            detail=f"`{dotted(here)}` must start with `CMD`, `CMD-SHELL` or `NONE`.",
            hint='write ["CMD", "program", "argument"], or plain text to be run by the shell',
        )


def _exclude(path: Path, holder: dict[str, Json], keys: tuple[str, str], places: Places, problems: Problems) -> None:
    if all(key in holder for key in keys):
        problems.error(
            "conflicting-keys",
            "Keys exclude each other",
            *(places.of_key((*path, key)) for key in keys),
            detail=f"`{dotted(path)}` has both `{keys[0]}` and `{keys[1]}`.",
            hint="keep one of the two",
        )
