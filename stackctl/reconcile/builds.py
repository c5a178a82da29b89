"""Which images have to be built, and why. Pure.

An image is known by what it was built from: the Dockerfile, the files of the context, arguments, options, and the
images it began with. Where one of them is another now, it is built anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from types import MappingProxyType
from typing import Final, Literal, Protocol

from stackctl.model.build import BuildInputs, BuildSpec
from stackctl.model.stack import Stack
from stackctl.reconcile.action import BuildImage
from stackctl.reconcile.desired import PlannedBuild
from stackctl.reconcile.plan import Plan, PlanBuilder

BuildMode = Literal["", "always", "never"]
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_NAMED: Final = 3
_OPTIONS: Final = ("target", "labels", "network", "shm_size_bytes", "extra_hosts", "secrets", "tags")
_TITLES: Final = {"shm_size_bytes": "shm_size"}


class KnownImages(Protocol):
    """What is known of images without asking anybody."""

    def image_id(self, reference: str) -> str:
        """Return the id that a name leads to, "" when the engine has no such image."""
        ...

    def build_inputs(self, reference: str) -> str:
        """Return what the image of a name was built from, "" when it was not built here."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildChoice:
    """Which services are meant, and what a command line adds for this once.

    ``mode`` ``always`` builds though nothing has changed, ``never`` not though it has. ``inputs`` are by service.
    """

    services: frozenset[str]
    inputs: Mapping[str, BuildInputs]
    mode: BuildMode = ""
    no_cache: bool = False
    pull: bool = False
    args: Mapping[str, str] = field(default_factory=lambda: _NOTHING)

    def changed(self, spec: BuildSpec) -> BuildSpec:
        """Return what is to be built now."""
        args = tuple({**dict(spec.args), **self.args}.items())
        return replace(spec, args=args, no_cache=spec.no_cache or self.no_cache, pull=spec.pull or self.pull)


def inputs_text(spec: BuildSpec, inputs: BuildInputs, bases: Mapping[str, str]) -> str:
    """Return what an image is built from, to be kept with it. ``bases`` are image ids by name.

    Arguments are there by their digests: they are no place for secrets, and still hold them.
    """
    shape = {
        "dockerfile": _digest(inputs.dockerfile),
        "files": dict(inputs.files),
        "args": {key: _digest(value) for key, value in spec.args},
        "options": {name: _plain(getattr(spec, name)) for name in _OPTIONS},
        "bases": dict(bases),
    }
    return json.dumps(shape, sort_keys=True, separators=(",", ":"))


def input_changes(kept: str, spec: BuildSpec, inputs: BuildInputs, base_id: Callable[[str], str]) -> list[str]:
    """Say what has changed since an image was built from what was ``kept``; [] when nothing has.

    ``base_id`` returns the id that a base image's name leads to now, "" when it is not here.
    """
    before = json.loads(kept)
    after = json.loads(inputs_text(spec, inputs, {}))
    found = []
    if before["dockerfile"] != after["dockerfile"]:
        found.append(f"{inputs.path} changed")
    found += _listed("context", _differing(before["files"], after["files"]))
    found += [f"arg {name}" for name in _differing(before["args"], after["args"])]
    options = [name for name in sorted(_OPTIONS) if before["options"].get(name) != after["options"][name]]
    found += [f"{_TITLES.get(name, name)} changed" for name in options]
    moved = [name for name, known in sorted(before["bases"].items()) if base_id(name) not in ("", known)]
    return found + [f"base image {name} changed" for name in moved]


def _differing(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    changed = sorted(name for name in after if name in before and before[name] != after[name])
    added = sorted(name for name in after if name not in before)
    removed = sorted(name for name in before if name not in after)
    marked = [f"{name} changed" for name in changed] + [f"{name} added" for name in added]
    return marked + [f"{name} removed" for name in removed]


def _listed(title: str, names: Sequence[str]) -> list[str]:
    more = len(names) - _NAMED
    shown = [f"{title}: {name}" for name in names[:_NAMED]]
    return [*shown, f"{title}: {more} more"] if more > 0 else shown


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _plain(value: object) -> object:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def plan_builds(stack: Stack, known: KnownImages, wishes: BuildChoice) -> dict[str, PlannedBuild]:
    """Return which services' images have to be built, of those that ``wishes`` is about, and why."""
    found = {}
    for name in sorted(wishes.services):
        written = stack.services[name].build
        if written is None or wishes.mode == "never":
            continue
        reasons = ["asked for"]
        if wishes.mode != "always":
            reasons = _reasons(stack.services[name].image, written, wishes.inputs.get(name), known)
        if reasons:
            action = BuildImage(stack.services[name].image, name, wishes.changed(written), written)
            found[name] = PlannedBuild(action, "; ".join(reasons), stack.where("services", name, "build"))
    return found


def _reasons(reference: str, written: BuildSpec, inputs: BuildInputs | None, known: KnownImages) -> list[str]:
    if not known.image_id(reference):
        return ["is not here"]
    kept = known.build_inputs(reference)
    # Somebody brought the image in under that name, or the client cannot tell what the user's folders hold.
    if not kept or inputs is None:
        return []
    return input_changes(kept, written, inputs, known.image_id)


def builds_of(plan: Plan) -> Plan | None:
    """Return the part of a plan that comes first: its builds. None when it has none.

    What a container is made of decides what it is: the rest is planned anew once the images are there.
    """
    steps = [step for step in plan.steps if isinstance(step.action, BuildImage)]
    if not steps:
        return None
    own = tuple(replace(step, number=at, after=(), soft_after=()) for at, step in enumerate(steps, 1))
    return replace(plan, steps=own, changes=(), warnings=())


def build_plan(stack: str, builds: Sequence[PlannedBuild]) -> Plan:
    """Return a plan of builds alone."""
    steps = PlanBuilder()
    for build in builds:
        steps.add(build.action, because=build.because, source=build.source)
    return Plan(stack=stack, steps=steps.steps())
