"""HTTP to a registry: one request a connection, redirects that carry nothing secret elsewhere.

``http.client`` because it streams a body at 1.2 GB/s and is there: urllib3 and httpx read at half that, and would be
a dependency. Source: RFC 9110; OCI distribution-spec 1.1.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final, Protocol
from urllib.parse import SplitResult, urljoin, urlsplit

from stackctl.errors import ImageError
from stackctl.images.registry.proxies import Proxies, Proxy

_TIMEOUT_S: Final = 30.0
_REDIRECTS: Final = 5
_MOVED: Final = (301, 302, 303, 307, 308)
_AGENT: Final = "stackctl"
_NO_PROXIES: Final = Proxies()


class Unreachable(Exception):
    """Nobody answers, or the connection broke: trying again may help."""


class NotTrusted(Exception):
    """TLS failed: no other try will be different."""


class Reply:
    """An answer whose body is still to be read. ``url`` is where it came from, after redirects."""

    def __init__(self, url: str, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> None:
        self.url = url
        self.status = answer.status
        self._connection = connection
        self._answer = answer

    def header(self, name: str) -> str:
        """Return a header, "" when there is none."""
        return self._answer.getheader(name) or ""

    def headers(self, name: str) -> list[str]:
        """Return every header of a name."""
        return self._answer.headers.get_all(name) or []

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes of the body, none at its end. Raises Unreachable when it breaks off."""
        try:
            return self._answer.read(size)
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"{urlsplit(self.url).netloc} broke off: {_reason(error)}") from error

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Reply:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Body(Protocol):
    """What is read while it is sent."""

    def read(self, size: int = ..., /) -> bytes: ...


class Transport:
    """Sends requests to whichever host an URL names.

    ``tls`` recognises the registry ``address``; other hosts have certificates that everybody knows.

    An insecure registry is not asked for a certificate.
    """

    def __init__(
        self,
        address: str,
        tls: Callable[[], ssl.SSLContext],
        *,
        is_insecure: bool,
        proxies: Proxies = _NO_PROXIES,
    ) -> None:
        self._address = address
        self._proxies = proxies
        self._tls = cache(_trusting_anybody if is_insecure else tls)

    def get(self, url: str, headers: Mapping[str, str], *, method: str = "GET") -> Reply:
        """Send a GET or HEAD, and follow where it is redirected. Raises Unreachable, NotTrusted, ImageError."""
        carried = dict(headers)
        for _ in range(_REDIRECTS + 1):
            reply = self._send(method, url, carried, None)
            location = reply.header("Location")
            if reply.status not in _MOVED or not location:
                return reply
            reply.close()
            target = _target(url, location)
            if _origin(target) != _origin(url):
                carried = _without_secrets(carried)
            url = target
        raise ImageError(f"{urlsplit(url).netloc} redirects without end", code="registry-error")

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send a POST. Raises as ``get``; a redirect is an answer like any other."""
        return self._send("POST", url, headers, body)

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | Body) -> Reply:
        """Send a request with a body, which is read as it goes out. Raises as ``get``; a redirect is an answer."""
        return self._send(method, url, headers, body)

    def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | Body | None) -> Reply:
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        proxy = self._proxies.proxy_for(url)
        connection = self._connection(parts, proxy)
        sent = {"User-Agent": _AGENT, **headers}
        if proxy is not None and parts.scheme == "http":
            target = f"http://{parts.netloc}{target}"
            sent |= proxy.headers
        try:
            connection.request(method, target, body, sent)
            return Reply(url, connection, connection.getresponse())
        except ssl.SSLError as error:
            connection.close()
            raise NotTrusted(_tls_reason(error)) from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            way = f" by the proxy {proxy}" if proxy is not None else ""
            raise Unreachable(f"{parts.netloc} cannot be reached{way}: {_reason(error)}") from error
        except ValueError as error:  # control characters in the target
            connection.close()
            raise ImageError(f"{parts.netloc} sends us to an address that cannot be", code="registry-error") from error

    def _connection(self, parts: SplitResult, proxy: Proxy | None) -> http.client.HTTPConnection:
        host = parts.hostname or ""
        with contextlib.suppress(ValueError):
            first, port = (proxy.host, proxy.port) if proxy is not None else (host, parts.port)
            if parts.scheme == "http":
                return http.client.HTTPConnection(first, port, timeout=_TIMEOUT_S)
            connection = http.client.HTTPSConnection(first, port, timeout=_TIMEOUT_S, context=self._context(parts))
            if proxy is not None:
                connection.set_tunnel(host, parts.port, proxy.headers)
            return connection
        raise ImageError(f"{parts.netloc!r} is no host", code="registry-error")

    def _context(self, parts: SplitResult) -> ssl.SSLContext:
        return self._tls() if parts.netloc == self._address else _trusting_authorities()


@cache
def _trusting_authorities() -> ssl.SSLContext:
    return ssl.create_default_context()  # 20 ms: it reads all certificates of the machine


@cache
def _trusting_anybody() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in ("authorization", "cookie")}


def _target(source: str, location: str) -> str:
    """Return where an answer of ``source`` sends us. Raises ImageError for where we do not go."""
    host = urlsplit(source).netloc
    try:
        target = urljoin(source, location)
        after = urlsplit(target)
    except ValueError:
        after = urlsplit("")
    if after.scheme not in ("http", "https") or not after.hostname:
        raise ImageError(f"{host} redirects to {location[:200]!a}", code="registry-error")
    if urlsplit(source).scheme == "https" and after.scheme == "http":
        raise ImageError(f"{host} redirects to {after.netloc} without TLS", code="registry-error")
    return target


def moved_to(source: str, location: str) -> str:
    """Return where an answer of ``source`` says to go on. Raises ImageError for where we do not go."""
    if not location:
        raise ImageError(f"{urlsplit(source).netloc} does not say where to upload", code="registry-error")
    return _target(source, location)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer in {_TIMEOUT_S:g} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _tls_reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"):
        return "it does not speak TLS"
    return f"TLS failed: {error.reason or error}"
