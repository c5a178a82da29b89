"""How to reach a registry: its address, certificates, and whether it may go without.

Source: Docker's ``/etc/docker/certs.d`` and ``insecure-registries``; reference/distribution for the names.
"""

from __future__ import annotations

import ipaddress
import json
import os
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from stackctl.errors import ImageError
from stackctl.images.registry.proxies import Proxies, proxies_of, split
from stackctl.model.image import DEFAULT_REGISTRY

_HUB_HOST: Final = "registry-1.docker.io"
_DOCKER_CERTIFICATES: Final = "/etc/docker/certs.d"
_DOCKER_SETTINGS: Final = "/etc/docker/daemon.json"
_NO_PROXIES: Final = Proxies()
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """``certificates`` are folders with one folder for each registry; ``insecure`` hosts, ``host:port`` or networks.

    ``mirrors`` are (registry, mirrors), each mirror ``[http[s]://]host[:port]``.
    """

    certificates: tuple[str, ...] = ()
    insecure: tuple[str, ...] = ()
    mirrors: tuple[tuple[str, tuple[str, ...]], ...] = ()
    proxies: Proxies = _NO_PROXIES

    def mirrors_of(self, registry: str) -> tuple[str, ...]:
        """Return the mirrors of a registry, in the order in which they are asked."""
        return tuple(mirror for name, mirrors in self.mirrors if name == registry for mirror in mirrors)

    def is_insecure(self, registry: str) -> bool:
        """Whether a registry may be reached without TLS, or with a certificate nobody vouches for.

        So may this machine itself, as with Docker.
        """
        host = host_of(registry)
        if registry in self.insecure or host in self.insecure or host == "localhost":
            return True
        try:
            address = ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return False
        return address.is_loopback or any(address in network for network in _networks(self.insecure))

    def tls(self, registry: str) -> ssl.SSLContext:
        """Return how to recognise a registry. Raises ImageError for certificates that cannot be read."""
        context = ssl.create_default_context()
        for folder in self.certificates:
            _add_certificates(context, f"{folder}/{registry}")
        return context


def read_settings(root: str, variables: Mapping[str, str] = _NOTHING) -> RegistrySettings:
    """Return the settings of the engine below ``root``, and Docker's where the machine has them.

    Ours are ``ROOT/certs.d/HOST[:PORT]/*.crt`` and ``ROOT/registries.json``, ``{"insecure": ["host:port"], "mirrors":
    {"docker.io": ["host"]}, "proxies": {"http": …, "https": …, "no": …}}``; ``variables`` is the engine's environment.
    Raises ImageError for a file that makes no sense.
    """
    ours, theirs = _File(f"{root}/registries.json"), _File(_DOCKER_SETTINGS)
    own_mirrors = ours.object("mirrors")
    mirrors = [(name, ours.texts(own_mirrors, name, f"mirrors of {name}")) for name in own_mirrors]
    mirrors.append((DEFAULT_REGISTRY, theirs.names("registry-mirrors")))
    return RegistrySettings(
        (f"{root}/certs.d", _DOCKER_CERTIFICATES),
        (*ours.names("insecure"), *theirs.names("insecure-registries")),
        tuple(mirrors),
        _proxies(ours.strings("proxies"), variables, theirs.strings("proxies")),
    )


def _proxies(ours: Mapping[str, str], variables: Mapping[str, str], theirs: Mapping[str, str]) -> Proxies:
    """Return the proxies of the first place that names any: our file, the environment, Docker's file."""
    found = Proxies(ours.get("http", ""), ours.get("https", ""), split(ours.get("no", "")))
    if not (found.http or found.https):
        found = proxies_of(variables)
    if not (found.http or found.https):
        no = split(theirs.get("no-proxy", ""))
        found = Proxies(theirs.get("http-proxy", ""), theirs.get("https-proxy", ""), no)
    return found


def address_of(registry: str) -> str:
    """Return ``host[:port]`` of a registry: Docker Hub's is not its name."""
    return _HUB_HOST if registry == DEFAULT_REGISTRY else registry


def host_of(registry: str) -> str:
    """Return the registry's host without the port."""
    host, colon, port = registry.rpartition(":")
    return host if colon and port.isdigit() else registry


def _networks(texts: Iterable[str]) -> Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    for text in texts:
        try:
            yield ipaddress.ip_network(text)
        except ValueError:
            continue


class _File:
    """A JSON file with an object; one that is not there has nothing. Every method raises ImageError."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            with open(path, encoding="utf-8") as file:
                shape = json.load(file)
        except FileNotFoundError:
            shape = {}
        except (OSError, ValueError) as error:
            raise ImageError(f"{path} cannot be read: {error}", code="registry-settings") from error
        if not isinstance(shape, dict):
            raise self._wrong("it", "an object")
        self._shape: dict[str, Any] = shape

    def names(self, key: str) -> tuple[str, ...]:
        """Return a list of registries."""
        return self.texts(self._shape, key, key)

    def texts(self, shape: Mapping[str, Any], key: str, what: str) -> tuple[str, ...]:
        names = shape.get(key, [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise self._wrong(what, "a list of registries")
        return tuple(names)

    def object(self, key: str) -> Mapping[str, Any]:
        found = self._shape.get(key, {})
        if not isinstance(found, dict):
            raise self._wrong(key, "an object")
        return found

    def strings(self, key: str) -> Mapping[str, str]:
        found = self.object(key)
        return {name: value for name, value in found.items() if isinstance(value, str)}

    def _wrong(self, what: str, wanted: str) -> ImageError:
        return ImageError(f"{self._path}: {what} is not {wanted}", code="registry-settings")


def _add_certificates(context: ssl.SSLContext, folder: str) -> None:
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        for name in names:
            if name.endswith(".crt"):
                context.load_verify_locations(f"{folder}/{name}")
            elif name.endswith(".cert") and f"{name[:-5]}.key" in names:
                context.load_cert_chain(f"{folder}/{name}", f"{folder}/{name[:-5]}.key")
    except OSError as error:  # ssl.SSLError is one
        raise ImageError(f"the certificates in {folder} cannot be used: {error}", code="registry-settings") from error
