"""Exceptions: the one thing that stopped us.

    StackctlError
      UsageError          the command line asks for something that cannot be
      StackFileError      the stack files are wrong; carries Diagnostics
      PlanError           no plan can be made (or a saved plan no longer fits)
      EngineError         the engine could not do what was asked
        EngineUnreachable   nobody answers at its address
        TransientError      worth trying again
        NotFound            the named thing does not exist
        Conflict            the world is not as the request assumed
        PrivilegeError      a privilege is missing; says which one
      ImageError          an image could not be read, stored or found
      ContainerError      a container could not be made, started or entered
      ApplyError          a plan was performed only in part; carries the failed steps

Every class has a stable kebab-case ``code`` and an exit status. ``hint`` says what to do about it;
``diagnostics`` points at the YAML that asked for what failed, where that is known; ``field`` names it for who knows
where it is written, as ``ContainerSpec.origin`` does (``mounts./data``).
"""

from __future__ import annotations

from collections.abc import Sequence

TYPE_CHECKING = False  # typing costs 4 ms
if TYPE_CHECKING:
    from stackctl.diagnostics import Diagnostic


class StackctlError(Exception):
    """Root of every error that is reported to the user without a traceback."""

    code = "error"
    exit_status = 1
    field = ""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str = "",
        diagnostics: Sequence[Diagnostic] = (),
        field: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.diagnostics = tuple(diagnostics)
        if code is not None:
            self.code = code
        if field is not None:
            self.field = field


class UsageError(StackctlError):
    """The command line asks for something that cannot be."""

    code = "usage"


class StackFileError(StackctlError):
    """The stack files are wrong; ``diagnostics`` says where and why."""

    code = "stack-file"


class PlanError(StackctlError):
    """No plan can be made from what was asked and what exists."""

    code = "plan"


class EngineError(StackctlError):
    """The engine could not do what was asked."""

    code = "engine"


class EngineUnreachable(EngineError):
    """Nobody answers at the engine's address."""

    code = "engine-unreachable"


class TransientError(EngineError):
    """The request failed for a reason that may pass; trying again is safe."""

    code = "transient"


class NotFound(EngineError):
    """The named container, network, volume or image does not exist."""

    code = "not-found"


class Conflict(EngineError):
    """The world is not as the request assumed: a name, port or state is taken."""

    code = "conflict"


class PrivilegeError(EngineError):
    """A privilege is missing; the message names which one."""

    code = "privilege"


class ImageError(StackctlError):
    """An image could not be read, stored or found."""

    code = "image"


class ContainerError(EngineError):
    """A container could not be made, started or entered."""

    code = "container"


class ApplyError(StackctlError):
    """A plan was performed only in part."""

    code = "apply"


def kind_of(error: StackctlError) -> str:
    """Return the name of the class in this module that the error is, for the far side of a socket to make again.

    A room's own narrower class (a taken port is a Conflict) is unknown there.
    """
    return next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == __name__)
