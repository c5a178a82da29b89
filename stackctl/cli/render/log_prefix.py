"""What stands before a log line: the replica's name, aligned, each service in its own colour. Pure."""

from __future__ import annotations

from typing import Final

from stackctl.cli.render.style import paint

# As Compose: the plain colours without red (of errors), black and white, then the bright ones.
_RAINBOW: Final = ("36", "33", "32", "35", "34", "96", "93", "92", "95", "94")


class Prefixes:
    """Hands out prefixes. The column only grows: lines that are already shown cannot be moved."""

    def __init__(self, *, has_colour: bool, is_shown: bool = True) -> None:
        self._has_colour = has_colour
        self._is_shown = is_shown
        self._colours: dict[str, str] = {}
        self._width = 0

    def add(self, service: str, name: str) -> None:
        """Make room for a replica's name, and choose its service's colour."""
        self._width = max(self._width, len(name))
        self._colours.setdefault(service, _RAINBOW[len(self._colours) % len(_RAINBOW)])

    def of(self, service: str, name: str) -> str:
        """Return ``web-1  | ``."""
        if not self._is_shown:
            return ""
        text = f"{name.ljust(self._width)}  | "
        return paint(text, self._colours.get(service, "")) if self._has_colour else text
