"""COPY, ADD and WORKDIR: files into a new layer, without running anything.

Source: Dockerfile reference, "COPY", "ADD" and "WORKDIR".
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Final, NamedTuple

from stackctl.errors import ImageError
from stackctl.images.build.copying import Copier, CopyRules, Text, check_mode, copy_facts
from stackctl.images.build.site import Site, StageState
from stackctl.images.build.sources import IsLeftOut, Source, find_sources
from stackctl.images.build.unpacking import is_archive, unpack
from stackctl.images.build.users import chown_owner, process_owner
from stackctl.images.build.view import View
from stackctl.images.build.writing import LayerWriter, Owner
from stackctl.images.dockerfile.expand import expand_text
from stackctl.images.dockerfile.ignore import Ignore
from stackctl.images.dockerfile.instruction import Add, Copy, Heredoc

_REMOTE: Final = ("http://", "https://", "git://", "ssh://", "git@")


class _Plan(NamedTuple):
    """What is copied where, and how; ``archives`` are unpacked instead."""

    view: View
    sources: tuple[Source, ...]
    texts: tuple[Text, ...]
    archives: tuple[Source, ...]
    destination: str
    rules: CopyRules


def copy_files(site: Site, state: StageState, step: Copy) -> StageState:
    """Return the stage after a COPY. Raises ImageError; OSError."""
    if step.parents:
        raise ImageError("COPY --parents is not supported yet", code="build-unsupported")
    source_name = state.expand(step.source_stage)
    view = site.view(site.source_state(source_name)) if source_name else site.context
    rules = _rules(site, state, step, is_from_image=bool(source_name))
    plan = _plan(state, step, view, rules)
    return _perform(site, state, plan, _text("COPY", state, step))


def add_files(site: Site, state: StageState, step: Add) -> StageState:
    """Return the stage after an ADD: archives of the context are unpacked. Raises ImageError; OSError."""
    remote = [source for source in step.sources if state.expand(source).startswith(_REMOTE)]
    if remote:
        raise ImageError(
            f"ADD of {remote[0]} is not supported yet: nothing is fetched",
            code="build-unsupported",
            hint="RUN a command that fetches it, or put the file into the context",
        )
    if step.checksum:
        raise ImageError("ADD --checksum is not supported yet", code="build-unsupported")
    plan = _plan(state, step, site.context, _rules(site, state, step, is_from_image=False))
    if step.unpack is not False:
        archives = tuple(source for source in plan.sources if is_archive(source.found))
        plan = plan._replace(archives=archives, sources=tuple(one for one in plan.sources if one not in archives))
    return _perform(site, state, plan, _text("ADD", state, step))


def make_working_dir(site: Site, state: StageState, path: str, text: str) -> StageState:
    """Return the stage with the folder ``path``, those that were missing its user's. Raises ImageError; OSError."""
    stage = site.view(state)
    target = stage.resolve(path)
    there = stage.find(target)
    if there is not None:
        if not there.is_folder:
            raise ImageError(f"the working directory {path} is no directory", code="build-value")
        return state.noted(text)
    owner = process_owner(stage, state.config.user)
    key = site.key(op="folder", below=state.below, path=target, owner=owner)
    row = site.done_before(key)
    if row is None:
        upper = site.workshop.new_folder("upper")
        writer = LayerWriter(upper, stage, now_ns=site.workshop.now_ns())
        try:
            writer.make_folder(target, owner)
            writer.finish()
        finally:
            writer.close()
        row = site.workshop.keep_step(key, upper)
    return state.after_step(text, row)


def _rules(site: Site, state: StageState, step: Copy | Add, *, is_from_image: bool) -> CopyRules:
    chown, chmod = state.expand(step.chown), state.expand(step.chmod)
    check_mode(chmod)
    owner: Owner | None = None if is_from_image else Owner(0, 0)
    if chown:
        owner = chown_owner(site.view(state), chown)
    excludes = [state.expand(pattern) for pattern in step.excludes]
    return CopyRules(owner=owner, mode=chmod, with_attributes=is_from_image, is_left_out=_leaving_out(excludes))


def _leaving_out(excludes: Sequence[str]) -> IsLeftOut:
    if not excludes:
        return lambda _: False
    return Ignore.parse("\n".join(excludes)).excludes


def _plan(state: StageState, step: Copy | Add, view: View, rules: CopyRules) -> _Plan:
    sources = [
        found
        for source in step.sources
        for found in find_sources(view, state.expand(source))
        if found.found.is_folder or not rules.is_left_out(found.name)
    ]
    texts = tuple(_heredoc(state, heredoc) for heredoc in step.heredocs)
    destination = state.expand(step.destination)
    is_folder = destination.endswith(("/", "/.")) or destination == "."
    path = posixpath.normpath(posixpath.join("/", state.config.working_dir, destination))
    return _Plan(view, tuple(sources), texts, (), f"{path}/" if is_folder else path, rules)


def _heredoc(state: StageState, heredoc: Heredoc) -> Text:
    text = heredoc.text
    if heredoc.expands:
        text = expand_text(text, {**state.arguments, **state.config.variables}, escape=state.escape)
    return Text(heredoc.name, text.encode("utf-8", "surrogateescape"))


def _text(verb: str, state: StageState, step: Copy | Add) -> str:
    flags = [f"--{name}={value}" for name, value in (("chown", step.chown), ("chmod", step.chmod)) if value]
    flags += ["--link"] if step.link else []
    sources = [state.expand(source) for source in step.sources]
    sources += [f"<<{heredoc.name}" for heredoc in step.heredocs]
    return " ".join([verb, *map(state.expand, flags), *sources, state.expand(step.destination)]) + " # buildkit"


def _perform(site: Site, state: StageState, plan: _Plan, text: str) -> StageState:
    everything = (*plan.sources, *plan.archives)
    stage = site.view(state)
    key = site.key(
        op="copy",
        below=state.below,
        sources=copy_facts(plan.view, everything, plan.rules),
        texts=[(one.name, one.content.decode("latin-1")) for one in plan.texts],
        archives=len(plan.archives),
        destination=plan.destination,
        owner=plan.rules.owner,
        mode=plan.rules.mode,
    )
    row = site.done_before(key)
    if row is None:
        upper = site.workshop.new_folder("upper")
        writer = LayerWriter(upper, stage, now_ns=site.workshop.now_ns())
        try:
            Copier(stage, writer, plan.destination, plan.rules).copy(plan.view, plan.sources, plan.texts)
            for archive in plan.archives:
                _unpack(site, stage, writer, plan, archive)
            is_empty = writer.is_empty
            writer.finish()
        finally:
            writer.close()
        row = site.workshop.keep_step(key, "" if is_empty else upper)
    return state.after_step(text, row)


def _unpack(site: Site, stage: View, writer: LayerWriter, plan: _Plan, archive: Source) -> None:
    """Unpack an archive, which goes into its destination whatever that is called.

    As in Docker, what is unpacked keeps its owners and modes: --chown is for a destination that is not there yet.
    """
    folder = site.workshop.new_folder("unpacked")
    unpack(archive.found.where, folder)
    view = View((folder,))
    found = view.find("")
    assert found is not None
    rules = CopyRules(owner=None, with_attributes=True, follows_folders=True)
    target = stage.resolve(plan.destination)
    if target:
        writer.make_folder(target, plan.rules.owner or Owner(0, 0))
    Copier(stage, writer, plan.destination, rules).copy(view, (Source("", "", found),))
