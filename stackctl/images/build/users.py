"""Names of users and groups as the image knows them: in its own /etc/passwd and /etc/group, never the host's."""

from __future__ import annotations

from typing import Final

from stackctl.errors import ImageError
from stackctl.images.build.view import View
from stackctl.images.build.writing import Owner

_MOST: Final = 1 << 20
_MAX_ID: Final = 2**32 - 2


def chown_owner(view: View, text: str) -> Owner:
    """Return whom ``--chown=USER[:GROUP]`` means: a name alone has its own group, a number alone that number.

    Raises ImageError for a name that the image does not know.
    """
    user, colon, group = text.partition(":")
    if user.isdigit() or not user:
        uid = _number(user or "0")
        own_group = uid
    else:
        found = _passwd(view, user)
        uid, own_group = found.uid, found.gid
    if not colon or not group:
        return Owner(uid, own_group)
    return Owner(uid, _number(group) if group.isdigit() else _group(view, group))


def process_owner(view: View, text: str) -> Owner:
    """Return whom ``USER`` means when it makes folders: a number known to the image has its group, others 0."""
    user, colon, group = text.partition(":")
    if not user or user == "root":
        uid, own_group = 0, 0
    elif user.isdigit():
        uid = _number(user)
        own_group = next((int(row[3]) for row in _rows(view, "etc/passwd", 4) if row[2] == user), 0)
    else:
        found = _passwd(view, user)
        uid, own_group = found.uid, found.gid
    if not colon or not group:
        return Owner(uid, own_group)
    return Owner(uid, _number(group) if group.isdigit() else _group(view, group))


def _passwd(view: View, name: str) -> Owner:
    for row in _rows(view, "etc/passwd", 4):
        if row[0] == name and row[2].isdigit() and row[3].isdigit():
            return Owner(_number(row[2]), _number(row[3]))
    raise ImageError(f"no user {name!r} in the image's /etc/passwd", code="build-user-unknown")


def _group(view: View, name: str) -> int:
    for row in _rows(view, "etc/group", 3):
        if row[0] == name and row[2].isdigit():
            return _number(row[2])
    raise ImageError(f"no group {name!r} in the image's /etc/group", code="build-user-unknown")


def _rows(view: View, path: str, least: int) -> list[list[str]]:
    text = (view.read(path, _MOST) or b"").decode("utf-8", "replace")
    return [row for line in text.splitlines() if len(row := line.split(":")) >= least]


def _number(text: str) -> int:
    number = int(text)
    if number > _MAX_ID:
        raise ImageError(f"{text} is no id of a user or group", code="build-user-unknown")
    return number
