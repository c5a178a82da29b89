"""Logins as Docker's clients keep them: ``config.json``, credential helpers, podman's ``auth.json``.

Source: docker/cli, cli/config; docker-credential-helpers; containers-auth.json(5).
"""

from __future__ import annotations

import json
import os
import sys
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from stackctl.errors import StackctlError
from stackctl.model.image import DEFAULT_REGISTRY, HOST_IMAGE, parse_image_ref
from stackctl.model.registry import Credentials

if TYPE_CHECKING:
    from stackctl.cli.settings import Settings

HUB_KEY: Final = "https://index.docker.io/v1/"
_HUB_NAMES: Final = ("docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com")
_TOKEN_USER: Final = "<token>"
_HELPER_S: Final = 60
_NOT_FOUND: Final = ("credentials not found", "no credentials server URL", "no usable credentials")


class CredentialError(StackctlError):
    """A login could not be read or kept."""

    code = "credentials"


class Logins:
    """The user's logins. ``environment`` says where they are kept."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        home = environment.get("HOME") or "/root"
        self.path = os.path.join(environment.get("DOCKER_CONFIG") or f"{home}/.docker", "config.json")
        runtime = environment.get("XDG_RUNTIME_DIR")
        others = [environment.get("REGISTRY_AUTH_FILE"), f"{runtime}/containers/auth.json" if runtime else ""]
        self._others = [path for path in others if path]
        self._search = environment.get("PATH", os.defpath)

    def find(self, registry: str) -> Credentials:
        """Return the login for a registry (``docker.io`` for Docker Hub), an anonymous one when there is none.

        Raises CredentialError for a file or a helper that does not work.
        """
        config = _read(self.path)
        helper = self._helper(config, registry)
        if helper:
            found = self._ask(helper, key_of(registry))
            if found is not None:
                return found
        for shape in (config, *map(_read, self._others)):
            entry = _entry(_object(shape, "auths"), registry)
            if entry is not None:
                return entry
        return Credentials()

    def keep(self, registry: str, credentials: Credentials) -> str:
        """Keep a login; return the file it is in unencrypted, "" when a helper has it."""
        config = _read(self.path)
        helper = self._helper(config, registry)
        key = key_of(registry)
        if helper:
            shape = {"ServerURL": key, "Username": credentials.username, "Secret": credentials.password}
            self._run(helper, "store", json.dumps(shape))
        auths = _object(config, "auths")
        pair = f"{credentials.username}:{credentials.password}".encode()
        auths[key] = {} if helper else {"auth": b2a_base64(pair, newline=False).decode("ascii")}
        _write(self.path, {**config, "auths": auths})
        return "" if helper else self.path

    def forget(self, registry: str) -> bool:
        """Remove a login; return whether there was one."""
        config = _read(self.path)
        helper = self._helper(config, registry)
        had = False
        if helper:
            had = self._ask(helper, key_of(registry)) is not None
            if had:
                self._run(helper, "erase", key_of(registry))
        auths = _object(config, "auths")
        kept = {key: entry for key, entry in auths.items() if _registry_of(key) != registry}
        if len(kept) != len(auths):
            _write(self.path, {**config, "auths": kept})
            return True
        return had

    def _helper(self, config: Mapping[str, Any], registry: str) -> str:
        for key, name in _object(config, "credHelpers").items():
            if _registry_of(key) == registry and isinstance(name, str):
                return name
        store = config.get("credsStore")
        return store if isinstance(store, str) else ""

    def _ask(self, helper: str, key: str) -> Credentials | None:
        text = self._run(helper, "get", key)
        if text is None:
            return None
        try:
            shape = json.loads(text)
            name, secret = shape["Username"], shape["Secret"]
        except (ValueError, LookupError, TypeError) as error:
            raise CredentialError(f"docker-credential-{helper} answers with no credentials") from error
        if name == _TOKEN_USER:
            return Credentials(identity_token=str(secret))
        return Credentials(str(name), str(secret))

    def _run(self, helper: str, verb: str, text: str) -> str | None:
        """Return what a helper answers, None when it knows no login."""
        import subprocess  # 5 ms: only for helpers

        program = f"docker-credential-{helper}"
        if os.path.basename(program) != program:
            raise CredentialError(f"{self.path} names a credential helper that cannot be: {helper!r}")
        try:
            done = subprocess.run(
                [program, verb],
                input=text,
                capture_output=True,
                text=True,
                timeout=_HELPER_S,
                check=False,
                env={**os.environ, "PATH": self._search},
            )
        except FileNotFoundError as error:
            raise CredentialError(
                f"{self.path} names the credential helper {program}, which is not in PATH",
                hint="install it, or remove credsStore or credHelpers from that file",
            ) from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CredentialError(f"{program} does not work: {error}") from error
        if done.returncode == 0:
            return done.stdout
        said = (done.stdout + done.stderr).strip()
        if any(words in said for words in _NOT_FOUND):
            return None
        raise CredentialError(f"{program} {verb} failed: {said[:300] or done.returncode}")


def logins(settings: Settings, images: Iterable[str]) -> dict[str, Credentials]:
    """Return the logins to the registries of images; one that cannot be read is told of, and left out."""
    found: dict[str, Credentials] = {}
    own = Logins(settings.environment)
    for registry in dict.fromkeys(filter(None, map(_registry_of_image, images))):
        try:
            login = own.find(registry)
        except CredentialError as error:
            print(f"warning[{error.code}]: {error.message}", file=sys.stderr)
            continue
        if not login.is_anonymous:
            found[registry] = login
    return found


def _registry_of_image(image: str) -> str:
    try:
        return parse_image_ref(image).registry if image != HOST_IMAGE else ""
    except ValueError:
        return ""  # the engine says what is wrong with it


def key_of(registry: str) -> str:
    """Return what a registry is called in ``config.json``."""
    return HUB_KEY if registry == DEFAULT_REGISTRY else registry


def registry_named(text: str) -> str:
    """Return the registry that is meant by an address as people type it, "" meaning Docker Hub."""
    return _registry_of(text) if text else DEFAULT_REGISTRY


def _registry_of(key: str) -> str:
    host = key.partition("://")[2] or key
    host = host.partition("/")[0]
    return DEFAULT_REGISTRY if host in _HUB_NAMES else host


def _entry(auths: Mapping[str, Any], registry: str) -> Credentials | None:
    for key, entry in auths.items():
        if _registry_of(key) == registry and isinstance(entry, dict):
            found = _decoded(entry)
            if not found.is_anonymous:
                return found
    return None


def _decoded(entry: Mapping[str, Any]) -> Credentials:
    texts = {key: value for key, value in entry.items() if isinstance(value, str)}
    name, password = texts.get("username", ""), texts.get("password", "")
    with suppress(Base64Error, UnicodeDecodeError):
        pair = a2b_base64(texts.get("auth", "")).decode().partition(":")
        name, password = pair[0] or name, pair[2].rstrip("\0") or password
    token = texts.get("identitytoken", "")
    return Credentials("" if token else name, "" if token else password, token, texts.get("registrytoken", ""))


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            shape = json.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CredentialError(f"{path} cannot be read: {error}") from error
    if not isinstance(shape, dict):
        raise CredentialError(f"{path} is no JSON object")
    return shape


def _object(shape: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = shape.get(key)
    return dict(value) if isinstance(value, dict) else {}


def _write(path: str, shape: Mapping[str, Any]) -> None:
    """Replace the file, readable by its owner alone, and whole or not at all. A link stays one."""
    path = os.path.realpath(path)
    temporary = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            json.dump(shape, file, indent="\t")
            file.flush()
            os.fsync(fd)
        os.replace(temporary, path)
    except OSError as error:
        raise CredentialError(f"{path} cannot be written: {error.strerror}") from error
