"""The JSON form of an exception: what a failed request answers, and the end of a stream says.

``message`` is Docker's; ``kind`` (the class), ``code``, ``hint``, ``field`` and ``diagnostics`` are ours. Whatever is
missing or misshapen is taken as absent, so that another engine's answer reads as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from stackctl import errors
from stackctl.errors import StackctlError
from stackctl.wire.wire_error import WireError

if TYPE_CHECKING:
    from stackctl.diagnostics import Diagnostic

_KIND_OF_STATUS: Final[Mapping[int, type[StackctlError]]] = {
    403: errors.PrivilegeError,
    404: errors.NotFound,
    409: errors.Conflict,
    503: errors.TransientError,
}


def error_to_json(error: StackctlError) -> dict[str, Any]:
    """Return the JSON form of ``error``."""
    shape: dict[str, Any] = {"message": error.message, "kind": errors.kind_of(error), "code": error.code}
    if error.hint:
        shape["hint"] = error.hint
    if error.field:
        shape["field"] = error.field
    if error.diagnostics:
        from stackctl.wire import codec  # only failures about text need it

        shape["diagnostics"] = [codec.encode(diagnostic) for diagnostic in error.diagnostics]
    return shape


def error_from_json(shape: object, *, status: int = 500) -> StackctlError:
    """Make the exception again. ``status`` decides the class when the answer does not name one of ours."""
    if not isinstance(shape, Mapping):
        shape = {}
    kind = getattr(errors, _text(shape, "kind"), None)
    if not (isinstance(kind, type) and issubclass(kind, StackctlError)):
        kind = _KIND_OF_STATUS.get(status, errors.EngineError)
    return kind(
        _text(shape, "message") or f"the engine answered with status {status}",
        code=_text(shape, "code") or None,
        hint=_text(shape, "hint"),
        diagnostics=diagnostics_from_json(shape.get("diagnostics")),
        field=_text(shape, "field") or None,
    )


def _text(shape: Mapping[str, Any], key: str) -> str:
    value = shape.get(key)
    return value if isinstance(value, str) else ""


def diagnostics_from_json(json: object) -> tuple[Diagnostic, ...]:
    """Return those diagnostics of a JSON array that can be read."""
    if not isinstance(json, list) or not json:
        return ()
    from stackctl.diagnostics import Diagnostic  # only failures about text need it
    from stackctl.wire import codec

    found = []
    for entry in json:
        try:
            found.append(codec.decode(Diagnostic, entry))
        except WireError:  # of a newer engine: the message still says what happened
            continue
    return tuple(found)
