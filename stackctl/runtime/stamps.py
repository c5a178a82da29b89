"""Stamps: small files by which others see, without asking, that nothing of a group has changed.

A group is the value of a container's project label. Its stamp is made when somebody asks for it and taken away by the
first change after that, so a change costs nothing while nobody looks. No two stamps are ever equal.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import Final

from stackctl import labels
from stackctl.model.container import ContainerSpec
from stackctl.runtime.kernel.process import start_ticks
from stackctl.runtime.paths import EnginePaths

_GROUP: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,199}")


class Stamps:
    """The stamps of one supervisor; those of an earlier one are removed."""

    def __init__(self, paths: EnginePaths) -> None:
        self._paths = paths
        self._identity = f"{os.getpid()} {start_ticks(os.getpid())}"
        self._valid: dict[str, str] = {}
        self._count = 0
        for name in os.listdir(paths.run):
            if name.startswith("stamp-"):
                os.unlink(f"{paths.run}/{name}")

    def take(self, group: str) -> str:
        """Return the group's stamp, "" if it cannot have one. It stands in a file until something changes."""
        if not _GROUP.fullmatch(group):
            return ""
        if group not in self._valid:
            self._count += 1
            text = f"{self._identity} {self._count}"
            # Under its name only when whole: whoever reads must see all of it or nothing.
            temporary = f"{self._paths.run}/stamp.tmp"
            with open(temporary, "w", encoding="ascii") as file:
                file.write(text)
            os.rename(temporary, self._paths.stamp(group))
            self._valid[group] = text
        return self._valid[group]

    def spoil(self, spec: ContainerSpec) -> None:
        """Something about a container with this specification changes; without a group it may concern all."""
        if not self._valid:
            return
        group = dict(spec.labels).get(labels.PROJECT, "")
        if not group:
            self.spoil_all()
        elif self._valid.pop(group, None) is not None:
            self._remove(group)

    def spoil_all(self) -> None:
        """Something changes that any group may depend on."""
        for group in self._valid:
            self._remove(group)
        self._valid.clear()

    def _remove(self, group: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._paths.stamp(group))
