"""The course of a pull: from Docker's messages to what the image and its layers are doing. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from stackctl.cli.render.course import Update
from stackctl.cli.render.sizes import size_text

_BAR: Final = 20
_DONE: Final = ("Already exists", "Pull complete")


class PullCourse:
    """Follows the pull of one image, called ``name``."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._current: dict[str, int] = {}
        self._total: dict[str, int] = {}
        self._status = ""

    @property
    def resource(self) -> str:
        """What the image is called among all that goes on."""
        return f"Image {self._name}"

    def begin(self) -> Update:
        """Return what is shown at the start."""
        return Update(self.resource, "working", "Pulling")

    def take(self, message: Mapping[str, Any]) -> Iterator[Update]:
        """Take one message; yield what it changes, layers with each step they make."""
        status, layer = str(message.get("status") or ""), str(message.get("id") or "")
        if not layer:
            if status.startswith("Status: "):
                self._status = status.removeprefix("Status: ")
            elif status.startswith("Retrying"):
                yield Update(self.resource, "working", "Pulling", status)
            return
        counts = message.get("progressDetail")
        if isinstance(counts, Mapping) and counts.get("total"):
            self._current[layer], self._total[layer] = int(counts.get("current") or 0), int(counts["total"])
        elif status in ("Download complete", *_DONE) and layer in self._total:
            self._current[layer] = self._total[layer]
        is_done = status in _DONE
        yield Update(f"  {layer}", "done" if is_done else "working", status, "" if is_done else self._bar(layer))
        if self._total:
            amount = f"{size_text(sum(self._current.values()))} / {size_text(sum(self._total.values()))}"
            yield Update(self.resource, "working", "Pulling", amount)

    def end(self, error: str = "") -> Update:
        """Return what is shown at the end."""
        if error:
            return Update(self.resource, "error", "Error", error)
        is_same = self._status.startswith("Image is up to date")
        return Update(self.resource, "done", "Up to date" if is_same else "Pulled")

    def _bar(self, layer: str) -> str:
        total = self._total.get(layer, 0)
        if not total:
            return ""
        filled = _BAR * self._current[layer] // total
        bar = ("=" * filled + ">" if filled < _BAR else "=" * _BAR).ljust(_BAR)
        return f"[{bar}] {size_text(self._current[layer])}/{size_text(total)}"


class Pulls:
    """The pulls of one apply, by image."""

    def __init__(self) -> None:
        self._courses: dict[str, PullCourse] = {}

    def take(self, event: Mapping[str, Any], show: Callable[[Update], object]) -> None:
        """Take the event of a pull, and show what it changes."""
        image = str(event.get("image") or "")
        course = self._courses.setdefault(image, PullCourse(image))
        for update in course.take(event):
            show(update)
