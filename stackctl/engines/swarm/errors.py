"""What a Swarm manager says went wrong, as our own errors with their codes. Pure.

Source: the messages of moby 20.10 to 28 and swarmkit, measured on 20.10.24; statuses alone do not tell them apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from stackctl.errors import Conflict, ContainerError, EngineError, NotFound, TransientError

_NOT_MANAGER: Final = "this node is not a swarm manager"
_KNOWN: Final[tuple[tuple[str, type[EngineError], str, str], ...]] = (
    (r"port '?(\d+)'? is already in use", Conflict, "port-taken", "ports.{}"),
    (r"pool overlaps|overlaps with|conflicts with network", Conflict, "subnet-overlap", ""),
    (r"network \S+ not found|no such network", NotFound, "no-such-network", "networks"),
    (r"network \S+ (?:is|.*) in use|has active endpoints", TransientError, "network-in-use", ""),
    (r"cannot be used with services", Conflict, "network-not-swarm", "networks"),
    (r"is in use by the following", Conflict, "content-in-use", ""),
    (r"invalid reference format|invalid image", EngineError, "image-name-invalid", "image_ref"),
    (r"constraint", EngineError, "bad-constraint", "placement"),
    (r"capabilit", ContainerError, "unknown-capability", "cap_add"),
    (r"invalid mount|mount", ContainerError, "bad-mount", "mounts"),
    (
        r"the swarm does not have a leader|context deadline exceeded|rpc error.*unavailable",
        TransientError,
        "no-quorum",
        "",
    ),
)


@contextmanager
def told_by_swarm(subject: str) -> Iterator[None]:
    """Give what a manager says our code and kind and, before its words, the subject. Our own errors stay."""
    try:
        yield
    except EngineError as error:
        if error.code != type(error).code:
            raise
        raise translated(error, subject) from error


def translated(error: EngineError, subject: str) -> EngineError:
    """Return the error that a manager's message stands for; one nobody knows only gets the subject."""
    message = _shortened(error.message)
    if _NOT_MANAGER in message.lower():
        return not_a_manager(message)
    text = f"{subject}: {message}"
    for pattern, kind, code, field in _KNOWN:
        if (found := re.search(pattern, message, re.IGNORECASE)) is not None:
            groups = [group for group in found.groups() if group]
            where = field.format(*groups) if "{}" not in field or groups else field.partition(".")[0]
            return kind(text, code=code, hint=error.hint, field=where)
    return type(error)(text, code=error.code, hint=error.hint, field=error.field)


def not_a_manager(why: str) -> EngineError:
    """Return the refusal of an engine that does not lead a Swarm."""
    return EngineError(
        f"the engine is no manager of a Swarm: {why}",
        code="not-a-manager",
        hint="name a manager with --engine swarm+URL, or make this machine one: docker swarm init",
    )


def is_out_of_sequence(error: EngineError) -> bool:
    """Whether somebody wrote the thing since it was read: a status 500 in engines that are in use."""
    return "out of sequence" in error.message


def is_name_conflict(error: EngineError) -> bool:
    """Whether there is such a thing already."""
    return "name conflicts" in error.message or "already exists" in error.message


def _shortened(message: str) -> str:
    return re.sub(r"rpc error: code = \w+ desc = ", "", message).strip()
