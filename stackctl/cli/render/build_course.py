"""The course of builds: from the engine's events to what each image is doing. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from stackctl.cli.render.course import Update
from stackctl.cli.render.style import without_controls

_COLOURS: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LONGEST: Final = 200
_BESIDE_OUTPUT: Final = 24


class Builds:
    """The builds of one apply, by image.

    ``show`` takes what an image does now; ``say`` takes a line that stays: a step, or what a command wrote. On a
    screen that is drawn over, commands' lines pass by beside their step.
    """

    def __init__(self) -> None:
        self._steps: dict[str, str] = {}
        self._rests: dict[tuple[str, int], str] = {}

    def take(
        self, event: Mapping[str, Any], show: Callable[[Update], object], say: Callable[[str], object] | None
    ) -> None:
        """Take one event; ``say`` None means that the screen is drawn over."""
        image, state, text = (str(event.get(key) or "") for key in ("image", "state", "text"))
        number = int(event.get("n") or 0)
        if state == "output":
            self._output(image, number, text, show, say)
            return
        if state == "started":
            self._steps[image] = text
            self._flush(image, number, say)
            show(Update(f"Image {image}", "working", "Building", _cut(text)))
            return
        self._flush(image, number, say)
        if state == "cached":
            show(Update(f"Image {image}", "working", "Building", _cut(f"{text}  (cached)")))
        elif state == "failed":
            show(Update(f"Image {image}", "error", "Error", _cut(text)))

    def _output(
        self, image: str, number: int, text: str, show: Callable[[Update], object], say: Callable[[str], object] | None
    ) -> None:
        *lines, rest = (self._rests.get((image, number), "") + text).split("\n")
        self._rests[image, number] = rest[-_LONGEST:]
        for line in lines:
            if say is not None:
                say(f" {image} | {_plain(line)}")
        if say is None and lines:
            last = next((text for line in reversed(lines) if (text := _plain(line)).strip()), "")
            step = _cut(self._steps.get(image, ""), _BESIDE_OUTPUT)
            show(Update(f"Image {image}", "working", "Building", f"{step}: {_cut(last)}"))

    def _flush(self, image: str, number: int, say: Callable[[str], object] | None) -> None:
        rest = self._rests.pop((image, number), "")
        if rest and say is not None:
            say(f" {image} | {_plain(rest)}")


def _plain(line: str) -> str:
    """Return what a terminal would show of a line: the last of what was written over, without colours."""
    text = _COLOURS.sub("", line.rstrip("\r").rpartition("\r")[2])
    return without_controls(text.expandtabs())


def _cut(text: str, longest: int = _LONGEST) -> str:
    line = without_controls(text.expandtabs().replace("\n", " "))
    return line if len(line) <= longest else line[: longest - 1] + "…"
