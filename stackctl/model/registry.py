"""Registries as every room sees them: credentials, and what is told while an image comes in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Credentials:
    """What proves to a registry who asks. All empty is nobody in particular.

    ``identity_token`` stands for a name and a password; ``registry_token`` is a bearer token as it is.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    @property
    def is_anonymous(self) -> bool:
        """Whether there is nothing in it."""
        return not (self.username or self.identity_token or self.registry_token)


ANONYMOUS = Credentials()


@dataclass(frozen=True, slots=True)
class PullProgress:
    """One moment of a pull, in Docker's words: ``Downloading`` of the layer ``id``, "" for the image as a whole.

    ``total`` 0 means that there is nothing to count.
    """

    status: str
    id: str = ""
    current: int = 0
    total: int = 0


TellProgress: TypeAlias = Callable[[PullProgress], None]
"""Called from several threads, one at a time."""
