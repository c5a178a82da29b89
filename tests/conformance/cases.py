"""The corpus: small stacks, one behaviour each.

A file of ``corpus/`` is a chapter. A case begins with ``=== name``. Lines that begin with ``@`` say how to
run it: ``@ args …`` before the command, ``@ options …`` after it, ``@ env A=1 …``, ``@ format yaml``, ``@ in FOLDER``.
The rest is ``compose.yaml``, unless ``>>> path`` begins a file of its own.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"


@dataclass
class Case:
    """One stack, and how ``config`` is called for it."""

    name: str
    files: dict[str, str] = field(default_factory=dict)
    arguments: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    format: str = "json"
    folder: str = "."

    def argv(self) -> list[str]:
        """Return the command line after the program's name."""
        return [*self.arguments, "config", *([] if self.prints_text else ["--format", self.format]), *self.options]

    @property
    def prints_text(self) -> bool:
        """Whether the output is lines rather than a model."""
        return self.format == "text"

    def write(self, root: Path) -> Path:
        """Write the files below ``root``; return the folder to run in."""
        for path, text in self.files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8", newline="")
        return root / self.folder


def cases() -> list[Case]:
    """Return the whole corpus."""
    return [case for path in sorted(CORPUS.glob("*.txt")) for case in read_cases(path)]


def read_cases(path: Path) -> Iterator[Case]:
    """Return the cases of one chapter."""
    for part in ("\n" + path.read_text(encoding="utf-8")).split("\n=== ")[1:]:
        name, _, body = part.partition("\n")
        yield _case(f"{path.stem}/{name.strip()}", body)


def _case(name: str, body: str) -> Case:
    case = Case(name)
    file = "compose.yaml"
    for line in body.splitlines():
        if line.startswith("@ "):
            _instruct(case, line[2:])
        elif line.startswith(">>> "):
            file = line[4:].strip()
            case.files.setdefault(file, "")
        else:
            case.files[file] = case.files.get(file, "") + line + "\n"
    return case


def _instruct(case: Case, line: str) -> None:
    what, *words = shlex.split(line)
    match what:
        case "args":
            case.arguments += words
        case "options":
            case.options += words
        case "env":
            case.environment.update(word.split("=", 1) for word in words)
        case "format":
            case.format = words[0]
        case "in":
            case.folder = words[0]
        case _:
            raise ValueError(f"{case.name}: {what} is no instruction")
