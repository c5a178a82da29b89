"""RUN: a command on the stage's files, its changes a new layer.

Source: Dockerfile reference, "RUN".
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, get_args

from stackctl.errors import ImageError
from stackctl.images.build import history
from stackctl.images.build.running import Network, RunRequest
from stackctl.images.build.site import Site, StageState
from stackctl.images.build.sources import entries, facts_of_entry, find_sources
from stackctl.images.build.stage_config import DEFAULT_SHELL
from stackctl.images.build.view import View, view_of
from stackctl.images.dockerfile import mounts
from stackctl.images.dockerfile.instruction import ExecForm, Run
from stackctl.images.snapshot import drop_untouched
from stackctl.model.container import BindMount, Mount, TmpfsMount
from stackctl.model.root import HostRoot, OverlayRoot, Root

_PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
PROXIES: Final = tuple(name for base in _PROXIES for name in (base, base.lower()))
_STUB_FOLDERS: Final = ("proc", "sys", "dev", "etc")
_STUB_FILES: Final = ("etc/hosts", "etc/hostname", "etc/resolv.conf")
_PIPES: Final = "/dev/pipes"


class _Mounts(NamedTuple):
    """What is mounted for a command, variables that hold secrets, and what of it the result depends on."""

    mounts: tuple[Mount, ...] = ()
    env: tuple[str, ...] = ()
    facts: tuple[object, ...] = ()


def run_command(site: Site, state: StageState, step: Run) -> StageState:
    """Return the stage after a RUN. Raises ImageError when the command fails, EngineError; OSError."""
    _refuse_unsupported(site, step)
    argv, script = _argv(state, step)
    mounted = _mounts(site, state, step)
    arguments = [(key, value) for key, value in state.arguments.items() if key in dict(state.args)]
    env = tuple(f"{key}={value}" for key, value in {**state.arguments, **state.config.variables}.items())
    key = site.key(
        op="run",
        below=state.below,
        argv=argv,
        script=hashlib.sha256(script).hexdigest() if script else "",
        env=sorted(env),
        user=state.config.user,
        working_dir=state.config.working_dir or "/",
        network=_network(site, step),
        extra_hosts=site.request.extra_hosts,
        mounts=mounted.facts,
    )
    text = history.run_text(argv, arguments)
    row = site.done_before(key)
    if row is None:
        if script:
            mounted = mounted._replace(mounts=(*mounted.mounts, _script_mount(site, script, argv[0])))
        request_env = (*_proxies(site.request.args, env), *env, *mounted.env)
        upper = _execute(site, state, _Command(argv, request_env, mounted.mounts, _network(site, step)))
        row = site.workshop.keep_step(key, upper)
    return state.after_step(text, row)


class _Command(NamedTuple):
    argv: tuple[str, ...]
    env: tuple[str, ...]
    mounts: tuple[Mount, ...]
    network: Network


def _refuse_unsupported(site: Site, step: Run) -> None:
    if step.security not in ("", "sandbox"):
        raise ImageError(f"RUN --security={step.security} is not supported", code="build-unsupported")
    if step.network == "host" and site.request.network != "host":
        raise ImageError(
            "RUN --network=host is not allowed",
            code="build-unsupported",
            hint="allow it for the whole build: `network: host`, or --network host",
        )
    if step.network and step.network not in get_args(Network):
        raise ImageError(f"RUN --network={step.network} is not supported", code="build-unsupported")


def _network(site: Site, step: Run) -> Network:
    found: Network = site.request.network
    for known in get_args(Network):
        if step.network == known and step.network != "default":
            found = known
    return found


def _argv(state: StageState, step: Run) -> tuple[tuple[str, ...], bytes]:
    """Return what is executed, and the text of a script that is executed as a file."""
    if isinstance(step.command, ExecForm):
        return step.command.argv, b""
    script = step.script
    if script is not None and script.text.startswith("#!"):
        return (f"{_PIPES}/{script.name}",), script.text.encode("utf-8", "surrogateescape")
    return (*(state.config.shell or DEFAULT_SHELL), step.shell_text), b""


def _script_mount(site: Site, script: bytes, target: str) -> Mount:
    path = site.workshop.new_path("script")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o755)
    with open(fd, "wb") as file:
        file.write(script)
        os.fchmod(fd, 0o755)
    return BindMount(source=path, target=target, read_only=True)


def _proxies(args: Mapping[str, str], env: Sequence[str]) -> Iterator[str]:
    known = {entry.partition("=")[0] for entry in env}
    for name in _PROXIES:  # given in one spelling, it is there in both
        value = args.get(name, args.get(name.lower()))
        if value is not None:
            yield from (f"{spelling}={value}" for spelling in (name, name.lower()) if spelling not in known)


def _execute(site: Site, state: StageState, command: _Command) -> str:
    """Run it; return the folder of its changes, "" when there are none."""
    stubs = _stubs(site, state, command.mounts)
    root = _on_stubs(site.root_of(state), stubs)
    upper = site.workshop.new_path("upper")
    request = RunRequest(
        root=root,
        argv=command.argv,
        env=command.env,
        user=state.config.user,
        working_dir=state.config.working_dir or "/",
        upper=upper,
        network=command.network,
        mounts=command.mounts,
        extra_hosts=site.request.extra_hosts,
        shm_size_bytes=site.request.shm_size_bytes,
    )
    code = site.runner.run(request, site.output, site.cancelled)
    if code != 0:
        raise ImageError(f"the command ended with exit code {code}", code="build-step-failed")
    return "" if drop_untouched(upper, view_of(root)) else upper


def _stubs(site: Site, state: StageState, mounted: Sequence[Mount]) -> str:
    """Return a layer with what is mounted on and is not in the stage: so that nothing of it gets into the new layer."""
    stage = site.view(state)
    folder = site.workshop.new_folder("stubs")
    for path in _STUB_FOLDERS:
        _stub_folder(stage, folder, path)
    for path in _STUB_FILES:
        _stub_file(stage, folder, path)
    for mount in mounted:
        path = stage.resolve(mount.target)
        if not path or path.startswith("dev/"):
            continue
        if isinstance(mount, BindMount) and not os.path.isdir(mount.source):
            _stub_file(stage, folder, path)
        else:
            _stub_folder(stage, folder, path)
    return folder


def _stub_folder(stage: View, folder: str, path: str) -> None:
    done = ""
    for part in path.split("/"):
        done = f"{done}/{part}" if done else part
        if stage.find(done) is None:
            os.makedirs(f"{folder}/{done}", 0o755, exist_ok=True)


def _stub_file(stage: View, folder: str, path: str) -> None:
    if stage.find(path) is None:
        parent = path.rpartition("/")[0]
        _stub_folder(stage, folder, parent)
        os.makedirs(f"{folder}/{parent}", 0o755, exist_ok=True)
        with open(f"{folder}/{path}", "ab"):
            pass


def _on_stubs(root: Root, stubs: str) -> Root:
    if isinstance(root, HostRoot):
        return HostRoot(root.skeleton, root.binds, (stubs, *root.layers))
    return OverlayRoot((stubs, *root.layers))


def _mounts(site: Site, state: StageState, step: Run) -> _Mounts:
    found = _Mounts()
    for text in step.mounts:
        try:
            mount = mounts.read_mount(state.expand(text))
        except mounts.BadMount as error:
            raise ImageError(f"--mount={text}: {error}", code="build-value", hint=error.hint) from error
        one = _mount(site, state, mount)
        found = _Mounts((*found.mounts, *one.mounts), (*found.env, *one.env), (*found.facts, *one.facts))
    return found


def _mount(site: Site, state: StageState, mount: mounts.Mount) -> _Mounts:
    target = os.path.normpath(os.path.join("/", state.config.working_dir, mount.target)) if mount.target else ""
    match mount:
        case mounts.TmpfsMount(size_bytes=size):
            return _Mounts((TmpfsMount(target=target, size_bytes=size),), (), (("tmpfs", target),))
        case mounts.CacheMount():
            return _Mounts((_cache(site, mount, target),), (), (("cache", target, mount.id),))
        case mounts.SecretMount():
            return _secret(site, mount, target)
        case mounts.BindMount():
            return _bind(site, mount, target)
        case _:
            raise ImageError("RUN --mount=type=ssh is not supported yet", code="build-unsupported")


def _cache(site: Site, mount: mounts.CacheMount, target: str) -> Mount:
    if mount.source_stage:
        raise ImageError("RUN --mount=type=cache,from=… is not supported yet", code="build-unsupported")
    path = site.workshop.lasting_folder(hashlib.sha256(mount.id.encode()).hexdigest()[:32])
    if not os.listdir(path):
        os.chown(path, mount.uid, mount.gid)
        os.chmod(path, mount.mode)
    return BindMount(source=path, target=target, read_only=mount.is_readonly)


def _secret(site: Site, mount: mounts.SecretMount, target: str) -> _Mounts:
    content = site.request.secrets.get(mount.id)
    if content is None:
        if mount.is_required:
            raise ImageError(f"the secret {mount.id!r} is not given", code="build-secret-missing")
        return _Mounts(facts=(("secret", target, mount.id),))
    env = (f"{mount.env}={content.decode('utf-8', 'surrogateescape')}",) if mount.env else ()
    if not target:
        return _Mounts((), env, (("secret", "", mount.id),))
    path = site.workshop.new_path("secret")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
    with open(fd, "wb") as file:
        file.write(content)
        os.fchown(fd, mount.uid, mount.gid)
        os.fchmod(fd, mount.mode)
    return _Mounts((BindMount(source=path, target=target, read_only=True),), env, (("secret", target, mount.id),))


def _bind(site: Site, mount: mounts.BindMount, target: str) -> _Mounts:
    """Files of the context; what a command writes to it would be lost, and so it may not."""
    view = site.view(site.source_state(mount.source_stage)) if mount.source_stage else site.context
    (source,) = find_sources(view, mount.source)
    merged = source.found.is_folder and mount.source_stage
    if merged:
        raise ImageError(
            "RUN --mount=type=bind,from=… of a folder is not supported yet",
            code="build-unsupported",
            hint="mount a single file, or COPY --from=…",
        )
    facts = [facts_of_entry(entry, with_owner=bool(mount.source_stage)) for entry in entries(view, source)]
    bind = BindMount(source=source.found.where, target=target, read_only=True)
    return _Mounts((bind,), (), (("bind", target, facts),))
