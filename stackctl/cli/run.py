"""`run`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from stackctl.cli import declared
from stackctl.cli.applying import follow
from stackctl.cli.building import build_mode, run_with_contexts
from stackctl.cli.connect import start_engine
from stackctl.cli.exec import choose_tty, variables
from stackctl.cli.failure import Failure, as_shells_exit
from stackctl.cli.options import reject_pairs
from stackctl.cli.requests import logins_for, stack_request
from stackctl.cli.screen import open_screen
from stackctl.cli.settings import Settings, current_settings
from stackctl.cli.signals import ENDING, handled
from stackctl.cli.stack_files import load_document
from stackctl.cli.terminal import relay_pipes, relay_terminal
from stackctl.errors import EngineError, UsageError

if TYPE_CHECKING:
    from stackctl.cli.known_stack import AnyStack
    from stackctl.client.engine_client import EngineClient
    from stackctl.wire.stack_request import RunRequest


@declared.command(passes_on=True)
@declared.flag("--rm", "removes", help="Remove the container when it has ended.")
@declared.flag("-d", "--detach", help="Leave it running and print its id.")
@declared.options("-e", "--env", "environment", metavar="KEY[=VALUE]", help="Set a variable.")
@declared.option("-u", "--user", default="", metavar="USER[:GROUP]", help="Who runs it.")
@declared.option("-w", "--workdir", default="", metavar="DIR", help="Where it runs.")
@declared.option("--entrypoint", metavar="COMMAND", help="Instead of the image's or service's entrypoint.")
@declared.option("--name", default="", metavar="NAME", help="Name of the container.")
@declared.flag("--no-deps", help="Do not start what the service depends on.")
@declared.flag("-T", "--no-tty", help="No terminal, though there is one.")
@declared.flag("-t", "--tty", "wants_tty", help="A terminal, though there is none.")
@declared.switch("-i", "--interactive", opposite="--no-interactive", help="Pass standard input on.")
@declared.options("-p", "--publish", metavar="PORT", help="Publish a port, as in the stack file.")
@declared.flag("-P", "--service-ports", help="Publish the service's ports.")
@declared.options("-v", "--volume", "volumes", metavar="VOLUME", help="Mount a volume or folder.")
@declared.options("-l", "--label", "labels", metavar="KEY=VALUE", help="Add a label.")
@declared.flag("--use-aliases", help="Answer to the service's names on its networks.")
@declared.flag("--remove-orphans", help="Remove containers of services the files do not have.")
@declared.flag("-q", "--quiet", "is_quiet", help="Show no progress.")
@declared.flag("--build", help="Build the image although nothing changed.")
@declared.pull
@declared.quiet_pull
@declared.flag("--quiet-build", help="Do not show how far builds are.")
@declared.options("--cap-add", metavar="CAPABILITY", help="Give it a capability.")
@declared.options("--cap-drop", metavar="CAPABILITY", help="Take a capability from it.")
@declared.options("--env-from-file", "env_files", metavar="FILE", help="Set the variables of a file.")
@declared.argument("service")
@declared.rest("command")
def run(service: str, detach: bool, removes: bool, is_quiet: bool, **given: Any) -> None:
    """Run a one-off command in a new container of a service.

    What the service depends on is started first. Its ports are published only if asked for.
    """
    settings = current_settings().with_quiet_pulls() if given["quiet_pull"] else current_settings()
    reject_pairs({"--detach": detach, "--rm": removes}, [("--detach", "--rm")])
    document = load_document(settings, (service,))
    has_tty = not detach and choose_tty(no_tty=given["no_tty"], wants_tty=given["wants_tty"])
    request = _request(settings, document, service, {**given, "tty": has_tty, "remove": removes, "detach": detach})
    engine = start_engine(settings)
    request = run_with_contexts(settings, engine, document, request)
    settings = settings.with_quiet_builds() if given["quiet_build"] else settings
    container = _create(settings.with_progress("quiet") if is_quiet else settings, engine, document.name, request)
    if detach:
        with as_shells_exit(), _placed(settings, service, given):
            engine.start_container(container)
        print(container)
        return
    with ExitStack() as cleanup:
        if removes:
            cleanup.callback(_remove, engine, container)
        with _placed(settings, service, given):
            status = _attend(engine, container, has_tty=has_tty, has_input=given["interactive"])
    if status:
        raise Failure(status)


@contextmanager
def _placed(settings: Settings, service: str, given: dict[str, Any]) -> Iterator[None]:
    try:
        yield
    except EngineError as error:
        from stackctl.cli.start_errors import place_one  # the parser of stack files: only after a failure

        place_one(settings, error, service, given)
        raise


def _create(settings: Settings, engine: EngineClient, project: str, request: RunRequest) -> str:
    """Bring dependencies up and create the container; return its id."""
    with open_screen(settings, "run") as screen:
        ending = follow(lambda: engine.run(project, request), engine.cancel, screen)
    container = str(ending.end.get("container") or "")
    if ending.interruptions and container:
        _remove(engine, container)
    ending.raise_failure()
    if not container:
        raise EngineError("the engine did not say which container it made", code="bad-answer")
    return container


def _attend(engine: EngineClient, container: str, *, has_tty: bool, has_input: bool) -> int:
    """Start the container with its streams here; return its exit code."""
    # Attached before it starts: nothing it writes is missed, and its input is there from the beginning.
    with as_shells_exit(), engine.attach(container, stdin=has_input) as stream:
        if has_tty:
            relay_terminal(
                stream,
                resize=lambda lines, columns: engine.resize_container(container, lines, columns),
                has_input=has_input,
                begin=lambda: engine.start_container(container),
            )
        else:
            relay_pipes(
                stream,
                has_input=has_input,
                kill=lambda signal: engine.kill_container(container, signal),
                begin=lambda: engine.start_container(container),
            )
    return engine.wait_container(container)


def _remove(engine: EngineClient, container: str) -> None:
    # Whoever still presses Ctrl-C wants an end, not a leftover.
    with handled({number: lambda: None for number in ENDING}), suppress(EngineError):
        engine.remove_container(container, force=True, volumes=True)


def _request(settings: Settings, document: AnyStack, service: str, given: dict[str, Any]) -> RunRequest:
    from stackctl.wire.stack_request import RunRequest  # not for --help

    stack = stack_request(
        "up",
        document,
        services=(service,),
        no_deps=given["no_deps"],
        build=build_mode(given),
        credentials=logins_for(settings, document),
        remove_orphans=given["remove_orphans"] or settings.is_set("COMPOSE_REMOVE_ORPHANS"),
        pull=given["pull"] or "",
    )
    for label in given["labels"]:
        if not label.partition("=")[0]:
            raise UsageError(f"invalid label: {label!r}", hint="write -l KEY=VALUE")
    return RunRequest(
        stack=stack,
        service=service,
        command=given["command"] or None,
        entrypoint=_words(given["entrypoint"]),
        environment=(*_file_variables(settings, given["env_files"]), *variables(settings, given["environment"])),
        user=given["user"],
        workdir=given["workdir"],
        tty=given["tty"],
        stdin=given["interactive"] and not given["detach"],
        name=given["name"],
        service_ports=given["service_ports"],
        publish=given["publish"],
        volumes=tuple(_absolute(volume, document.working_dir) for volume in given["volumes"]),
        use_aliases=given["use_aliases"],
        remove=given["remove"],
        labels=given["labels"],
        cap_add=given["cap_add"],
        cap_drop=given["cap_drop"],
    )


def _file_variables(settings: Settings, files: Sequence[str]) -> Iterator[str]:
    """Yield ``KEY=VALUE`` of what the files set."""
    for path in files:
        from stackctl.stackfile.read_env_file import read_env_file  # the reader of env files: only with one

        found = read_env_file(os.path.join(settings.cwd, path), named=path, environment=settings.environment)
        yield from (f"{key}={value}" for key, value in found.items())


def _words(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    import shlex  # only with --entrypoint

    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"invalid --entrypoint: {error}") from error


def _absolute(volume: str, folder: str) -> str:
    """Return a volume in short form with its source, if that is a relative path, made absolute."""
    source, colon, rest = volume.partition(":")
    if not colon or not source.startswith((".", "~")):
        return volume
    return f"{os.path.normpath(os.path.join(folder, os.path.expanduser(source)))}:{rest}"
