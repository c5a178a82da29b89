"""Which proxy, if any, leads to a host. Pure. Source: golang.org/x/net/http/httpproxy, as in Docker."""

from __future__ import annotations

import ipaddress
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from stackctl.errors import ImageError

_PORTS: Final = {"http": 80, "https": 443}
_PROXY_PORT: Final = 3128


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that is spoken to without TLS; ``authorization`` is what it is sent, "" for nothing."""

    host: str
    port: int
    authorization: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """What goes with each request to it."""
        return {"Proxy-Authorization": self.authorization} if self.authorization else {}

    def __str__(self) -> str:
        """Return where it is, and nothing secret."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Proxies:
    """Proxies by the scheme of what is asked for, as URLs; ``direct`` are hosts that are reached without one."""

    http: str = ""
    https: str = ""
    direct: tuple[str, ...] = ()

    def proxy_for(self, url: str) -> Proxy | None:
        """Return the proxy that leads to an URL. Raises ImageError for one that makes no sense."""
        parts = urlsplit(url)
        text = self.https if parts.scheme == "https" else self.http
        if not text or self._is_direct(parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)):
            return None
        return _read(text)

    def shown(self) -> dict[str, str]:
        """Return the settings as ``docker info`` tells them: without names and passwords."""
        return {"HttpProxy": _masked(self.http), "HttpsProxy": _masked(self.https), "NoProxy": ",".join(self.direct)}

    def _is_direct(self, host: str, port: int) -> bool:
        address = _address(host)
        if host == "localhost" or (address is not None and address.is_loopback):
            return True
        return any(_covers(entry.strip().lower(), host.lower(), port, address) for entry in self.direct)


def proxies_of(variables: Mapping[str, str]) -> Proxies:
    """Return what the environment says: ``HTTP_PROXY``, ``HTTPS_PROXY``, ``NO_PROXY``, in capitals or not."""
    http, https, direct = (
        variables.get(name) or variables.get(name.lower()) or "" for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    )
    return Proxies(http, https, split(direct))


def split(text: str) -> tuple[str, ...]:
    """Return the entries of a list with commas."""
    return tuple(entry.strip() for entry in text.split(",") if entry.strip())


def _covers(entry: str, host: str, port: int, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        try:
            return address is not None and address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, colon, digits = entry.rpartition(":")
    if colon and digits.isdigit() and name.count(":") == 0:
        if int(digits) != port:
            return False
        entry = name
    entry = entry.removeprefix("*")
    if entry.startswith("."):
        return host.endswith(entry)
    return host == entry or host.endswith(f".{entry}")


def _read(text: str) -> Proxy:
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port or _PROXY_PORT
    except ValueError as error:
        raise ImageError(f"the proxy {_masked(text)} makes no sense: {error}", code="registry-settings") from error
    if parts.scheme != "http" or not parts.hostname:
        raise ImageError(
            f"the proxy {_masked(text)} cannot be used: only http://host:port can", code="registry-settings"
        )
    authorization = ""
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {b64encode(pair.encode()).decode('ascii')}"
    return Proxy(parts.hostname, port, authorization)


def _masked(text: str) -> str:
    scheme, separator, rest = text.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
