"""Users and groups of the image, read by us from its /etc/passwd and /etc/group. Never by NSS."""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from stackctl.runtime.init import paths

_MOST_BYTES: Final = 1 << 20
_LARGEST_ID: Final = 0x7FFFFFFF


class Identity(NamedTuple):
    """Who a process is: ``groups`` holds the primary group as well."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def resolve(root: int, user: str) -> Identity:
    """Look ``name|uid[:name|gid]`` up below the directory ``root``, as Docker does.

    A number that the image does not know is itself, with group 0 and home /. Raises LookupError for a name
    it does not know, ValueError for a number out of range.
    """
    passwd = [line.split(":") for line in _lines(root, b"/etc/passwd")]
    group = [line.split(":") for line in _lines(root, b"/etc/group")]
    user_part, _, group_part = user.partition(":")
    uid, gid, home, name = _user(passwd, user_part or "0")
    groups = _memberships(group, name) if name and not group_part else []
    if group_part:
        gid = _group(group, group_part)
    return Identity(uid, gid, tuple(dict.fromkeys([gid, *groups])), home)


def add_group(root: int, identity: Identity, wanted: str) -> Identity:
    """Return ``identity`` as a member of one more group, by name or number. Raises as ``resolve``."""
    gid = _group([line.split(":") for line in _lines(root, b"/etc/group")], wanted)
    return identity._replace(groups=tuple(dict.fromkeys([*identity.groups, gid])))


def _user(passwd: list[list[str]], wanted: str) -> tuple[int, int, str, str]:
    for fields in passwd:
        if len(fields) < 6 or not (fields[2].isdigit() and fields[3].isdigit()):
            continue
        if wanted in (fields[0], fields[2]):
            return int(fields[2]), int(fields[3]), fields[5], fields[0]
    if not wanted.isdigit():
        raise LookupError("unable to find user " + wanted + ": no matching entries in passwd file")
    return _number(wanted), 0, "/root" if wanted == "0" else "/", ""


def _group(groups: list[list[str]], wanted: str) -> int:
    for fields in groups:
        if len(fields) >= 3 and fields[2].isdigit() and wanted in (fields[0], fields[2]):
            return int(fields[2])
    if not wanted.isdigit():
        raise LookupError("unable to find group " + wanted + ": no matching entries in group file")
    return _number(wanted)


def _memberships(groups: list[list[str]], name: str) -> list[int]:
    return [
        int(fields[2]) for fields in groups if len(fields) >= 4 and fields[2].isdigit() and name in fields[3].split(",")
    ]


def _number(text: str) -> int:
    if len(text) > 10 or int(text) > _LARGEST_ID:
        raise ValueError("uids and gids must be in range 0-2147483647")
    return int(text)


def _lines(root: int, path: bytes) -> list[str]:
    # Threat: the image's file may be a pipe that never ends, a device, or endless (CVE-2024-9676).
    try:
        fd = paths.open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return []
    try:
        if os.fstat(fd).st_mode & 0o170000 != 0o100000:
            return []
        return os.read(fd, _MOST_BYTES).decode("utf-8", "surrogateescape").splitlines()
    finally:
        os.close(fd)
