"""What a plan can do on an engine whose grain is the service: one that runs the containers of a service by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from stackctl.model.service import ContentKind, ContentSpec, ServiceSpec
from stackctl.model.stack import Condition


@dataclass(frozen=True, slots=True)
class CreateContent:
    """The config or secret exists, with the content that its fingerprint names.

    NotFound when that content was not sent along; Conflict when the name has another content.
    """

    spec: ContentSpec


@dataclass(frozen=True, slots=True)
class RemoveContent:
    """No config or secret of the kind has this name. Conflict while a service uses it."""

    kind: ContentKind
    name: str
    expect_id: str


@dataclass(frozen=True, slots=True)
class CreateService:
    """A service exists with this specification; its tasks are being started.

    Conflict when the name is taken by another one, NotFound when a network, config or secret is missing.
    """

    spec: ServiceSpec


@dataclass(frozen=True, slots=True)
class UpdateService:
    """The service has this specification; its tasks are being replaced where that is needed.

    ``base`` is the fingerprint of the specification it is believed to have; Conflict when it has neither that
    nor the wanted one: then somebody else changed it.
    """

    spec: ServiceSpec
    expect_id: str
    base: str


@dataclass(frozen=True, slots=True)
class RemoveService:
    """No service has this name, and none of its tasks is left on a machine that answers."""

    name: str
    expect_id: str


@dataclass(frozen=True, slots=True)
class AwaitService:
    """The service is as wanted, as far as the condition says.

    ``service_started``, ``service_healthy``: the last change is done, and as many tasks as are wanted run under it;
    one with a health check runs once it is healthy. ``service_completed_successfully``: all tasks ended, with 0.
    Fails at once when it can no longer happen, and after ``timeout_s`` without a further task in that state; the
    error says what the tasks reported. With ``rollback``, that specification is sent again before it fails.
    """

    name: str
    condition: Condition
    timeout_s: float
    rollback: ServiceSpec | None = None


ServiceAction: TypeAlias = CreateContent | RemoveContent | CreateService | UpdateService | RemoveService | AwaitService
