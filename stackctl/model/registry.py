"""Registries as every room sees them: credentials, and what is told while an image comes in."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias


class Credentials(NamedTuple):
    """What proves to a registry who asks. All empty is nobody in particular.

    ``identity_token`` stands for a name and a password; ``registry_token`` is a bearer token as it is.
    """

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    @property
    def is_anonymous(self) -> bool:
        """Whether there is nothing in it."""
        return not (self.username or self.identity_token or self.registry_token)

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r})"


ANONYMOUS = Credentials()


class PullProgress(NamedTuple):
    """One moment of a pull, in Docker's words: ``Downloading`` of the layer ``id``, "" for the image as a whole.

    ``total`` 0 means that there is nothing to count.
    """

    status: str
    id: str = ""
    current: int = 0
    total: int = 0


TellProgress: TypeAlias = Callable[[PullProgress], None]
"""Called from several threads, one at a time."""
