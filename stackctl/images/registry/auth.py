"""Proving who we are: nobody first, then Basic or a Bearer token, as the registry asks for it.

Source: distribution's docs/spec/auth/token.md and oauth.md.
"""

from __future__ import annotations

import json
import threading
from base64 import b64encode
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from stackctl.errors import ImageError
from stackctl.images.registry.challenge import Challenge, parse_challenges
from stackctl.images.registry.transport import Reply, Transport
from stackctl.model.registry import Credentials

_CLIENT: Final = "stackctl"
_MOST_TOKEN_BYTES: Final = 1024 * 1024
_DEFAULT_LIFE_S: Final = 60
_MARGIN_S: Final = 10
_TRIES_AGAIN: Final = (408, 429, 500, 502, 503, 504)


class Authorizer:
    """The Authorization header for one registry and one scope, such as ``repository:library/nginx:pull``.

    Credentials go to the registry and to the token server it names, and nowhere else. Any thread may ask.
    """

    def __init__(
        self, transport: Transport, credentials: Credentials, scope: str, *, clock: Callable[[], float]
    ) -> None:
        self._transport = transport
        self._credentials = credentials
        self._scope = scope
        self._clock = clock
        self._lock = threading.Lock()
        self._header = f"Bearer {credentials.registry_token}" if credentials.registry_token else ""
        self._expires_s = float("inf")

    def header(self) -> str:
        """Return what to send now, "" for nothing."""
        with self._lock:
            return self._header if self._clock() < self._expires_s else ""

    def answer(self, reply: Reply, sent: str) -> bool:
        """Take in a 401; return whether another try may do better. ``sent`` was the header of this one.

        Raises ImageError, Unreachable, NotTrusted, and Busy by ``retry``.
        """
        challenges = parse_challenges(reply.headers("WWW-Authenticate"))
        with self._lock:
            if self._header and self._header != sent and self._clock() < self._expires_s:
                return True  # another thread has been faster
            for challenge in challenges:
                header = self._answer_one(challenge, reply.url)
                if header and header != sent:
                    self._header = header
                    return True
            return False

    def _answer_one(self, challenge: Challenge, url: str) -> str:
        match challenge.scheme:
            case "bearer":
                return self._bearer(challenge.parameters, url)
            case "basic":
                self._expires_s = float("inf")
                return basic(self._credentials)
            case _:
                return ""

    def _bearer(self, parameters: dict[str, str], url: str) -> str:
        try:
            realm = urlsplit(parameters.get("realm", ""))
        except ValueError:
            realm = urlsplit("")
        if realm.scheme not in ("http", "https") or not realm.hostname:
            raise ImageError(f"{urlsplit(url).netloc} names no place to get a token from", code="registry-error")
        if urlsplit(url).scheme == "https" and realm.scheme == "http":
            raise ImageError(f"{urlsplit(url).netloc} wants a token fetched without TLS", code="registry-error")
        service = parameters.get("service", "")
        scope = self._scope or parameters.get("scope", "")
        target = urlunsplit(realm)
        with self._ask(target, service, scope) as reply:
            if reply.status in (400, 401, 403):
                return ""  # whoever we are, we are not let in
            shape = _token_shape(reply)
        token = shape.get("token") or shape.get("access_token")
        if not isinstance(token, str) or not token.isprintable():
            raise ImageError(f"{realm.netloc} answers without a token", code="registry-error")
        life_s = shape.get("expires_in")
        is_number = isinstance(life_s, int | float) and not isinstance(life_s, bool) and life_s > 0
        self._expires_s = self._clock() + max((life_s if is_number else _DEFAULT_LIFE_S) - _MARGIN_S, 1)  # type: ignore[operator]  # checked
        return f"Bearer {token}"

    def _ask(self, realm: str, service: str, scope: str) -> Reply:
        if self._credentials.identity_token:
            form = {
                "grant_type": "refresh_token",
                "refresh_token": self._credentials.identity_token,
                "client_id": _CLIENT,
                "service": service,
                "scope": scope,
            }
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            return self._transport.post(realm, kind, urlencode(form).encode())
        parts = urlsplit(realm)
        query = [*parse_qsl(parts.query), ("service", service), ("client_id", _CLIENT)]
        query += [("scope", scope)] if scope else []
        header = basic(self._credentials)
        if header:
            query.append(("account", self._credentials.username))
        url = urlunsplit(parts._replace(query=urlencode([pair for pair in query if pair[1]])))
        return self._transport.get(url, {"Authorization": header} if header else {})


class Busy(Exception):
    """A server has no time now: ``after_s`` is when it says to come again, -1 when it does not say."""

    def __init__(self, message: str, after_s: float) -> None:
        super().__init__(message)
        self.after_s = after_s


def basic(credentials: Credentials) -> str:
    """Return the header of Basic authentication, "" without a name."""
    if not credentials.username:
        return ""
    pair = f"{credentials.username}:{credentials.password}".encode()
    return f"Basic {b64encode(pair).decode('ascii')}"


def check_busy(reply: Reply) -> None:
    """Raise Busy for an answer that another try may turn into a better one."""
    if reply.status in _TRIES_AGAIN:
        host = urlsplit(reply.url).netloc
        what = "asks us to slow down" if reply.status == 429 else f"answers {reply.status}"
        raise Busy(f"{host} {what}", _seconds(reply.header("Retry-After").strip(), reply.header("Date")))


def _seconds(text: str, date: str) -> float:
    """Return the seconds of a Retry-After, which is a number or a time by the clock of ``date``; -1 for neither."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        return max((parsedate_to_datetime(text) - parsedate_to_datetime(date)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return -1


def _token_shape(reply: Reply) -> dict[str, Any]:
    host = urlsplit(reply.url).netloc
    check_busy(reply)
    body = reply.read(_MOST_TOKEN_BYTES)
    while len(body) < _MOST_TOKEN_BYTES and (more := reply.read(_MOST_TOKEN_BYTES - len(body))):
        body += more
    try:
        shape = json.loads(body)
    except (ValueError, RecursionError):
        shape = None
    if reply.status != 200 or not isinstance(shape, dict):
        raise ImageError(f"{host} gives no token: it answers {reply.status}", code="registry-error")
    return shape
