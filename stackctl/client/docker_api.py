"""DockerApi: any request to a Docker Engine, for those who know its API (``engines.docker``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from stackctl.client.calls import encoded
from stackctl.client.connection import Where
from stackctl.client.http import PATIENCE_S, Readable, request, upload

Query: TypeAlias = Mapping[str, Any] | Sequence[tuple[str, Any]] | None
"""Names and values; a sequence where a name comes more than once."""


class DockerApi:
    """Speaks to the engine at ``where``. Any thread may call any method; each call has its own connection."""

    def __init__(self, where: Where, *, patience_s: float = PATIENCE_S) -> None:
        self._where = where
        self._patience_s = patience_s

    def ask(
        self,
        method: str,
        target: str,
        *,
        query: Query = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Return the answer, which is JSON, or None where it is empty. Raises EngineError and its kinds."""
        response = request(
            self._where, method, _full(target, query), body=body, headers=headers, patience_s=self._patience_s
        )
        if response.status in (204, 304) or response.headers.get("content-length") == "0":
            response.finish()
            return None
        if "json" not in response.headers.get("content-type", "json"):
            response.finish()
            return None
        return response.json()

    def lines(
        self,
        method: str,
        target: str,
        *,
        query: Query = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield the objects of an answer of one JSON object a line. Who does not read it to its end closes it."""
        return request(
            self._where, method, _full(target, query), headers=headers, patience_s=self._patience_s
        ).json_lines()

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
        return upload(
            self._where, _full(target, query), source, method=method, headers=headers, patience_s=self._patience_s
        ).json_lines()

    def frames(self, target: str, *, query: Query = None, is_framed: bool) -> Iterator[tuple[int, bytes]]:
        """Yield (stream, bytes) of a log."""
        return request(self._where, "GET", _full(target, query), patience_s=self._patience_s).frames(
            is_framed=is_framed
        )


def _full(target: str, query: Query) -> str:
    return f"{target}?{encoded(query.items() if isinstance(query, Mapping) else query)}" if query else target
