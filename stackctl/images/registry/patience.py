"""Trying again: what a registry or the network refuses now it may grant a moment later."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import tenacity

from stackctl.errors import ImageError
from stackctl.images.registry.auth import Busy
from stackctl.images.registry.transport import NotTrusted, Unreachable

T = TypeVar("T")
CancelCheck = Callable[[], bool]
_LOOK_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Patience:
    """How often to try, and how long to wait in between where the server does not say; each pause twice the last.

    A server that says to wait for longer than ``longest_s`` is not waited for.
    """

    attempts: int = 5
    first_pause_s: float = 0.5
    longest_s: float = 60.0


def patiently(
    act: Callable[[], T],
    patience: Patience,
    cancelled: CancelCheck,
    *,
    waiting: Callable[[float], None],
    registry: str,
) -> T:
    """Call ``act``, again while it raises Busy or Unreachable; ``waiting`` is told of each pause in seconds.

    Raises ImageError in the end, naming ``registry``.
    """
    growing = tenacity.wait_random_exponential(multiplier=patience.first_pause_s, max=patience.longest_s)

    def pause_s(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        return error.after_s if isinstance(error, Busy) and error.after_s >= 0 else float(growing(state))

    def is_enough(state: tenacity.RetryCallState) -> bool:
        return state.attempt_number >= patience.attempts or pause_s(state) > patience.longest_s or cancelled()

    def sleep(seconds: float) -> None:
        waiting(seconds)
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not cancelled():
            time.sleep(min(left, _LOOK_S))

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type((Busy, Unreachable)),
        wait=pause_s,
        stop=is_enough,
        sleep=sleep,
        reraise=True,
    )
    try:
        return retrying(act)
    except (Busy, Unreachable) as error:
        if cancelled():
            raise ImageError("cancelled", code="cancelled") from error
        if isinstance(error, Busy):
            raise ImageError(str(error), code="registry-busy", hint=_busy_hint(error)) from error
        raise ImageError(f"registry {registry}: {error}", code="registry-unreachable") from error
    except NotTrusted as error:
        raise ImageError(
            f"registry {registry}: {error}",
            code="registry-not-trusted",
            hint=f"put the certificate of its authority into certs.d/{registry}/ca.crt below the engine's root or "
            f"/etc/docker, or name it as insecure in registries.json below the engine's root",
        ) from error


def _busy_hint(error: Busy) -> str:
    if error.after_s < 0:
        return "log in with `stackctl login` for a higher limit, or try again later"
    return f"try again in {error.after_s:g} seconds"
