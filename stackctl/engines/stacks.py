"""Stacks on an engine: from a request to a plan, and from a plan to what it did."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from stackctl import __version__
from stackctl.diagnostics import Diagnostic
from stackctl.engines.building import builds_for, contexts_of, wishes_of
from stackctl.engines.hosting import Contents, Emit, HostEngine, StackLocks
from stackctl.engines.resolving import resolve_images
from stackctl.engines.run_options import capability_names, run_argv, short_forms
from stackctl.engines.stack_locks import ThreadLocks
from stackctl.engines.step_errors import LastWords, diagnostics_of
from stackctl.errors import (
    ApplyError,
    EngineError,
    NotFound,
    StackctlError,
    StackFileError,
    UsageError,
)
from stackctl.images.chunks import Readable
from stackctl.model.container import ContainerSpec, ContentMount
from stackctl.model.registry import PullProgress
from stackctl.model.stack import Service, Stack, with_profiles
from stackctl.reconcile.action import CreateContainer, CreateNetwork
from stackctl.reconcile.apply import Outcome, Report, apply
from stackctl.reconcile.builds import build_plan, builds_of
from stackctl.reconcile.desired import Desired, desired, resource_names
from stackctl.reconcile.engine import ImageRequest, ResourceNames
from stackctl.reconcile.existing import plan_down, plan_kill, plan_restart, plan_start, plan_stop
from stackctl.reconcile.oneoff import RunOverrides, oneoff_spec
from stackctl.reconcile.plan import Plan, Step
from stackctl.reconcile.plan_json import plan_json
from stackctl.reconcile.plan_text import action_title, plan_summary
from stackctl.reconcile.policy import Policy
from stackctl.reconcile.up import plan_dependencies, plan_up
from stackctl.runtime.set_aside import HINT
from stackctl.stackfile.decode import decode
from stackctl.stackfile.document import document_from_wire
from stackctl.stackfile.support_tables import EngineKind
from stackctl.wire import codec
from stackctl.wire.error_json import error_to_json
from stackctl.wire.stack_request import RunRequest, StackRequest

_EXISTING: Final = {
    "down": plan_down,
    "start": plan_start,
    "stop": plan_stop,
    "restart": plan_restart,
    "kill": plan_kill,
}


class Stacks:
    """Plans and applies stacks; one change of a stack at a time."""

    def __init__(
        self,
        engine: HostEngine,
        contents: Contents,
        locks: StackLocks | None = None,
        kind: EngineKind = "built-in",
    ) -> None:
        self._engine = engine
        self._kind = kind
        self._contents = contents
        self._locks = locks or ThreadLocks()
        self._guard = threading.Lock()
        self._cancelled: dict[str, threading.Event] = {}

    def plan(self, project: str, request: StackRequest) -> tuple[Plan, tuple[Diagnostic, ...]]:
        """Return the plan for what is asked, and warnings about the stack file. Raises StackFileError, PlanError."""
        return self._plan(project, request, self._engine_for(request))

    def _plan(self, project: str, request: StackRequest, engine: HostEngine) -> tuple[Plan, tuple[Diagnostic, ...]]:
        if request.verb == "build":
            stack, found = stack_of(request, self._kind)
            return build_plan(stack.name, tuple(builds_for(engine, stack, request).values())), found
        if request.verb != "up":
            observed = self._engine.snapshot(project, ResourceNames())
            return _EXISTING[request.verb](observed, policy_of(request)), ()
        wanted, warnings = self._desired(request, engine)
        observed = self._engine.snapshot(wanted.stack.name, resource_names(wanted.stack))
        return plan_up(wanted, observed, policy_of(request), self._engine.traits()), warnings

    def builds(self, request: StackRequest) -> tuple[str, ...]:
        """Return the services whose images a request would build. Raises StackFileError, UsageError."""
        return tuple(builds_for(self._engine, stack_of(request, self._kind)[0], request))

    def add_context(self, stream: Readable) -> str:
        """Take the context of a build; return its name for the request that builds it. Raises ImageError."""
        return self._engine.builds.contexts.add(stream)

    def apply(self, project: str, request: StackRequest, emit: Emit) -> None:
        """Plan and perform, telling ``emit`` all that happens; the last event says how it ended. Never raises."""
        engine = self._engine_for(request, emit)
        with self._running(emit, request) as cancelled:
            with self._locks.locked(project, emit):
                # Order: the stamp before the look, so that whatever changes after it makes the stamp invalid.
                stamp = self._engine.stamp(project) if request.verb == "up" else ""
                plan, warnings = self._plan(project, request, engine)
                self._contents.store(request.contents)
                tell_plan(emit, plan, warnings)
                if request.verb == "up" and self._build(plan, engine, emit, cancelled):
                    stamp, plan = self._plan_rest(project, request, engine, plan, emit)
                teller = Teller(emit, self._engine.last_words)
                report = apply(plan, engine, teller, cancelled.is_set)
                self._drop_unused_contents()
                self._tell_notices(emit, plan)
                if request.verb == "up" and report.is_ok and not plan.is_empty:
                    stamp, plan = self._look_again(project, request, engine, plan)
            raise_failures(report, cancelled.is_set(), teller)
            emit({"event": "end", "ok": True, "error": None, **_unchanged(plan, stamp)})

    def _look_again(self, project: str, request: StackRequest, engine: HostEngine, done: Plan) -> tuple[str, Plan]:
        """Return a stamp and what the same request would do while it holds; "" when that cannot be told."""
        stamp = self._engine.stamp(project)
        try:
            # What registries have now is the next command's affair.
            return stamp, self._plan(project, request._replace(pull="never", build=""), engine)[0]
        except StackctlError:  # what was asked is done, whatever else there is now
            return "", done

    def _build(self, plan: Plan, engine: HostEngine, emit: Emit, cancelled: threading.Event) -> bool:
        """Perform the builds of a plan, and nothing else of it; return whether there were any. Raises ApplyError."""
        builds = builds_of(plan)
        if builds is None:
            return False
        teller = Teller(emit, self._engine.last_words)
        raise_failures(apply(builds, engine, teller, cancelled.is_set), cancelled.is_set(), teller)
        return True

    def _plan_rest(
        self, project: str, request: StackRequest, engine: HostEngine, shown: Plan, emit: Emit
    ) -> tuple[str, Plan]:
        """Plan again, now that the images are there, and tell what has come to be otherwise than shown."""
        stamp = self._engine.stamp(project)
        plan, _ = self._plan(project, request._replace(build="never"), engine)
        is_as_shown = _outline(plan) == _outline(shown)
        emit({"event": "plan", "plan": plan_json(plan), "text": "" if is_as_shown else plan_summary(plan)})
        return stamp, plan

    def run(self, project: str, wanted_run: RunRequest, emit: Emit) -> None:
        """Bring a service's dependencies up and create a one-off of it; the last event names it. Never raises."""
        request, service = wanted_run.stack, wanted_run.service
        engine = self._engine_for(request, emit)
        with self._running(emit, request) as cancelled:
            request = request._replace(services=(service,))
            wanted, warnings = self._desired(request, engine)
            needed = _service(wanted.stack, service)
            self._contents.store(request.contents)
            with self._locks.locked(project, emit):
                plan = self._plan_dependencies(wanted, needed, request)
                tell_plan(emit, plan, warnings)
                if self._build(plan, engine, emit, cancelled):
                    wanted, _ = self._desired(request._replace(build="never"), engine)
                    plan = self._plan_dependencies(wanted, needed, request)
                    emit({"event": "plan", "plan": plan_json(plan), "text": ""})
                teller = Teller(emit, self._engine.last_words)
                raise_failures(apply(plan, engine, teller, cancelled.is_set), cancelled.is_set(), teller)
                created = self._engine.create(self._oneoff(wanted, wanted_run))
            emit({"event": "end", "ok": True, "error": None, "container": created})

    def _tell_notices(self, emit: Emit, plan: Plan) -> None:
        """Say what the host's owner should know: of its network, when a plan has made one, and of files kept."""
        for notice in self._engine.set_aside():
            summary, hint = "A container was lost", HINT
            lost = Diagnostic(severity="warning", code="kept-files", summary=summary, detail=notice, hint=hint)
            emit({"event": "warning", "diagnostic": codec.encode(lost)})
        if any(isinstance(step.action, CreateNetwork) for step in plan.steps):
            for notice in self._engine.notices():
                warning = Diagnostic(severity="warning", code="host", summary="About this machine", detail=notice)
                emit({"event": "warning", "diagnostic": codec.encode(warning)})

        if any(isinstance(s.action, CreateContainer) and s.action.spec.restart.kind != "no" for s in plan.steps):
            for notice in self._engine.boot_notices():
                hint = "`sudo stackctl engine install` has it start at boot; STACKCTL_BOOT_NOTICE=0 silences this"
                note = Diagnostic(severity="note", code="boot", summary=notice, hint=hint)
                emit({"event": "warning", "diagnostic": codec.encode(note)})

    def cancel(self, apply_id: str) -> None:
        """Start no further step of an apply under way. Raises NotFound."""
        event = self._cancelled.get(apply_id)
        if event is None:
            raise NotFound(f"no such apply: {apply_id}")
        event.set()

    def _oneoff(self, wanted: Desired, run: RunRequest) -> ContainerSpec:
        base = next(c.spec for key, c in wanted.containers.items() if key.name == run.service)
        service = wanted.stack.services[run.service]
        image = self._engine.resolve((ImageRequest(service.image, service.platform, "never"),))
        config = next(iter(image.values())).config
        ports, mounts = short_forms(wanted.stack, run.publish, run.volumes)
        overrides = RunOverrides(
            command=run_argv(run, service, config),
            environment=run.environment,
            user=run.user,
            working_dir=run.workdir,
            name=run.name,
            tty=run.tty,
            stdin_open=run.stdin,
            service_ports=run.service_ports,
            ports=ports,
            mounts=mounts,
            labels=tuple((text.partition("=")[0], text.partition("=")[2]) for text in run.labels),
            use_aliases=run.use_aliases,
            cap_add=capability_names(run.cap_add),
            cap_drop=capability_names(run.cap_drop),
        )
        return oneoff_spec(base, wanted.stack.name, run.service, overrides, os.urandom(6).hex())

    def _plan_dependencies(self, wanted: Desired, service: Service, request: StackRequest) -> Plan:
        observed = self._engine.snapshot(wanted.stack.name, resource_names(wanted.stack))
        return plan_dependencies(wanted, observed, service.name, policy_of(request), self._engine.traits())

    def _engine_for(self, request: StackRequest, emit: Emit = lambda _: None) -> HostEngine:
        """Return the engine as the caller may use it: with the caller's logins to registries."""
        return self._engine.for_caller(
            request.credentials,
            lambda image, moment: emit(_pull_json(image, moment)),
            wishes_of(request, emit),
            lambda text: emit({"event": "waiting", "detail": text}),
        )

    def _desired(self, request: StackRequest, engine: HostEngine) -> tuple[Desired, tuple[Diagnostic, ...]]:
        stack, diagnostics = stack_of(request, self._kind)
        if found := engine.misfits(stack):
            raise _refused((*diagnostics, *found))
        stack = _with_profiles(scaled(stack, request.scale), request)
        builds = builds_for(engine, stack, request)
        images = resolve_images(engine, stack, request, builds)
        fingerprints = self._contents.fingerprints(request.contents)
        return desired(stack, images, fingerprints, version=__version__, builds=builds), diagnostics

    @contextmanager
    def _running(self, emit: Emit, request: StackRequest) -> Iterator[threading.Event]:
        """Give the apply an id, and turn what goes wrong into its last event."""
        apply_id, cancelled = os.urandom(8).hex(), threading.Event()
        self._cancelled[apply_id] = cancelled
        emit({"event": "apply", "id": apply_id})
        try:
            yield cancelled
        except Exception as error:  # an edge: the stream is the only way to tell
            emit({"event": "end", "ok": False, "error": failure_json(error)})
        finally:
            del self._cancelled[apply_id]
            self._engine.builds.contexts.drop(contexts_of(request))

    def _drop_unused_contents(self) -> None:
        with self._guard:
            if len(self._cancelled) > 1:  # another apply may have stored what no container has yet
                return
            used = {
                mount.fingerprint
                for container in self._engine.containers()
                if container.spec is not None
                for mount in container.spec.mounts
                if isinstance(mount, ContentMount)
            }
            self._contents.keep_only(used)


