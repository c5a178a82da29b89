"""How one caller reaches registries: as whom, how patiently, and who hears of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from stackctl.images.registry.client import Repository
from stackctl.images.registry.patience import CancelCheck, Patience
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

    def repository(self, reference: ImageRef, settings: RegistrySettings) -> Repository:
        """Return the repository of a reference."""
        return Repository(
            reference,
            self.credentials,
            settings,
            patience=self.patience,
            cancelled=self.cancelled,
            waiting=lambda seconds: self.tell(PullProgress(_again_in(max(round(seconds), 1)))),
        )
