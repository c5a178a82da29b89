"""What these engines ask with: the client room has it. Targets are those of Docker's Engine API, without a version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from stackctl.images.chunks import Readable

Query: TypeAlias = Mapping[str, Any] | Sequence[tuple[str, Any]] | None
"""Names and values; a sequence where a name comes more than once."""


class Api(Protocol):
    """Requests to a Docker Engine. All raise EngineError and its kinds; any thread may call any method."""

    def ask(
        self,
        method: str,
        target: str,
        *,
        query: Query = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Return the answer, which is JSON, or None where it is empty."""
        ...

    def lines(
        self,
        method: str,
        target: str,
        *,
        query: Query = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield the objects of an answer of one JSON object a line. Who does not read it to its end closes it."""
        ...

    def send(
        self,
        method: str,
        target: str,
        source: Readable,
        *,
        query: Query = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Send a tar archive; yield the objects of the answer."""
        ...

    def frames(self, target: str, *, query: Query = None, is_framed: bool) -> Iterator[tuple[int, bytes]]:
        """Yield (stream, bytes) of a log."""
        ...
