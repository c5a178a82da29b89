"""Images as a Docker Engine has them, and as registries have them for it."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from stackctl.engines.docker.api import Api
from stackctl.engines.docker.errors import told_by_docker, translated
from stackctl.engines.docker.observe import time_ns
from stackctl.engines.hosting import TellPull
from stackctl.errors import Conflict, EngineError, ImageError, NotFound
from stackctl.model.image import DEFAULT_REGISTRY, HOST_IMAGE, ImageRef, ResolvedImage, parse_image_ref
from stackctl.model.registry import ANONYMOUS, Credentials, PullProgress
from stackctl.reconcile.action import PullImage
from stackctl.reconcile.engine import CancelCheck, ImageRequest
from stackctl.wire.credentials import credentials_to_json

if TYPE_CHECKING:
    from stackctl.images.registry.settings import RegistrySettings

_NOBODY: Final[Mapping[str, Credentials]] = MappingProxyType({})
_LOOKS: Final = 3
_CONTAINERD: Final = "io.containerd.snapshotter.v1"


def _silence(_: str, __: PullProgress) -> None:
    return


class DockerImages:
    """Finds images, and has the engine pull them, as who ``credentials`` say, by registry. ``info`` is the engine's."""

    def __init__(
        self,
        api: Api,
        info: Mapping[str, Any],
        credentials: Mapping[str, Credentials] = _NOBODY,
        tell: TellPull = _silence,
    ) -> None:
        self._api = api
        self._info = info
        self._credentials = credentials
        self._tell = tell

    def for_caller(self, credentials: Mapping[str, Credentials], tell: TellPull) -> DockerImages:
        """Return the same for one caller."""
        return DockerImages(self._api, self._info, credentials, tell)

    def resolve(self, request: ImageRequest) -> ResolvedImage | None:
        """Find an image as its policy says; None when it is neither here nor to be looked for elsewhere."""
        here = self.local(request.reference, request.platform)
        is_fresh = here is not None and not self._is_old(request)
        if request.policy == "never" or (is_fresh and request.policy == "missing"):
            return here
        if request.reference in (HOST_IMAGE, f"{HOST_IMAGE}:latest"):
            raise ImageError(
                f"the image {HOST_IMAGE} is the machine that the built-in engine runs on: no other engine has it",
                code="image-builtin",
                hint="write an image of a registry, or run the stack without --engine",
            )
        name = _parsed(request.reference)
        try:
            there = self._remote(name, request.platform)
        except ImageError as error:
            if error.code in ("registry-unreachable", "registry-not-trusted"):
                error.hint = "where only the engine reaches that registry, pull first: stackctl pull"
            raise
        return here if here is not None and here.id == there.id else there

    def _is_old(self, request: ImageRequest) -> bool:
        if not request.max_age_s:
            return False
        metadata = (self.inspect(request.reference) or {}).get("Metadata") or {}
        return time.time_ns() - time_ns(metadata.get("LastTagTime") or "") > request.max_age_s * 1e9

    def local(self, reference: str, platform: str = "") -> ResolvedImage | None:
        """Return an image of the engine's, None when it has none of that name for the platform."""
        shape = self.inspect(reference)
        if shape is None:
            return None
        from stackctl.images.config import describe

        inner = {"config": shape.get("Config") or {}, "architecture": shape.get("Architecture") or ""}
        inner |= {"os": shape.get("Os") or "", "variant": shape.get("Variant") or ""}
        config = describe(json.dumps(inner).encode()).config
        if platform:
            from stackctl.images.platform import Platform, distance, parse_platform

            here = Platform(config.os, config.architecture, config.variant)
            if distance(parse_platform(platform), here) is None:
                return None
        return ResolvedImage(shape["Id"], config)

    def inspect(self, reference: str) -> dict[str, Any] | None:
        """Return what the engine knows of an image, None when it has none of that name."""
        try:
            found: dict[str, Any] = self._api.ask("GET", f"/images/{reference}/json")
        except NotFound:
            return None
        return found

    def pull(self, action: PullImage, cancelled: CancelCheck) -> None:
        """Have the engine pull what a plan found. Raises Conflict when it is not that."""
        name = _parsed(action.reference)
        found = self.inspect(action.reference)
        if found is not None and found["Id"] == action.image_id:
            return
        repository = _repository(name)
        by_digest = f"{repository}@{action.digest}"
        with told_by_docker():
            self._fetch(by_digest, action, name.registry, cancelled)
            pulled = self.inspect(by_digest)
            if pulled is None or pulled["Id"] != action.image_id:
                raise Conflict(
                    f"image {action.reference} is no longer the one the plan was made for",
                    code="image-changed",
                    hint="run the command again",
                )
            if not name.digest:
                query = {"repo": repository, "tag": name.tag}
                self._api.ask("POST", f"/images/{action.image_id}/tag", query=query)

    def _fetch(self, by_digest: str, action: PullImage, registry: str, cancelled: CancelCheck) -> None:
        query = {"fromImage": by_digest, **({"platform": action.platform} if action.platform else {})}
        lines = self._api.lines("POST", "/images/create", query=query, headers=self._auth(registry))
        with contextlib.closing(lines):  # type: ignore[type-var]  # a generator
            for line in lines:
                if line.get("error"):
                    raise translated(EngineError(str(line["error"])))
                detail = line.get("progressDetail") or {}
                moment = PullProgress(
                    str(line.get("status", "")),
                    str(line.get("id", "")),
                    int(detail.get("current") or 0),
                    int(detail.get("total") or 0),
                )
                self._tell(action.reference, moment)
                if cancelled():
                    raise EngineError("cancelled", code="cancelled")

    def _auth(self, registry: str) -> dict[str, str]:
        credentials = self._credentials.get(registry, ANONYMOUS)
        if credentials.is_anonymous:
            return {}
        text = json.dumps(credentials_to_json(credentials, registry))
        return {"X-Registry-Auth": base64.urlsafe_b64encode(text.encode()).decode()}

    def _remote(self, name: ImageRef, platform: str) -> ResolvedImage:
        """Look an image up in its registry, from here: an engine only tells its digest. Raises ImageError, NotFound."""
        from stackctl.images.incoming import digest_of  # with what they import 60 ms: only for registries
        from stackctl.images.platform import host_platform, parse_platform
        from stackctl.images.pull import look_up
        from stackctl.images.registry.access import Access
        from stackctl.images.registry.patience import Patience

        credentials = self._credentials.get(name.registry, ANONYMOUS)
        access = Access(credentials=credentials, patience=Patience(attempts=_LOOKS))
        wanted = parse_platform(platform) if platform else host_platform(str(self._info.get("Architecture") or ""))
        source = access.repository(name, self._settings())
        found = look_up(source, name.digest or name.tag, wanted, is_exact=bool(platform))
        # An engine that keeps images in containerd calls them by the digest they are pulled by.
        image_id = found.digest if self._is_containerd() else digest_of(found.document)
        return ResolvedImage(image_id, found.description.config, found.digest)

    def _settings(self) -> RegistrySettings:
        """Return how the engine reaches registries, as far as it tells."""
        from stackctl.images.registry.settings import RegistrySettings  # as above

        told = self._info.get("RegistryConfig") or {}
        entries: Mapping[str, Any] = told.get("IndexConfigs") or {}
        insecure = [name for name, entry in entries.items() if entry.get("Secure") is False]
        insecure += told.get("InsecureRegistryCIDRs") or ()
        mirrors = tuple(text.rstrip("/") for text in told.get("Mirrors") or ())
        return RegistrySettings(
            certificates=("/etc/docker/certs.d",),
            insecure=tuple(insecure),
            mirrors=((DEFAULT_REGISTRY, mirrors),) if mirrors else (),
        )

    def _is_containerd(self) -> bool:
        return any(_CONTAINERD in pair for pair in self._info.get("DriverStatus") or ())


def _parsed(reference: str) -> ImageRef:
    try:
        return parse_image_ref(reference)
    except ValueError as error:
        raise ImageError(f"{reference}: {error}", code="image-name-invalid") from error


def _repository(name: ImageRef) -> str:
    return ImageRef(name.registry, name.repository, "").familiar
