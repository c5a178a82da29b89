"""How to reach a registry: its address, certificates, and whether it may go without.

Source: Docker's ``/etc/docker/certs.d`` and ``insecure-registries``; reference/distribution for the names.
"""

from __future__ import annotations

import ipaddress
import json
import os
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from stackctl.errors import ImageError
from stackctl.model.image import DEFAULT_REGISTRY

_HUB_HOST: Final = "registry-1.docker.io"
_DOCKER_CERTIFICATES: Final = "/etc/docker/certs.d"
_DOCKER_SETTINGS: Final = "/etc/docker/daemon.json"


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """``certificates`` are folders with one folder for each registry; ``insecure`` hosts, ``host:port`` or networks."""

    certificates: tuple[str, ...] = ()
    insecure: tuple[str, ...] = ()

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


def read_settings(root: str) -> RegistrySettings:
    """Return the settings of the engine below ``root``, and Docker's where the machine has them.

    Ours are ``ROOT/certs.d/HOST[:PORT]/*.crt`` and ``ROOT/registries.json``: ``{"insecure": ["host:port"]}``.
    Raises ImageError for a file that makes no sense.
    """
    ours = _names(f"{root}/registries.json", "insecure")
    theirs = _names(_DOCKER_SETTINGS, "insecure-registries")
    return RegistrySettings((f"{root}/certs.d", _DOCKER_CERTIFICATES), (*ours, *theirs))


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


def _names(path: str, key: str) -> tuple[str, ...]:
    try:
        with open(path, encoding="utf-8") as file:
            shape = json.load(file)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise ImageError(f"{path} cannot be read: {error}", code="registry-settings") from error
    names = shape.get(key, []) if isinstance(shape, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ImageError(f"{path}: {key} is not a list of registries", code="registry-settings")
    return tuple(names)


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
