"""`up` in the foreground: the logs, and Ctrl-C.

apply ──► logs ──► every container has ended          exit 0, or the code asked for
  │         └────► Ctrl-C, or one ended and --abort…  stop in graph order, meanwhile the logs go on
  └─ Ctrl-C: cancel, then stop                        Ctrl-C again: kill
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, TypeAlias

from stackctl.cli.applying import Ending
from stackctl.cli.changing import perform
from stackctl.cli.containers import Listed
from stackctl.cli.failure import Failure
from stackctl.cli.logs import log_printer
from stackctl.cli.multiplex import Follower, LogRange
from stackctl.cli.requests import stack_request
from stackctl.cli.settings import Settings
from stackctl.cli.signals import ENDING, INTERRUPTED, handled
from stackctl.cli.targets import containers_of
from stackctl.errors import EngineError

if TYPE_CHECKING:
    from stackctl.client.engine_client import EngineClient
    from stackctl.wire.stack_request import StackRequest

_STOPPING: Final = "Gracefully stopping… (press Ctrl+C again to force)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attendance:
    """A stack to be attended, and how.

    What was logged before ``began_s`` is of no interest. The logs of ``shown`` services are shown; the others are
    only watched.
    """

    settings: Settings
    engine: EngineClient
    project: str
    services: tuple[str, ...]
    began_s: float
    has_prefix: bool = True
    has_colour: bool = True
    has_timestamps: bool = False
    shown: frozenset[str] = frozenset()
    aborts: bool = False
    aborts_on_failure: bool = False
    exit_code_from: str = ""
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Interrupted:
    """Ctrl-C, or SIGTERM."""


@dataclass(frozen=True, slots=True)
class _Exited:
    """A container ended."""

    service: str
    code: int


@dataclass(frozen=True, slots=True)
class _LogsEnded:
    """No container runs any more, or logs cannot be followed."""

    error: Exception | None


_Message: TypeAlias = _Interrupted | _Exited | _LogsEnded


@dataclass(slots=True)
class _State:
    inbox: SimpleQueue[_Message] = field(default_factory=SimpleQueue)
    codes: dict[str, int] = field(default_factory=dict)
    signals: int = 0

    def on_signal(self) -> None:
        """Take a signal; call from its handler."""
        self.signals += 1
        self.inbox.put(_Interrupted())


def attend(attendance: Attendance, request: StackRequest) -> None:
    """Bring the stack up and stay with it. Raises Failure with the exit status unless that is 0."""
    state = _State()
    with handled(dict.fromkeys(ENDING, state.on_signal)):
        ending = perform(attendance.settings, attendance.engine, attendance.project, request, title="up")
        if ending.interruptions:
            _stop_all(attendance, is_forced=ending.interruptions > 1)
            raise Failure(INTERRUPTED)
        ending.raise_failure()
        status = _stay(attendance, state)
    if status:
        raise Failure(status)


def _stay(attendance: Attendance, state: _State) -> int:
    """Show logs until there is a reason to end; return the exit status."""
    follower = _follower(attendance, state)
    logs = threading.Thread(target=_follow, args=(follower, state), name="logs", daemon=True)
    logs.start()
    status = 0
    while True:
        match state.inbox.get():
            case _Interrupted():
                _stop_all(attendance, was_interrupted=lambda: state.signals > 1)
                status = INTERRUPTED
            case _Exited(service, code):
                state.codes.setdefault(service, code)
                if not attendance.aborts and not (attendance.aborts_on_failure and code):
                    continue
                interruptions = _stop_all(attendance).interruptions
                status = INTERRUPTED if interruptions else code
                break
            case _LogsEnded(None):
                return status
            case _LogsEnded(error):
                assert error is not None
                raise error
        break
    logs.join(timeout=2.0)  # last words
    follower.stop()
    return _asked_code(attendance, status)


def _asked_code(attendance: Attendance, status: int) -> int:
    """Return the exit code of the service that was asked for, else ``status``."""
    if not attendance.exit_code_from or status == INTERRUPTED:
        return status
    codes = [
        container.exit_code
        for container in containers_of(attendance.engine, attendance.project)
        if container.service == attendance.exit_code_from and not container.is_running
    ]
    return codes[0] if codes else status


def _follower(attendance: Attendance, state: _State) -> Follower:
    printer = log_printer(attendance.settings, has_prefix=attendance.has_prefix, has_colour=attendance.has_colour)
    part = LogRange(since=f"{attendance.began_s:.9f}", has_timestamps=attendance.has_timestamps)
    return Follower(
        attendance.engine,
        lambda: _watched(attendance, containers_of(attendance.engine, attendance.project)),
        printer,
        lambda _container: part,
        tells_exits=True,
        is_shown=lambda container: container.service in attendance.shown,
        on_exit=lambda container, code: state.inbox.put(_Exited(container.service, code)),
    )


def _follow(follower: Follower, state: _State) -> None:
    try:
        follower.run()
    except Exception as error:  # the edge of a thread: the main one raises it again
        state.inbox.put(_LogsEnded(error))
    else:
        state.inbox.put(_LogsEnded(None))


def _watched(attendance: Attendance, containers: Iterable[Listed]) -> list[Listed]:
    meant = {*attendance.services, *attendance.shown}
    return [c for c in containers if not attendance.services or c.service in meant]


def _attended(attendance: Attendance, containers: Iterable[Listed]) -> list[Listed]:
    return [c for c in containers if not attendance.services or c.service in attendance.services]


def _stop_all(
    attendance: Attendance, *, is_forced: bool = False, was_interrupted: Callable[[], bool] = lambda: False
) -> Ending:
    """Stop what is attended, in graph order; kill it when interrupted again, or at once if forced."""
    # Between log lines a live table would be torn apart.
    settings = attendance.settings
    plain = settings.with_progress("plain") if settings.progress in ("auto", "tty") else settings
    running = [c for c in _attended(attendance, _existing(attendance)) if c.is_running]
    if not running or is_forced:
        _kill_all(attendance)
        return Ending({"ok": True}, 0)
    services = tuple(dict.fromkeys(container.service for container in running))
    request = stack_request("stop", None, services=services, timeout_s=attendance.timeout_s)
    ending = perform(
        plain,
        attendance.engine,
        attendance.project,
        request,
        title="stop",
        patience=1,
        first_note=_STOPPING,
        was_interrupted=was_interrupted,
    )
    if ending.interruptions:
        _kill_all(attendance)
    else:
        ending.raise_failure()
    return ending


def _existing(attendance: Attendance) -> list[Listed]:
    return containers_of(attendance.engine, attendance.project)


def _kill_all(attendance: Attendance) -> None:
    # Container by container, not by a plan: the stop that is under way holds the stack.
    for container in _attended(attendance, _existing(attendance)):
        if container.is_running:
            with suppress(EngineError):
                attendance.engine.kill_container(container.id)
