"""Lines of logs: whole however long they are, and in nobody's way."""

from __future__ import annotations

from typing import Final

from stackctl.cli.log_lines import LONGEST_BYTES, Lines, LogPrinter
from stackctl.cli.render.log_prefix import Prefixes

PIECE: Final = b"x" * (1 << 20)


class Screen:
    """What was printed."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.printer = LogPrinter(self.pieces.append, Prefixes(has_colour=False))

    @property
    def text(self) -> bytes:
        return b"".join(self.pieces)


def test_a_line_of_ten_megabytes_comes_out_whole() -> None:
    screen, web, other = Screen(), Lines(), Lines()
    for _ in range(10):
        screen.printer.feed("web", "web-1", web, PIECE)
        screen.printer.feed("db", "db-1", other, b"aside\n")
    screen.printer.feed("web", "web-1", web, b"end\r\nnext\n")

    assert screen.text == b"db-1  | aside\n" * 10 + b"web-1  | " + PIECE * 10 + b"end\nweb-1  | next\n"


def test_a_line_without_end_is_passed_on_as_it_comes_and_stays_one_line() -> None:
    screen, web = Screen(), Lines()
    count = 3 * (LONGEST_BYTES // len(PIECE))
    for _ in range(count):
        screen.printer.feed("web", "web-1", web, PIECE)
    assert len(screen.text) > LONGEST_BYTES, "it is held back however long it gets"
    screen.printer.feed("web", "web-1", web, b"end\nnext")
    screen.printer.finish("web", "web-1", web)

    assert screen.text == b"web-1  | " + PIECE * count + b"end\nweb-1  | next\n"


def test_a_line_that_was_passed_on_ends_when_its_container_does() -> None:
    screen, web = Screen(), Lines()
    endless = b"y" * (LONGEST_BYTES + 1)
    screen.printer.feed("web", "web-1", web, endless)
    screen.printer.finish("web", "web-1", web)
    screen.printer.say("web-1 exited with code 0")

    assert screen.text == b"web-1  | " + endless + b"\nweb-1 exited with code 0\n"


def test_others_are_not_kept_waiting_by_a_line_without_end() -> None:
    screen, web, other = Screen(), Lines(), Lines()
    endless = b"y" * (LONGEST_BYTES + 1)
    screen.printer.feed("web", "web-1", web, endless)
    screen.printer.feed("db", "db-1", other, b"aside\n")
    screen.printer.feed("web", "web-1", web, b"end\n")

    assert screen.text == b"web-1  | " + endless + b"\ndb-1  | aside\nweb-1  | end\n"
