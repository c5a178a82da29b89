"""What a shell asks when somebody presses Tab: which words may come here. Starts nothing, and says nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import click

from stackctl.cli.settings import Settings

Kind = Literal["words", "files", "folders"]

_FILES: Final = frozenset({"files", "env_files", "source", "output", "password_file", "ignore_file", "dockerfile"})
_FOLDERS: Final = frozenset({"project_directory", "docker_root", "context"})
_SERVICES: Final = frozenset({"services", "service", "attach", "no_attach", "exit_code_from", "hashed"})
_SCALES: Final = frozenset({"scales"})


class Word(NamedTuple):
    """A word that may come, and what it means."""

    text: str
    help: str = ""


class Answer(NamedTuple):
    """The words that begin as what is typed does; or that a file or folder belongs here, which shells know best."""

    kind: Kind
    words: tuple[Word, ...] = ()


class _Place(NamedTuple):
    """Where the cursor is: in which command, behind which option that wants a value, behind how many arguments."""

    command: click.Command
    option: click.Option | None
    arguments: int
    takes_options: bool


def answer(words: Sequence[str], environment: Mapping[str, str]) -> None:
    """Print the kind of word that belongs at the end of ``words``, then the words, each with its help."""
    try:
        found = complete(words, environment, cwd=os.getcwd())
    except Exception:  # the edge: on a line that is being typed, no answer is better than a complaint
        found = Answer("words")
    lines = [found.kind, *(f"{word.text}\t{word.help}" for word in found.words)]
    os.write(1, "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))


def complete(words: Sequence[str], environment: Mapping[str, str], *, cwd: str) -> Answer:
    """Return what may come in place of the last of ``words``, which may be empty or begun."""
    from stackctl.cli.main import root  # the whole command line: only here

    # bash makes three words of --option=value.
    joined = [word for at, word in enumerate(words) if word != "=" or at == 0 or not words[at - 1].startswith("--")]
    *before, current = joined or [""]
    if words and words[-1] == "=":
        before, current = joined, ""
    given: dict[str, list[str]] = {}
    place = _find(root, before, given)
    if place is None:
        return Answer("files")  # of another program
    option, equals, begun = current.partition("=")
    long = _option(place.command, option) if equals and option.startswith("--") else None
    if long is not None:
        found = _value(long, given, environment, cwd)
        return _beginning(found, begun, prefix=f"{option}=")
    if place.option is not None:
        return _beginning(_value(place.option, given, environment, cwd), current)
    if current.startswith("-") and place.takes_options:
        return _beginning(Answer("words", tuple(_options(place.command))), current)
    return _beginning(_argument(place, given, environment, cwd), current)


def _find(root: click.Command, words: Sequence[str], given: dict[str, list[str]]) -> _Place | None:
    """Walk along the words; None where they are another program's. ``given`` takes the options before the command."""
    place = _Place(root, None, 0, takes_options=True)
    for word in words:
        command, option, count, takes_options = place
        if option is not None:
            if command is root:
                given.setdefault(str(option.name), []).append(word)
            place = _Place(command, None, count, takes_options)
        elif word == "--" and takes_options:
            place = _Place(command, None, count, takes_options=False)
        elif word.startswith("-") and takes_options:
            name, equals, value = word.partition("=")
            found = _option(command, name)
            if found is not None and equals and command is root:
                given.setdefault(str(found.name), []).append(value)
            place = _Place(
                command, found if found is not None and not equals and not found.is_flag else None, count, True
            )
        elif isinstance(command, click.Group):
            sub = command.get_command(click.Context(command), word)
            if sub is None:
                return None
            place = _Place(sub, None, 0, takes_options=True)
        else:
            if not command.context_settings.get("allow_interspersed_args", True):
                return None  # what follows the service is its command
            place = _Place(command, None, count + 1, takes_options)
    return place


def _option(command: click.Command, name: str) -> click.Option | None:
    return next((one for one in _declared(command) if name in (*one.opts, *one.secondary_opts)), None)


def _declared(command: click.Command) -> Iterator[click.Option]:
    for one in command.get_params(click.Context(command)):
        if isinstance(one, click.Option):
            yield one


def _options(command: click.Command) -> Iterator[Word]:
    for one in _declared(command):
        if not one.hidden:
            for name in (*one.opts, *one.secondary_opts):
                if name.startswith("--"):
                    yield Word(name, one.help or "")


def _argument(place: _Place, given: Mapping[str, Sequence[str]], environment: Mapping[str, str], cwd: str) -> Answer:
    if isinstance(place.command, click.Group):
        return Answer("words", tuple(_commands(place.command)))
    arguments = [one for one in place.command.params if isinstance(one, click.Argument)]
    repeated = [one for one in arguments if one.nargs == -1]
    chosen = arguments[place.arguments : place.arguments + 1] or repeated
    return _value(chosen[0], given, environment, cwd) if chosen else Answer("words")


def _commands(group: click.Group) -> Iterator[Word]:
    from stackctl.cli.commands import COMMANDS
    from stackctl.cli.main import root

    if group is root:
        yield from (Word(name, entry.help) for name, entry in COMMANDS.items())
        return
    for name, command in sorted(group.commands.items()):
        if not command.hidden:
            yield Word(name, command.get_short_help_str(80))


def _value(
    parameter: click.Parameter, given: Mapping[str, Sequence[str]], environment: Mapping[str, str], cwd: str
) -> Answer:
    """Return what may be the value of an option or argument."""
    name = str(parameter.name)
    if isinstance(parameter.type, click.Choice):
        return Answer("words", tuple(Word(str(choice)) for choice in parameter.type.choices))
    if name in _SERVICES | _SCALES:
        suffix = "=" if name in _SCALES else ""
        services = _services(given, environment, cwd)
        return Answer("words", tuple(Word(service + suffix, image) for service, image in services))
    if name in ("progress", "ansi"):
        from stackctl.cli.settings import ANSI, PROGRESS

        return Answer("words", tuple(Word(text) for text in (PROGRESS if name == "progress" else ANSI)))
    if name == "engine":
        return Answer("words", tuple(Word(text) for text in ("built-in", "docker", "swarm")))
    if name in _FOLDERS:
        return Answer("folders")
    return Answer("files") if name in _FILES else Answer("words")


def _services(
    given: Mapping[str, Sequence[str]], environment: Mapping[str, str], cwd: str
) -> Iterator[tuple[str, str]]:
    """Yield the services of the stack that the options before the command mean, and their images."""
    from stackctl.cli.stack_files import load_document

    settings = Settings(
        files=tuple(given.get("files", ())),
        project_name="".join(given.get("project_name", [])[-1:]),
        project_directory="".join(given.get("project_directory", [])[-1:]),
        profiles=tuple(given.get("profiles", ())),
        env_files=tuple(given.get("env_files", ())),
        environment=environment,
        cwd=cwd,
    )
    if "-" in settings.files:
        return  # what would be read there is being typed
    document = load_document(settings, is_quiet=True)
    services = document.tree.get("services")
    for name, shape in (services if isinstance(services, dict) else {}).items():
        yield name, str(shape.get("image") or "") if isinstance(shape, dict) else ""
    yield from ((name, "switched off by its profile") for name in document.disabled_services)


def _beginning(found: Answer, begun: str, *, prefix: str = "") -> Answer:
    words = (Word(prefix + word.text, word.help) for word in found.words if word.text.startswith(begun))
    return Answer(found.kind, tuple(words))