class Teller:
    """Turns the course of an apply into events.

    What is to be said of a failure is gathered at once: what comes after it may remove the container and its log.
    """

    def __init__(self, emit: Emit, last_words: LastWords) -> None:
        self._emit = emit
        self._last_words = last_words
        self.problems: dict[int, tuple[Diagnostic, ...]] = {}

    def step_started(self, step: Step) -> None:
        self._emit({**_step_json(step), "state": "started"})

    def step_finished(self, outcome: Outcome) -> None:
        event = {**_step_json(outcome.step), "state": outcome.state, "ms": round(outcome.ms, 1)}
        event["detail"] = str(outcome.error) if outcome.error else outcome.detail
        if outcome.state == "failed":
            self.problems[outcome.step.number] = diagnostics_of(outcome, self._last_words)
        if outcome.because_of:
            event["because_of"] = outcome.because_of
        self._emit(event)


def _step_json(step: Step) -> dict[str, Any]:
    return {
        "event": "step",
        "n": step.number,
        "action": type(step.action).__name__,
        "title": action_title(step.action),
        "because": step.because,
    }


def _pull_json(image: str, moment: PullProgress) -> dict[str, Any]:
    counts = {"current": moment.current, "total": moment.total}
    return {"event": "pull", "image": image, "id": moment.id, "status": moment.status, "progressDetail": counts}


