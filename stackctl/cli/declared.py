"""Commands and their options as data, which are read in two ways: by click, and without it where a line is plain.

click costs more than a whole `exec` does otherwise. So commands that are called often are declared with these
decorators, which read like click's own. ``plain`` understands a command line with nothing unusual in it; whatever it
does not, errors and help too, is click's (see ``declared_click``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypeAlias, TypeVar

Kind = Literal["flag", "switch", "value", "many", "refused", "argument", "arguments", "rest"]
Function = TypeVar("Function", bound=Callable[..., Any])


class Choice:
    """One of a few words."""

    def __init__(self, values: Sequence[str]) -> None:
        self.values: Final = tuple(values)

    def read(self, text: str) -> str:
        """Return the word. Raises ValueError for another."""
        if text not in self.values:
            raise ValueError(text)
        return text


class Number:
    """A number, not less than ``least``."""

    def __init__(self, least: float) -> None:
        self.least: Final = least

    def read(self, text: str) -> float:
        """Return the number. Raises ValueError."""
        found = float(text)
        if not found >= self.least:
            raise ValueError(text)
        return found


class Whole:
    """A whole number, not less than ``least``."""

    def __init__(self, least: int) -> None:
        self.least: Final = least

    def read(self, text: str) -> int:
        """Return the number. Raises ValueError."""
        found = int(text)
        if found < self.least:
            raise ValueError(text)
        return found


Type: TypeAlias = Choice | Number | Whole | None


class Parameter:
    """One option or argument. ``switch`` names its opposite; ``refused`` exists only to be called unsupported."""

    __slots__ = ("default", "dest", "help", "is_hidden", "is_required", "kind", "metavar", "names", "opposite", "type")

    def __init__(self, kind: Kind, names: Sequence[str], **given: Any) -> None:
        self.kind: Final = kind
        self.names: Final = tuple(name for name in names if name.startswith("-"))
        self.dest: Final[str] = _destination(names)
        self.opposite: Final[str] = given.get("opposite", "")
        self.type: Final[Type] = given.get("type")
        self.default: Final[Any] = given.get("default")
        self.metavar: Final[str | None] = given.get("metavar")
        self.help: Final[str | None] = given.get("help")
        self.is_hidden: Final[bool] = given.get("hidden", False)
        self.is_required: Final[bool] = given.get("required", False)

    def initial(self) -> Any:
        """Return the value when it is not given."""
        return () if self.kind in ("many", "arguments", "rest") else self.default

    @property
    def takes_value(self) -> bool:
        """Whether a word follows the option."""
        return self.kind in ("value", "many")


def _destination(names: Sequence[str]) -> str:
    own = next((name for name in names if not name.startswith("-")), "")
    longest = next((name for name in names if name.startswith("--")), "")
    return own or longest.lstrip("-").replace("-", "_")


class Command:
    """A function, and what it may be given. ``passes_on``: options after the first argument belong to that."""

    __slots__ = ("function", "parameters", "passes_on")

    def __init__(self, function: Callable[..., Any], parameters: Sequence[Parameter], *, passes_on: bool) -> None:
        self.function: Final = function
        self.parameters: Final = tuple(parameters)
        self.passes_on: Final = passes_on

    def plain(self, words: Sequence[str]) -> dict[str, Any] | None:
        """Return the function's keyword arguments as click would; None when that takes more than a glance."""
        options = {name: one for one in self.parameters if one.kind != "refused" for name in (*one.names, one.opposite)}
        options.pop("", None)
        values = {one.dest: one.initial() for one in self.parameters if one.kind != "refused"}
        left = list(reversed(words))
        arguments: list[str] = []
        while left and not (self.passes_on and arguments):
            word = left.pop()
            if not word.startswith("-") or word == "-":
                arguments.append(word)
                continue
            name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
            option = options.get(name)
            if option is None:
                return None
            if not option.takes_value:
                is_on = truth(value) if equals else True
                if is_on is None:
                    return None
                values[option.dest] = is_on == (name != option.opposite)
            elif not _take(option, value if equals else left.pop() if left else "-", values):
                return None
        return values if self._place([*arguments, *reversed(left)], values) else None

    def _place(self, words: list[str], values: dict[str, Any]) -> bool:
        """Give the words to the arguments; say whether that was possible."""
        for one in self.parameters:
            if one.kind == "argument" and words:
                values[one.dest] = words.pop(0)
            elif one.kind in ("arguments", "rest"):
                values[one.dest], words = tuple(words), []
            elif one.kind != "argument":
                continue
            if one.is_required and not values[one.dest]:
                return False
        return not words


def truth(text: str) -> bool | None:
    """Return what ``--flag=TEXT`` says, in the words of Docker's command line; None if it says neither."""
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    return False if text in ("0", "f", "F", "false", "FALSE", "False") else None


def _take(option: Parameter, text: str, values: dict[str, Any]) -> bool:
    # A value that looks like an option is click's to judge.
    if not text or text.startswith("-"):
        return False
    try:
        value = text if option.type is None else option.type.read(text)
    except ValueError:
        return False
    values[option.dest] = (*values[option.dest], value) if option.kind == "many" else value
    return True


def command(*, passes_on: bool = False) -> Callable[[Callable[..., Any]], Command]:
    """Make a function a command, with what the decorators below it declare."""

    def made(function: Callable[..., Any]) -> Command:
        return Command(function, _declared(function)[::-1], passes_on=passes_on)

    return made


def _declared(function: Callable[..., Any]) -> list[Parameter]:
    found: list[Parameter] = function.__dict__.setdefault("declared", [])
    return found


def _adding(parameter: Parameter) -> Callable[[Function], Function]:
    def add(function: Function) -> Function:
        _declared(function).append(parameter)
        return function

    return add


def flag(*names: str, **given: Any) -> Callable[[Function], Function]:
    """Declare an option without a value."""
    return _adding(Parameter("flag", names, default=False, **given))


def switch(*names: str, opposite: str, **given: Any) -> Callable[[Function], Function]:
    """Declare a flag that is on by default, with an option that turns it off."""
    return _adding(Parameter("switch", names, default=True, opposite=opposite, **given))


def option(*names: str, **given: Any) -> Callable[[Function], Function]:
    """Declare an option with a value."""
    return _adding(Parameter("value", names, **given))


def options(*names: str, **given: Any) -> Callable[[Function], Function]:
    """Declare an option that may be given several times."""
    return _adding(Parameter("many", names, **given))


def refused(*names: str, takes_value: bool = False) -> Callable[[Function], Function]:
    """Accept an option of Compose only to say, as an error, that it is not supported yet."""
    return _adding(Parameter("refused", names, default="" if takes_value else False, hidden=True))


def argument(name: str, **given: Any) -> Callable[[Function], Function]:
    """Declare one word that must be given."""
    return _adding(Parameter("argument", (name,), required=True, **given))


def arguments(name: str, **given: Any) -> Callable[[Function], Function]:
    """Declare any number of words."""
    return _adding(Parameter("arguments", (name,), **given))


def rest(name: str, **given: Any) -> Callable[[Function], Function]:
    """Declare the words that follow, which are another program's: nothing is made of them."""
    return _adding(Parameter("rest", (name,), **given))


services = arguments("services", metavar="[SERVICE]...")
pull = option("--pull", type=Choice(("always", "missing", "never")), help="When to pull images.")
quiet_pull = flag("--quiet-pull", help="Do not show how far pulls are.")
timeout = option("-t", "--timeout", type=Number(0), metavar="SECONDS", help="How long containers may take to stop.")
