"""Following the logs of many containers at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from stackctl.cli.containers import Listed, state_of
from stackctl.cli.log_lines import Lines, LogPrinter
from stackctl.errors import NotFound, StackctlError

_LOOK_S: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRange:
    """Which part of a container's log. ``since`` and ``until`` are seconds since the epoch, "" for no bound."""

    tail: str = "all"
    since: str = ""
    until: str = ""
    has_timestamps: bool = False


class LogSource(Protocol):
    """What gives logs: EngineClient."""

    def logs(
        self,
        name: str,
        follow: bool = False,
        tail: str = "all",
        timestamps: bool = False,
        since: str = "",
        until: str = "",
    ) -> Iterator[tuple[int, bytes]]:
        """Yield (stream, bytes); with ``follow`` until the container ends."""
        ...

    def inspect_container(self, name: str) -> Mapping[str, Any]:
        """Return all about a container. Raises NotFound."""
        ...


def print_log(source: LogSource, container: Listed, printer: LogPrinter, part: LogRange, *, follow: bool) -> None:
    """Print one container's log, with ``follow`` until the container ends."""
    streams: dict[int, Lines] = {}
    pieces = source.logs(
        container.id,
        follow=follow,
        tail=part.tail,
        since=part.since,
        until=part.until,
        timestamps=part.has_timestamps,
    )
    for stream, data in pieces:
        printer.feed(container.service, container.log_name, streams.setdefault(stream, Lines()), data)
    for lines in streams.values():
        printer.finish(container.service, container.log_name, lines)


class Follower:
    """Prints the logs of a changing set of containers until none of them runs any more.

    ``look`` lists the set anew; what appears later is followed from its beginning, what was restarted from
    where it was left. ``on_exit`` is told of each end while following, with the exit code. Of those
    that are not shown nothing is printed.
    """

    def __init__(
        self,
        source: LogSource,
        look: Callable[[], Iterable[Listed]],
        printer: LogPrinter,
        part_of: Callable[[Listed], LogRange],
        *,
        is_shown: Callable[[Listed], bool] = lambda _: True,
        tells_exits: bool = False,
        on_exit: Callable[[Listed, int], object] | None = None,
    ) -> None:
        self._source = source
        self._look = look
        self._printer = printer
        self._part_of = part_of
        self._is_shown = is_shown
        self._tells_exits = tells_exits
        self._on_exit = on_exit
        self._following: set[str] = set()
        self._left_s: dict[str, float] = {}
        self._failure: Exception | None = None
        self._changed = threading.Event()
        self._stopped = False

    def run(self) -> None:
        """Follow to the end. Raises what stopped a log from being read or written."""
        while not self._stopped:
            self._changed.clear()
            containers = [c for c in self._look() if c.state not in ("created", "removing", "dead")]
            fresh = [c for c in containers if self._is_due(c)]
            for container in fresh:
                if self._is_shown(container):
                    self._printer.add(container.service, container.log_name)
            for container in fresh:
                self._begin(container)
            if not self._following and not any(c.is_running for c in containers):
                break
            self._changed.wait(_LOOK_S)
            if self._failure is not None:
                raise self._failure

    def stop(self) -> None:
        """Make ``run`` return soon; any thread may call it."""
        self._stopped = True
        self._changed.set()

    def _is_due(self, container: Listed) -> bool:
        if container.id in self._following:
            return False
        return container.id not in self._left_s or container.state == "running"

    def _begin(self, container: Listed) -> None:
        self._following.add(container.id)
        threading.Thread(target=self._follow, args=(container,), name="log", daemon=True).start()

    def _follow(self, container: Listed) -> None:
        part = self._part_of(container)
        left_s = self._left_s.get(container.id)
        if left_s is not None:
            part = replace(part, tail="all", since=f"{left_s:.9f}")
        try:
            if self._is_shown(container):
                print_log(self._source, container, self._printer, part, follow=True)
            else:
                for _ in self._source.logs(container.id, follow=True, tail="0"):
                    pass  # its end is that of the container
            self._left_s[container.id] = time.time()
            self._tell_exit(container)
        except NotFound:  # removed meanwhile, with its log
            self._left_s[container.id] = time.time()
        except (StackctlError, OSError) as error:
            self._failure = error
        finally:
            self._following.discard(container.id)
            self._changed.set()

    def _tell_exit(self, container: Listed) -> None:
        if not self._tells_exits and self._on_exit is None:
            return
        state, code = state_of(self._source.inspect_container(container.id))
        if state not in ("exited", "restarting"):
            return
        if self._tells_exits and self._is_shown(container):
            suffix = " (restarting)" if state == "restarting" else ""
            self._printer.say(f"{container.log_name} exited with code {code}{suffix}")
        if self._on_exit is not None and state == "exited":
            self._on_exit(container, code)
