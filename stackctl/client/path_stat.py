"""What the engine tells of a path in a container, in the header of an archive. Source: Docker Engine API 1.51."""

from __future__ import annotations

from typing import Final, NamedTuple

from stackctl.errors import EngineError

PATH_STAT: Final = "x-docker-container-path-stat"
_GO_FOLDER: Final = 1 << 31


class PathStat(NamedTuple):
    """A name, and what is there; ``link_target`` "" unless it is a link, resolved inside the container."""

    name: str
    is_folder: bool
    link_target: str


def path_stat(header: str) -> PathStat:
    """Read the header. Raises EngineError."""
    import base64  # only for copies
    import json

    try:
        shape = json.loads(base64.b64decode(header))
        return PathStat(str(shape["name"]), bool(int(shape["mode"]) & _GO_FOLDER), str(shape["linkTarget"]))
    except (ValueError, KeyError, TypeError) as error:
        raise EngineError("the engine does not tell what is at the path", code="bad-answer") from error
