"""A repository of a registry, to push to. Source: OCI distribution-spec 1.1, "Push"."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Final
from urllib.parse import urlsplit

from stackctl.errors import ImageError, NotFound
from stackctl.images.registry.auth import check_busy
from stackctl.images.registry.client import Repository, authorization
from stackctl.images.registry.transport import Reply, moved_to

_LOGINS: Final = 3
_PIECE: Final = 1 << 16
OpenBlob = Callable[[], BinaryIO]


class PushRepository(Repository):
    """Blobs first, then the manifest that names them. Raises ImageError, NotFound."""

    actions = "pull,push"

    def has(self, digest: str) -> bool:
        """Whether the registry has a blob in this repository."""
        try:
            self._patiently(lambda: self._request("HEAD", self._blob_path(digest))).close()
        except NotFound:
            return False
        return True

    def upload(self, digest: str, size: int, opened: OpenBlob, told: Callable[[int], None]) -> None:
        """Bring a blob in, in one piece; a transfer that breaks off begins again."""
        self._patiently(lambda: self._upload(digest, size, opened, told))

    def put_manifest(self, tag: str, body: bytes, media_type: str) -> None:
        """Let a tag lead to a manifest."""
        headers = {"Content-Type": media_type}
        self._patiently(lambda: self._change("PUT", self._manifest_url(tag), headers, lambda: body).close())

    def _upload(self, digest: str, size: int, opened: OpenBlob, told: Callable[[int], None]) -> None:
        start = f"{self._found_base()}/v2/{self.reference.repository}/blobs/uploads/"
        with self._change("POST", start, {}, lambda: b"") as reply:
            target = moved_to(start, reply.header("Location"))
        joint = "&" if urlsplit(target).query else "?"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        with opened() as file:

            def body() -> _Counted:
                file.seek(0)
                return _Counted(file, told, self._cancelled)

            self._change("PUT", f"{target}{joint}digest={digest}", headers, body).close()

    def _manifest_url(self, tag: str) -> str:
        return self._found_base() + self._manifest_path(tag)

    def _change(self, method: str, url: str, headers: Mapping[str, str], body: Callable[[], Any]) -> Reply:
        for _ in range(_LOGINS):
            # Threat: uploads may go to another host, which must not learn who we are.
            is_ours = urlsplit(url).netloc == self._address
            sent = self._auth.header()
            reply = self._transport.send(method, url, {**headers, **(authorization(sent) if is_ours else {})}, body())
            if reply.status < 400:
                return reply
            with reply:
                if reply.status == 401 and is_ours and self._auth.answer(reply, sent):
                    continue
                check_busy(reply)
                raise self._refusal(reply)
        raise self._denied("it takes none of our answers")


class _Counted:
    """A file that tells how much of it has been read, and ends with an error when nobody wants it any more."""

    def __init__(self, file: BinaryIO, told: Callable[[int], None], cancelled: Callable[[], bool]) -> None:
        self._file = file
        self._told = told
        self._cancelled = cancelled
        self._count = 0

    def read(self, size: int = _PIECE, /) -> bytes:
        """Return the next bytes."""
        if self._cancelled():
            raise ImageError("cancelled", code="cancelled")
        data = self._file.read(max(size, _PIECE))
        self._count += len(data)
        self._told(self._count)
        return data
