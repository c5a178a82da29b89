"""Calls of the engine's API, each over a connection of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from stackctl.client.connection import Where
from stackctl.client.http import PATIENCE_S, Response, quote, request
from stackctl.errors import EngineError

_UNIX: Final = "unix://"


class Calls:
    """Speaks to the daemon at ``address`` (``unix:///path``).

    Every method raises EngineUnreachable, or the error the engine answered with.
    """

    def __init__(self, address: Where, *, patience_s: float = PATIENCE_S) -> None:
        if isinstance(address, str) and not address.startswith(_UNIX):
            raise EngineError(
                f"unsupported engine address {address!r}", code="engine-address", hint="use unix:///path/to/socket"
            )
        self._path: Where = address.removeprefix(_UNIX) if isinstance(address, str) else address
        self._patience_s = patience_s

    def _get(self, target: str, query: Mapping[str, Any] | None = None) -> Response:
        suffix = "?" + encoded(query.items()) if query else ""
        return request(self._path, "GET", target + suffix, patience_s=self._patience_s)

    def _object(self, target: str) -> dict[str, Any]:
        found: dict[str, Any] = self._get(target).json()
        return found

    def _post(self, target: str, body: object = None, query: Mapping[str, Any] | None = None) -> Response:
        suffix = "?" + encoded(query.items()) if query else ""
        return request(self._path, "POST", target + suffix, body=body, patience_s=self._patience_s)

    def _delete(self, target: str) -> Response:
        return request(self._path, "DELETE", target, patience_s=self._patience_s)


def encoded(pairs: Iterable[tuple[str, Any]]) -> str:
    """Return pairs as the query of a URL."""
    # urllib.parse would cost every command 4 ms.
    return "&".join(f"{key}={quote(str(value))}" for key, value in pairs)
