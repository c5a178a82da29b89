"""How one caller reaches registries: as whom, how patiently, and who hears of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from stackctl.images.registry.client import Repository
from stackctl.images.registry.mirrored import Mirrored, Source
from stackctl.images.registry.patience import CancelCheck, Patience
from stackctl.images.registry.pushing import PushRepository
from stackctl.images.registry.settings import RegistrySettings
from stackctl.model.image import ImageRef
from stackctl.model.registry import ANONYMOUS, Credentials, PullProgress, TellProgress


def _again_in(seconds: int) -> str:
    return f"Retrying in {seconds} second{'s' * (seconds != 1)}"


def _nobody_listens(_: PullProgress) -> None:
    return


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """``credentials`` are for one registry."""

    credentials: Credentials = ANONYMOUS
    tell: TellProgress = _nobody_listens
    cancelled: CancelCheck = field(default=lambda: False)
    patience: Patience = field(default_factory=Patience)

    def repository(self, reference: ImageRef, settings: RegistrySettings) -> Source:
        """Return the repository of a reference, behind the mirrors of its registry."""
        origin = self._repository(reference, settings, self.credentials, self.patience)
        # Credentials are for the registry alone; and a mirror that does not answer is not waited for.
        once = replace(self.patience, attempts=1)
        mirrors = [
            self._repository(reference, settings, ANONYMOUS, once, mirror)
            for mirror in settings.mirrors_of(reference.registry)
        ]
        return Mirrored(mirrors, origin, self.cancelled) if mirrors else origin

    def to_push(self, reference: ImageRef, settings: RegistrySettings) -> PushRepository:
        """Return the repository of a reference, to push to: mirrors have no part in that."""
        return PushRepository(reference, self.credentials, settings, **self._ways(self.patience))

    def _ways(self, patience: Patience) -> Any:
        def waiting(seconds: float) -> None:
            self.tell(PullProgress(_again_in(max(round(seconds), 1))))

        return {"patience": patience, "cancelled": self.cancelled, "waiting": waiting}

    def _repository(
        self,
        reference: ImageRef,
        settings: RegistrySettings,
        credentials: Credentials,
        patience: Patience,
        mirror: str = "",
    ) -> Repository:
        return Repository(reference, credentials, settings, mirror=mirror, **self._ways(patience))
