"""What is shown of builds: steps as they come, and what their commands write."""

from __future__ import annotations

from typing import Any

from stackctl.cli.render.build_course import Builds
from stackctl.cli.render.course import Update

IMAGE = "Image shop-web"


def event(n: int, state: str, text: str, image: str = "shop-web") -> dict[str, Any]:
    return {"event": "build", "image": image, "n": n, "state": state, "text": text}


def shown(*events: dict[str, Any], is_live: bool = False) -> list[object]:
    builds, found = Builds(), list[object]()
    for one in events:
        builds.take(one, found.append, None if is_live else found.append)
    return found


def test_in_lines_each_step_and_each_line_of_output_is_one() -> None:
    assert shown(
        event(1, "started", "[1/2] RUN make"),
        event(1, "output", "one\ntw"),
        event(1, "output", "o\nthree"),
        event(1, "done", "[1/2] RUN make"),
        event(2, "started", "[2/2] COPY a b"),
        event(2, "cached", "[2/2] COPY a b"),
    ) == [
        Update(IMAGE, "working", "Building", "[1/2] RUN make"),
        " shop-web | one",
        " shop-web | two",
        " shop-web | three",
        Update(IMAGE, "working", "Building", "[2/2] COPY a b"),
        Update(IMAGE, "working", "Building", "[2/2] COPY a b  (cached)"),
    ]


def test_on_a_screen_the_last_line_passes_by_beside_its_step() -> None:
    found = shown(
        event(1, "started", "[1/2] RUN something that is long to write"),
        event(1, "output", "one\n\ttwo\n\n"),
        is_live=True,
    )
    assert found[-1] == Update(IMAGE, "working", "Building", "[1/2] RUN something tha…:         two")


def test_what_a_command_writes_cannot_move_the_cursor() -> None:
    told = shown(event(1, "output", "\x1b[31mred\x1b[0m\x1b]0;title\x07\n 10%\r 100%\r\n"))
    assert told == [" shop-web | red\\x1b]0;title\\x07", " shop-web |  100%"]


def test_a_failed_step_is_an_error() -> None:
    assert shown(event(1, "failed", "[1/1] RUN x")) == [Update(IMAGE, "error", "Error", "[1/1] RUN x")]
