"""A repository of a registry: its manifests and blobs, verified. Source: OCI distribution-spec 1.1, "Pull"."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import BinaryIO, Final, NamedTuple, TypeVar
from urllib.parse import urlsplit

from stackctl.errors import ImageError, NotFound
from stackctl.images.limits import PIECE_BYTES
from stackctl.images.registry.auth import Authorizer, check_busy
from stackctl.images.registry.patience import CancelCheck, Patience, patiently
from stackctl.images.registry.settings import RegistrySettings, address_of
from stackctl.images.registry.transport import NotTrusted, Reply, Transport, Unreachable
from stackctl.model.image import ImageRef
from stackctl.model.registry import Credentials

T = TypeVar("T")
MAX_MANIFEST_BYTES: Final = 4 * 1024**2
_ACCEPT: Final = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_MOST_ERROR_BYTES: Final = 64 * 1024
_LOGINS: Final = 3
_RANGE: Final = re.compile(r"bytes (\d+)-")


class Descriptor(NamedTuple):
    """What a manifest says of a blob."""

    digest: str
    size: int
    media_type: str = ""


class Manifest(NamedTuple):
    """A manifest or index, byte for byte; ``digest`` is that of the bytes."""

    body: bytes
    media_type: str
    digest: str


class Repository:
    """One repository, to pull from. Any thread may call any method.

    Every method raises ImageError, NotFound for what is not there; both name the image as the user did.
    """

    actions = "pull"

    def __init__(
        self,
        reference: ImageRef,
        credentials: Credentials,
        settings: RegistrySettings,
        *,
        patience: Patience,
        cancelled: CancelCheck,
        waiting: Callable[[float], None],
        mirror: str = "",
    ) -> None:
        """``mirror`` is who is asked in the registry's stead, ``[http[s]://]host[:port]``."""
        self.reference = reference
        self._name = reference.familiar
        scheme, _, host = mirror.rpartition("://")
        self._registry = host.rstrip("/") or reference.registry
        # A mirror of several registries must be told of which.
        self._query = f"?ns={reference.registry}" if mirror else ""
        self._address = address_of(self._registry)
        self._is_insecure = scheme == "http" or settings.is_insecure(self._registry)
        self._transport = Transport(
            self._address,
            lambda: settings.tls(self._registry),
            is_insecure=self._is_insecure,
            proxies=settings.proxies,
        )
        scope = f"repository:{reference.repository}:{self.actions}" if reference.repository else ""
        self._auth = Authorizer(self._transport, credentials, scope, clock=time.monotonic)
        self._patience = patience
        self._is_abandoned = threading.Event()
        self._cancelled: CancelCheck = lambda: self._is_abandoned.is_set() or cancelled()
        self._waiting = waiting
        self._base = "" if self._is_insecure else f"https://{self._address}"
        self._lock = threading.Lock()

    def abandon(self) -> None:
        """End what is under way, soon: nobody wants it any more."""
        self._is_abandoned.set()

    def check_login(self) -> None:
        """Return when the registry takes the credentials."""
        self._patiently(lambda: self._request("GET", "/v2/").close())

    def digest(self, tag: str) -> str:
        """Return the digest a tag stands for, "" when the registry does not tell without the whole manifest."""
        with self._patiently(lambda: self._request("HEAD", self._manifest_path(tag), {"Accept": _ACCEPT})) as reply:
            return reply.header("Docker-Content-Digest")

    def manifest(self, tag_or_digest: str) -> Manifest:
        """Return what a tag or a digest leads to."""
        return self._patiently(lambda: self._manifest(tag_or_digest))

    def read_blob(self, descriptor: Descriptor, most: int) -> bytes:
        """Return a small blob."""
        if descriptor.size > most:
            raise ImageError(f"{self._name}: {descriptor.digest} is too large", code="image-too-large")
        return self._patiently(lambda: self._read_blob(descriptor))

    def download(self, descriptor: Descriptor, file: BinaryIO, told: Callable[[int], None]) -> None:
        """Write a blob into the empty ``file``; ``told`` hears how many bytes are there.

        A transfer that breaks off goes on where it was. Raises OSError for what the disk refuses.
        """
        download = _Download(descriptor, file, told, self._cancelled)
        path = self._blob_path(descriptor.digest)
        self._patiently(lambda: self._transfer(path, download))
        download.check(self._name)

    def _transfer(self, path: str, download: _Download) -> None:
        with self._request("GET", path, download.headers()) as reply:
            download.take(reply)

    def _read_blob(self, descriptor: Descriptor) -> bytes:
        with self._request("GET", self._blob_path(descriptor.digest)) as reply:
            body = _read(reply, descriptor.size + 1)
        if len(body) < descriptor.size:
            raise Unreachable(f"{self._address} broke off after {len(body)} of {descriptor.size} bytes")
        found = f"sha256:{hashlib.sha256(body).hexdigest()}"
        if found != descriptor.digest:
            raise _not_what_it_says(self._name, descriptor.digest, found)
        return body

    def _manifest(self, tag_or_digest: str) -> Manifest:
        with self._request("GET", self._manifest_path(tag_or_digest), {"Accept": _ACCEPT}) as reply:
            body = _read(reply, MAX_MANIFEST_BYTES + 1)
            kind = reply.header("Content-Type").partition(";")[0].strip()
            told, length = reply.header("Docker-Content-Digest"), reply.header("Content-Length")
        if len(body) > MAX_MANIFEST_BYTES:
            raise ImageError(f"{self._name}: its manifest is too large", code="image-too-large")
        if length.isdigit() and len(body) < int(length):
            raise Unreachable(f"{self._address} broke off amid a manifest")
        found = f"sha256:{hashlib.sha256(body).hexdigest()}"
        wanted = tag_or_digest if tag_or_digest.startswith("sha256:") else told
        if wanted.startswith("sha256:") and wanted != found:
            raise _not_what_it_says(self._name, wanted, found)
        return Manifest(body, kind, found)

    def _manifest_path(self, tag_or_digest: str) -> str:
        return f"/v2/{self.reference.repository}/manifests/{tag_or_digest}{self._query}"

    def _blob_path(self, digest: str) -> str:
        return f"/v2/{self.reference.repository}/blobs/{digest}{self._query}"

    def _patiently(self, act: Callable[[], T]) -> T:
        return patiently(act, self._patience, self._cancelled, waiting=self._waiting, registry=self._registry)

    def _request(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        """Send a request, logging in as asked; return an answer of success. Raises Busy, Unreachable besides."""
        url = self._found_base() + path
        for _ in range(_LOGINS):
            sent = self._auth.header()
            reply = self._transport.get(url, {**(headers or {}), **authorization(sent)}, method=method)
            if reply.status < 400:
                return reply
            with reply:
                # Threat: the challenge of whoever we were redirected to could ask for our credentials.
                is_ours = urlsplit(reply.url).netloc == self._address
                if reply.status == 401 and is_ours and self._auth.answer(reply, sent):
                    continue
                check_busy(reply)
                raise self._refusal(reply)
        raise self._denied("it takes none of our answers")

    def _found_base(self) -> str:
        """Return the scheme and host; of an insecure registry find out whether it speaks TLS."""
        with self._lock:
            if not self._base:
                try:
                    self._transport.get(f"https://{self._address}/v2/", {}).close()
                    self._base = f"https://{self._address}"
                except (NotTrusted, Unreachable):
                    self._transport.get(f"http://{self._address}/v2/", {}).close()
                    self._base = f"http://{self._address}"
            return self._base

    def _refusal(self, reply: Reply) -> ImageError | NotFound:
        why = _error_text(reply)
        if reply.status == 404:
            return NotFound(f"{self._name} is not in the registry" + why, code="image-not-found")
        if reply.status in (401, 403):
            return self._denied(f"the registry answers {reply.status}" + why)
        return ImageError(f"{self._name}: the registry answers {reply.status}" + why, code="registry-error")

    def _denied(self, why: str) -> ImageError:
        if not self.reference.repository:
            return ImageError(f"registry {self._registry} refuses the login: {why}", code="registry-denied")
        host = "" if self._registry == "docker.io" else f" {self._registry}"
        return ImageError(
            f"{self.actions.rpartition(',')[2]} access denied for {self._name}: {why}",
            code="registry-denied",
            hint=f"it does not exist, or it needs: stackctl login{host}",
        )


class _Download:
    """One blob on its way into a file, over any number of connections."""

    def __init__(
        self, descriptor: Descriptor, file: BinaryIO, told: Callable[[int], None], cancelled: CancelCheck
    ) -> None:
        self._descriptor = descriptor
        self._file = file
        self._told = told
        self._cancelled = cancelled
        self._hasher = hashlib.sha256()
        self._done = 0

    def headers(self) -> dict[str, str]:
        """Return the headers that ask for what is missing."""
        # Compressed on the way, its bytes would not be those of the digest.
        asked = {"Accept-Encoding": "identity"}
        return {**asked, "Range": f"bytes={self._done}-"} if self._done else asked

    def take(self, reply: Reply) -> None:
        """Write what comes. Raises Unreachable when it is not all."""
        if self._done and not self._goes_on(reply):
            self._hasher = hashlib.sha256()
            self._done = 0
            self._file.seek(0)
            self._file.truncate()
        size = self._descriptor.size
        while piece := reply.read(PIECE_BYTES):
            if self._cancelled():
                raise ImageError("cancelled", code="cancelled")
            self._done += len(piece)
            if self._done > size:
                raise ImageError(
                    f"{self._descriptor.digest} is longer than the {size} bytes that its manifest says",
                    code="digest-mismatch",
                )
            self._hasher.update(piece)
            self._file.write(piece)
            self._told(self._done)
        if self._done < size:
            raise Unreachable(f"the connection broke off after {self._done} of {size} bytes")

    def check(self, name: str) -> None:
        """Raise ImageError when what came is not the blob."""
        found = f"sha256:{self._hasher.hexdigest()}"
        if found != self._descriptor.digest:
            raise _not_what_it_says(name, self._descriptor.digest, found)

    def _goes_on(self, reply: Reply) -> bool:
        match = _RANGE.match(reply.header("Content-Range"))
        return reply.status == 206 and match is not None and int(match[1]) == self._done


def authorization(header: str) -> dict[str, str]:
    return {"Authorization": header} if header else {}


def _read(reply: Reply, most: int) -> bytes:
    body = bytearray()
    while len(body) < most and (piece := reply.read(min(PIECE_BYTES, most - len(body)))):
        body += piece
    return bytes(body)


def _error_text(reply: Reply) -> str:
    """Return the registry's own words, made harmless; "" when it has none."""
    try:
        shape = json.loads(_read(reply, _MOST_ERROR_BYTES))
        message = str(shape["errors"][0]["message"])
    except (ValueError, LookupError, TypeError, RecursionError, Unreachable):
        return ""
    text = "".join(char if char.isprintable() else " " for char in message[:200]).strip()
    return f": {text}" if text else ""


def _not_what_it_says(name: str, wanted: str, found: str) -> ImageError:
    return ImageError(f"{name}: what the registry sent is not {wanted}, it is {found}", code="digest-mismatch")
