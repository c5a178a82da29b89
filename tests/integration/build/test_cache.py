"""The cache of steps: what hits and what misses, and that only what is the same is taken."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.support.builds import Builds

DOCKERFILE = """FROM busybox
ARG X
COPY a d /x/
RUN echo made >/made
"""
Change = Callable[[Builds], object]


def _edited(text: str, replacement: str) -> str:
    assert text in DOCKERFILE
    return DOCKERFILE.replace(text, replacement)


def _nothing(builds: Builds) -> None:
    del builds


CASES: Mapping[str, tuple[Change, str, Mapping[str, Any], str]] = {
    # what changes: (in the context, the Dockerfile, options, how COPY and RUN end)
    "times": (lambda b: os.utime(b.context / "a", (1, 1)), DOCKERFILE, {}, "cached cached"),
    "owners": (lambda b: os.chown(b.context / "a", 12, 34), DOCKERFILE, {}, "cached cached"),
    "an unrelated file": (lambda b: b.write("other"), DOCKERFILE, {}, "cached cached"),
    "a comment": (_nothing, "# said\n" + DOCKERFILE, {}, "cached cached"),
    "blanks of COPY": (_nothing, _edited("COPY a d", "COPY  a   d"), {}, "cached cached"),
    "a path's form": (_nothing, _edited("COPY a d", "COPY ./a d/"), {}, "cached cached"),
    "the folder's mode": (lambda b: (b.context / "d").chmod(0o700), DOCKERFILE, {}, "cached cached"),
    "a file's mode": (lambda b: (b.context / "a").chmod(0o600), DOCKERFILE, {}, "done done"),
    "content": (lambda b: b.write("a", "other"), DOCKERFILE, {}, "done done"),
    "a name inside": (lambda b: (b.context / "d/in").rename(b.context / "d/out"), DOCKERFILE, {}, "done done"),
    "blanks of RUN": (_nothing, _edited("echo made", "echo  made"), {}, "cached done"),
    "a label before": (_nothing, _edited("COPY", "LABEL l=1\nCMD x\nWORKDIR /\nCOPY"), {}, "cached cached"),
    "a variable before": (_nothing, _edited("COPY", "ENV V=1\nCOPY"), {}, "cached done"),
    "an argument": (_nothing, DOCKERFILE, {"args": {"X": "1"}}, "cached done"),
    "an argument that is not declared": (_nothing, DOCKERFILE, {"args": {"Y": "1"}}, "cached cached"),
    "a proxy": (_nothing, DOCKERFILE, {"args": {"HTTP_PROXY": "http://proxy"}}, "cached cached"),
    "a label of the build": (_nothing, DOCKERFILE, {"labels": {"l": "1"}}, "cached cached"),
    "a host of the build": (_nothing, DOCKERFILE, {"extra_hosts": (("h", "10.0.0.1"),)}, "cached done"),
    "no cache": (_nothing, DOCKERFILE, {"no_cache": True}, "done done"),
}


@pytest.mark.parametrize("what", CASES)
def test_what_has_changed_decides_what_is_done_again(builds: Builds, what: str) -> None:
    change, dockerfile, options, expected = CASES[what]
    builds.write("a", "a")
    builds.write("d/in", "in")
    builds.build(DOCKERFILE)
    change(builds)
    image = builds.build(dockerfile, **options)
    ends = {step.split()[1]: step.split()[0] for step in image.steps}
    assert f"{ends['COPY']} {ends['RUN']}" == expected


def test_the_same_inputs_come_to_the_same_image(builds: Builds) -> None:
    builds.write("a", "one")
    text = "COPY a /a\nRUN cat /a >/b\nLABEL x=y"
    assert builds.build(text).id == builds.build(text).id
    assert builds.build(text).id != builds.build(text, no_cache=True).id


def test_a_stage_that_came_out_the_same_is_the_same_to_who_copies_from_it(builds: Builds) -> None:
    def built(command: str) -> list[str]:
        return builds.build(f"FROM busybox AS made\nRUN {command}\nFROM busybox\nCOPY --from=made /out /out").steps

    built("echo same >/out")
    assert built("echo same >/out; true")[-1].startswith("cached COPY")
    assert built("echo other >/out")[-1].startswith("done COPY")


def test_layers_of_steps_are_kept_until_they_are_forgotten(builds: Builds) -> None:
    builds.build("RUN echo kept >/kept", names=("goes",))
    builds.store.remove("goes")
    assert builds.build("RUN echo kept >/kept").states == ["cached"]
    assert builds.store.builds.prune() > 0
    assert builds.build("RUN echo kept >/kept").states == ["done"]
