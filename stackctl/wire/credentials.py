"""Credentials as Docker's API has them in ``X-Registry-Auth`` and ``/auth``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackctl.model.registry import Credentials


def credentials_to_json(credentials: Credentials, registry: str) -> dict[str, str]:
    """Return Docker's AuthConfig."""
    shape = {
        "username": credentials.username,
        "password": credentials.password,
        "identitytoken": credentials.identity_token,
        "registrytoken": credentials.registry_token,
        "serveraddress": registry,
    }
    return {key: value for key, value in shape.items() if value}


def credentials_from_json(shape: Mapping[str, Any]) -> Credentials:
    """Read Docker's AuthConfig; what is no text counts as nothing."""
    keys = ("username", "password", "identitytoken", "registrytoken")
    return Credentials(*(value if isinstance(value := shape.get(key), str) else "" for key in keys))