def tell_plan(emit: Emit, plan: Plan, warnings: tuple[Diagnostic, ...]) -> None:
    """Emit the warnings, then the plan."""
    for warning in (*warnings, *plan.warnings):
        emit({"event": "warning", "diagnostic": codec.encode(warning)})
    emit({"event": "plan", "plan": plan_json(plan), "text": plan_summary(plan)})


def _unchanged(plan: Plan, stamp: str) -> dict[str, Any]:
    """Say that the same request would change nothing as long as the stamp holds, if so."""
    if not stamp or not plan.is_empty:
        return {}
    return {"stamp": stamp, "unchanged": {"event": "plan", "plan": plan_json(plan), "text": plan_summary(plan)}}


def _outline(plan: Plan) -> list[tuple[str, str]]:
    """Return what becomes of each resource, whatever the reason."""
    return sorted((change.name, change.kind) for change in plan.changes)


def raise_failures(report: Report, was_cancelled: bool, teller: Teller) -> None:
    """Raise what an apply failed with: ApplyError, with all that was said of its steps."""
    if report.failures:
        first = report.failures[0]
        diagnostics = tuple(found for outcome in report.failures for found in teller.problems[outcome.step.number])
        code = first.error.code if first.error is not None else None
        hint = first.error.hint if first.error is not None else ""
        raise ApplyError(str(first.error), code=code, hint=hint, diagnostics=diagnostics)
    if was_cancelled and not report.is_ok:
        raise ApplyError("cancelled", code="cancelled")


