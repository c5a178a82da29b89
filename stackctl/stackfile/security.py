"""What an entry of ``security_opt`` says."""

from __future__ import annotations

_SECCOMP = "seccomp"
_BUILT_IN = ("unconfined", "builtin")


def seccomp_path(option: str) -> str:
    """Return the path of a seccomp profile that an entry names, "" for one that names none."""
    name, path = option[: len(_SECCOMP)], option[len(_SECCOMP) + 1 :]
    is_profile = name == _SECCOMP and option[len(_SECCOMP) : len(_SECCOMP) + 1] in (":", "=")
    return path if is_profile and path not in _BUILT_IN else ""
