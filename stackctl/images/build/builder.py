"""Building an image: the stages that are needed, in their order, and what they come to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Final, Literal, NamedTuple

from stackctl.diagnostics import Diagnostic, SourceRange
from stackctl.errors import ImageError, StackctlError
from stackctl.images.build.base import SCRATCH, BaseImage, Bases
from stackctl.images.build.request import BuildRequest, OutputEvent, StepEvent, Tell
from stackctl.images.build.result import document
from stackctl.images.build.running import CancelCheck, Runner
from stackctl.images.build.site import Site, StageState
from stackctl.images.build.stage import perform
from stackctl.images.build.stage_config import StageConfig, config_from_base
from stackctl.images.build.view import View
from stackctl.images.build.workshop import Workshop
from stackctl.images.dockerfile import mounts
from stackctl.images.dockerfile.expand import expand
from stackctl.images.dockerfile.faults import DockerfileError
from stackctl.images.dockerfile.instruction import Copy, Dockerfile, Instruction, Run, Stage
from stackctl.images.dockerfile.parse import parse, parse_triggers
from stackctl.images.index import LayerRow
from stackctl.images.platform import distance, host_platform, parse_platform

_SCRATCH: Final = "scratch"
_LAST_LINES: Final = 10
_LONGEST_LINE: Final = 300


class Finished(NamedTuple):
    """An image that is built and not yet in the store."""

    document: bytes
    layers: tuple[LayerRow, ...]
    bases: Mapping[str, str]


class Hands(NamedTuple):
    """Who does for a build what it cannot do itself."""

    bases: Bases
    runner: Runner
    tell: Tell
    cancelled: CancelCheck


def build(request: BuildRequest, context: str, workshop: Workshop, hands: Hands) -> Finished:
    """Build what the request says out of the folder ``context``.

    Raises ImageError, its diagnostics naming the line of the Dockerfile; EngineError; OSError.
    """
    dockerfile = parse(request.dockerfile, request.path)
    return _Build(request, dockerfile, context, workshop, hands).finish()


class _Build:
    def __init__(
        self, request: BuildRequest, dockerfile: Dockerfile, context: str, workshop: Workshop, hands: Hands
    ) -> None:
        self._dockerfile = dockerfile
        self._request = request
        self._hands = hands
        self._workshop = workshop
        self._bases: dict[str, str] = {}
        self._number = 0
        self._was_cached = False
        self._tail: deque[bytes] = deque(maxlen=_LAST_LINES + 1)
        self._site = Site(
            request=request,
            workshop=workshop,
            bases=hands.bases,
            runner=hands.runner,
            context=View((context,)),
            output=self._take_output,
            cancelled=hands.cancelled,
            global_args={},
            on_cached=self._note_cached,
        )

    def finish(self) -> Finished:
        target = self._target()
        self._check_platform(self._request.platform, target.base.line)
        platforms = _platform_args(target)
        self._site = replace(self._site, global_args={**platforms, **self._global_args(platforms)})
        needed = self._needed(target)
        for stage in self._dockerfile.stages:
            if stage.index in needed:
                state = self._stage(stage)
                self._site.stages[str(stage.index)] = state
                if stage.name:
                    self._site.stages[stage.name] = state
        state = self._site.stages[str(target.index)]
        labels = tuple({**dict(state.config.labels), **self._request.labels}.items())
        state = state.with_config(replace(state.config, labels=labels))
        return Finished(document(self._site, state), state.layers, self._bases)

    # -- which stages ---------------------------------------------------------------------------------

    def _target(self) -> Stage:
        if not self._request.target:
            return self._dockerfile.stages[-1]
        found = self._dockerfile.stage(self._request.target)
        if found is None:
            names = ", ".join(stage.name for stage in self._dockerfile.stages if stage.name)
            hint = f"its stages are {names}" if names else ""
            raise ImageError(
                f"{self._request.path} has no stage {self._request.target!r}", code="build-target", hint=hint
            )
        return found

    def _global_args(self, platforms: Mapping[str, str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for step in self._dockerfile.global_args:
            for key, default in step.pairs:
                value = self._request.args.get(key)
                if value is None and default is not None:
                    value = expand(default, {**platforms, **found}, escape=self._dockerfile.escape)
                if value is not None:
                    found[key] = value
        return found

    def _needed(self, target: Stage) -> set[int]:
        """Return the numbers of the stages that the target is made from, itself among them."""
        needed: set[int] = set()
        todo = [target]
        while todo:
            stage = todo.pop()
            if stage.index in needed:
                continue
            needed.add(stage.index)
            names = [self._base_name(stage), *(name for step in stage.instructions for name in _sources_of(step))]
            for name in names:
                found = self._earlier(stage, name)
                todo += [found] if found is not None else []
        return needed

    def _earlier(self, stage: Stage, name: str) -> Stage | None:
        """Return the stage that a name means in ``stage``: one before it."""
        before = replace(self._dockerfile, stages=self._dockerfile.stages[: stage.index])
        return before.stage(expand(name, self._site.global_args, escape=self._dockerfile.escape))

    def _base_name(self, stage: Stage) -> str:
        return expand(stage.base.image, self._site.global_args, escape=self._dockerfile.escape)

    # -- one stage ------------------------------------------------------------------------------------

    def _stage(self, stage: Stage) -> StageState:
        name = self._base_name(stage)
        platform = expand(stage.base.platform, self._site.global_args, escape=self._dockerfile.escape)
        self._check_platform(platform, stage.base.line)
        title = stage.name or (f"stage-{stage.index}" if len(self._dockerfile.stages) > 1 else "")
        parent = self._earlier(stage, name)
        if parent is not None:
            state = replace(self._site.stages[str(parent.index)], escape=self._dockerfile.escape)
            state = state.with_config(replace(state.config, sets_cmd=False))
        else:
            with self._located(stage.base):
                state = self._from_image(name)
        triggers = parse_triggers(state.config.triggers, stage.base.line, escape=self._dockerfile.escape)
        state = state.with_config(replace(state.config, triggers=()))
        steps = (*triggers, *stage.instructions)
        for at, step in enumerate(steps, 1):
            self._site.check_cancelled()
            state = self._step(state, step, f"[{title}{' ' * bool(title)}{at}/{len(steps)}] {step.original}")
        return state

    def _from_image(self, name: str) -> StageState:
        if name == _SCRATCH:
            return self._state(SCRATCH, StageConfig(working_dir="/"))
        if not name:
            raise ImageError("FROM names no image: its variables are empty", code="build-value")
        base = self._hands.bases.find(name)
        self._bases[name] = base.id
        return self._state(base, config_from_base(base.config))

    def _state(self, base: BaseImage, config: StageConfig) -> StageState:
        return StageState(base=base, config=config, layers=base.layers, escape=self._dockerfile.escape)

    def _step(self, state: StageState, step: Instruction, text: str) -> StageState:
        self._number += 1
        self._was_cached = False
        self._tail.clear()
        self._tell(text, "started")
        with self._located(step, on_failure=lambda: self._tell(text, "failed")):
            state = perform(self._site, state, step)
        self._tell(text, "cached" if self._was_cached else "done")
        return state

    def _tell(self, text: str, state: Literal["started", "cached", "done", "failed"]) -> None:
        self._hands.tell(StepEvent(self._number, text, state))

    def _note_cached(self) -> None:
        self._was_cached = True

    def _take_output(self, data: bytes) -> None:
        lines = (self._tail.pop() if self._tail else b"") + data
        self._tail.extend(lines.split(b"\n"))
        self._hands.tell(OutputEvent(self._number, data))

    def _check_platform(self, text: str, line: SourceRange) -> None:
        if text and distance(parse_platform(text), host_platform()) is None:
            raise ImageError(
                f"cannot build for {text}: this machine runs {host_platform()}",
                code="build-unsupported",
                diagnostics=(_diagnostic("build-unsupported", f"This machine does not run {text}.", line),),
            )

    @contextmanager
    def _located(self, step: Instruction, on_failure: Callable[[], object] = lambda: None) -> Iterator[None]:
        """Let a failure say which line it is of, and what its command wrote last."""
        try:
            yield
        except DockerfileError:
            on_failure()
            raise
        except StackctlError as error:
            if error.code == "cancelled":
                raise
            on_failure()
            raise self._failure(step, error.message, code=error.code, hint=error.hint) from error
        except OSError as error:
            on_failure()
            subject = f": {error.filename}" if error.filename else ""
            raise self._failure(step, f"{error.strerror}{subject}", code="build-io") from error

    def _failure(self, step: Instruction, message: str, *, code: str, hint: str = "") -> ImageError:
        lines = [line.decode("utf-8", "replace").rstrip("\r") for line in self._tail]
        shown = [_printable(line)[:_LONGEST_LINE] for line in lines if line.strip()][-_LAST_LINES:]
        where = step.line
        detail = f"{where}: {message}"
        if shown:
            detail += "\nIt wrote last:\n" + "\n".join(f"  {line}" for line in shown)
        return ImageError(
            f"{where}: {message}", code=code, hint=hint, diagnostics=(_diagnostic(code, detail, where, hint),)
        )


def _sources_of(step: Instruction) -> list[str]:
    if isinstance(step, Copy):
        return [step.source_stage] if step.source_stage else []
    if isinstance(step, Run):
        return [name for text in step.mounts if (name := _source_of_mount(text))]
    return []


def _source_of_mount(text: str) -> str:
    try:
        mount = mounts.read_mount(text)
    except mounts.BadMount:
        return ""
    return mount.source_stage if isinstance(mount, mounts.BindMount | mounts.CacheMount) else ""


def _platform_args(target: Stage) -> dict[str, str]:
    own = host_platform()
    found = {"TARGETSTAGE": target.name or "default"}
    for prefix in ("TARGET", "BUILD"):
        found |= {
            f"{prefix}PLATFORM": str(own),
            f"{prefix}OS": own.os,
            f"{prefix}ARCH": own.architecture,
            f"{prefix}VARIANT": own.variant,
        }
    return found


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line.expandtabs())


def _diagnostic(code: str, detail: str, where: SourceRange, hint: str = "") -> Diagnostic:
    return Diagnostic(
        severity="error", code=code, summary="A step of the build failed", detail=detail, hint=hint, sources=(where,)
    )