def stack_of(request: StackRequest, kind: EngineKind) -> tuple[Stack, tuple[Diagnostic, ...]]:
    """Return the stack that was sent, and the warnings about it. Raises UsageError, StackFileError."""
    if request.document is None:
        raise UsageError("a stack file is needed for this")
    stack, diagnostics = decode(document_from_wire(request.document), kind)
    if stack is None:
        raise _refused(diagnostics)
    return stack, diagnostics


def _with_profiles(stack: Stack, request: StackRequest) -> Stack:
    try:
        return with_profiles(stack, request.contents)
    except KeyError as error:
        raise UsageError(f"{error.args[0]} was not sent along", code="protocol") from error


def _refused(diagnostics: tuple[Diagnostic, ...]) -> StackFileError:
    errors = sum(1 for diagnostic in diagnostics if diagnostic.severity == "error")
    return StackFileError(f"the stack file has {errors} error{'s' * (errors != 1)}", diagnostics=diagnostics)


def _service(stack: Stack, name: str) -> Service:
    service = stack.services.get(name)
    if service is None:
        raise UsageError(f"no such service: {name}", code="no-such-service")
    return service


def scaled(stack: Stack, scale: Mapping[str, int]) -> Stack:
    """Return the stack with other numbers of replicas, by service. Raises UsageError for an unknown one."""
    services = dict(stack.services)
    for name, count in scale.items():
        service = _service(stack, name)
        if service.container_name and count > 1:
            raise UsageError(f"service {name} has a container_name and cannot have {count} replicas")
        services[name] = replace(service, replicas=count)
    return replace(stack, services=services) if scale else stack


def failure_json(error: Exception) -> dict[str, Any]:
    """Return an error as the last event of a stream has it."""
    if isinstance(error, StackctlError):
        return error_to_json(error)
    if isinstance(error, OSError) and error.strerror:
        subject = f": {error.filename}" if error.filename else ""
        return error_to_json(EngineError(f"{error.strerror}{subject}", code="system"))
    return error_to_json(EngineError(f"internal error: {type(error).__name__}: {error}", code="internal"))


def policy_of(request: StackRequest) -> Policy:
    """Return the part of a request that the planner needs."""
    return Policy(
        services=request.services,
        no_deps=request.no_deps,
        recreate_deps=request.recreate_deps,
        recreate=request.recreate,
        remove_orphans=request.remove_orphans,
        remove_volumes=request.remove_volumes,
        no_start=request.no_start,
        wait=request.wait,
        wait_timeout_s=request.wait_timeout_s,
        grace_s=request.timeout_s,
        signal=request.signal,
    )
