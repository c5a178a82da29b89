"""A file of variables that no stack file names: of an option of the command line."""

from __future__ import annotations

from collections.abc import Mapping

from stackctl.errors import StackFileError
from stackctl.stackfile.dotenv import read_dotenv
from stackctl.stackfile.problems import Problems


def read_env_file(path: str, *, named: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return what the file at ``path`` sets; ``named`` is how the user calls it. Raises StackFileError."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise StackFileError(f"env file {named}: {why}", code="file-unreadable") from error
    except UnicodeDecodeError as error:
        raise StackFileError(f"env file {named} is not UTF-8", code="file-unreadable") from error
    problems = Problems()
    found = read_dotenv(text, file=named, lookup=environment.get, problems=problems)
    if problems.has_errors:
        raise StackFileError(f"env file {named} cannot be read", diagnostics=problems.all())
    return found
