"""What reading JSON that came over a wire may raise."""

from __future__ import annotations


class WireError(ValueError):
    """The JSON is not what the type asks for; the message names the place."""
