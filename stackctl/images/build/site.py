"""What a build has at hand, and what a stage is at some point of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from stackctl.errors import ImageError
from stackctl.images.build.base import BaseImage, Bases
from stackctl.images.build.history import Line
from stackctl.images.build.request import BuildRequest
from stackctl.images.build.running import CancelCheck, Output, Runner
from stackctl.images.build.stage_config import StageConfig
from stackctl.images.build.view import View, view_of
from stackctl.images.build.workshop import Workshop
from stackctl.images.dockerfile.expand import expand
from stackctl.images.index import LayerRow, StepRow
from stackctl.model.root import OverlayRoot, Root

_SEMANTICS: Final = 1
"""Part of every key of the cache: changes when the same instruction comes to something else."""

Args = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageState:
    """A stage so far. ``layers`` are all, the base image's among them; ``lines`` are its own of the history."""

    base: BaseImage
    config: StageConfig
    layers: tuple[LayerRow, ...]
    lines: tuple[Line, ...] = ()
    args: Args = ()
    author: str = ""
    escape: str = "\\"

    def with_config(self, config: StageConfig) -> StageState:
        """Return the stage with another configuration."""
        return replace(self, config=config)

    def noted(self, text: str) -> StageState:
        """Return the stage with a line of history that changed no file."""
        return replace(self, lines=(*self.lines, Line(text)))

    def after_step(self, text: str, row: StepRow) -> StageState:
        """Return the stage after a step that may have made a layer."""
        line = Line(text, row.created_ns, is_empty=not row.diff_id)
        layers = (*self.layers, LayerRow(row.diff_id, row.blob)) if row.diff_id else self.layers
        return replace(self, lines=(*self.lines, line), layers=layers)

    @property
    def arguments(self) -> dict[str, str]:
        """The build arguments that have a value here; a variable of the same name comes before one."""
        variables = self.config.variables
        return {key: variables.get(key, value) for key, value in self.args if value is not None}

    def expand(self, word: str) -> str:
        """Return a word with its variables replaced. Raises ImageError for what cannot be."""
        return expand(word, {**self.arguments, **self.config.variables}, escape=self.escape)

    @property
    def below(self) -> list[str]:
        """What the files are, for keys of the cache."""
        return [self.base.identity, *(layer.diff_id for layer in self.layers)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One build: what it was asked, and what it works with.

    ``stages`` holds the finished ones by number, and by name; ``output`` takes what commands write.
    """

    request: BuildRequest
    workshop: Workshop
    bases: Bases
    runner: Runner
    context: View
    output: Output
    cancelled: CancelCheck
    global_args: Mapping[str, str]
    stages: dict[str, StageState] = field(default_factory=dict)
    on_cached: Callable[[], None] = lambda: None

    def root_of(self, state: StageState) -> Root:
        """Return what a container on the stage starts from."""
        paths = [self.workshop.layer_path(layer.diff_id) for layer in state.layers]
        distinct = tuple(reversed(dict.fromkeys(reversed(paths))))
        if state.base.host is not None:
            return replace(state.base.host, layers=distinct)
        return OverlayRoot(distinct or (self.workshop.empty_layer,))

    def view(self, state: StageState) -> View:
        """Return the stage's files as they are."""
        return view_of(self.root_of(state))

    def source_state(self, name: str) -> StageState:
        """Return the stage or image that ``--from`` names. Raises ImageError, NotFound."""
        known = self.stages.get(name.lower())
        if known is not None:
            return known
        base = self.bases.find(name)
        return StageState(base=base, config=StageConfig(), layers=base.layers)

    def key(self, **facts: object) -> str:
        """Return the name under which a step with these facts is kept."""
        shape = {**facts, "semantics": _SEMANTICS, "platform": self.request.platform}
        text = json.dumps(shape, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def done_before(self, key: str) -> StepRow | None:
        """Return the step of that name, if it may be taken instead of doing it again."""
        if self.request.no_cache:
            return None
        row = self.workshop.find_step(key)
        if row is not None:
            self.on_cached()
        return row

    def check_cancelled(self) -> None:
        """Raise ImageError once nobody wants the build any more."""
        if self.cancelled():
            raise ImageError("cancelled", code="cancelled")
