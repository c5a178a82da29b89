"""The plan's text in colours. Pure."""

from __future__ import annotations

from typing import Final

from stackctl.cli.render.style import BOLD, DIM, GREEN, RED, YELLOW, paint, without_controls

_COLOURS: Final = {"+": GREEN, ">": GREEN, "~": YELLOW, "±": YELLOW, "-": RED}


def plan_lines(text: str, *, has_colour: bool) -> str:
    """Return the engine's summary of a plan with its symbols coloured; reasons are dim."""
    lines = [without_controls(line) for line in text.splitlines()]
    return "".join(f"{_coloured(line) if has_colour else line}\n" for line in lines)


def _coloured(line: str) -> str:
    if line.startswith("      "):
        return paint(line, DIM)
    symbol = line[2:3]
    if line.startswith("  ") and symbol in _COLOURS and line[3:4] == " ":
        return "  " + paint(line[2:], _COLOURS[symbol])
    if line.startswith("Plan: "):
        return paint(line, BOLD)
    return paint(line, RED) if line.startswith("This destroys data") else line
