"""Dockerfile instructions that change an imported image's configuration."""

from __future__ import annotations

import pytest

from stackctl.errors import ImageError
from stackctl.images.changes import apply_changes
from stackctl.model.health import HealthCheck
from stackctl.model.image import ImageConfig


def changed(*changes: str) -> ImageConfig:
    return apply_changes(ImageConfig(), changes)


def test_each_instruction_sets_its_field() -> None:
    assert changed(
        'ENTRYPOINT ["/bin/e", "x y"]',
        "cmd run this",
        'ENV A=1 B="two words" C=a\\ b',
        "ENV A over written",
        "EXPOSE 80 53/udp 8000-8001/TCP",
        "USER 1:2",
        "WORKDIR /srv",
        "WORKDIR app/../web",
        'VOLUME ["/d", "/e f"]',
        "VOLUME /g /h",
        "LABEL a=b",
        "STOPSIGNAL SIGQUIT",
        "HEALTHCHECK --interval=1m30s --retries=5 CMD curl -f x",
    ) == ImageConfig(
        entrypoint=("/bin/e", "x y"),
        cmd=("/bin/sh", "-c", "run this"),
        env=("A=over written", "B=two words", "C=a b"),
        ports=("53/udp", "80/tcp", "8000/tcp", "8001/tcp"),
        user="1:2",
        working_dir="/srv/web",
        volumes=("/d", "/e f", "/g", "/h"),
        labels=(("a", "b"),),
        stop_signal="SIGQUIT",
        health=HealthCheck(test=("CMD-SHELL", "curl -f x"), interval_s=90.0, retries=5),
    )


def test_a_health_check_may_be_a_list_or_none() -> None:
    assert changed('HEALTHCHECK CMD ["a", "b"]').health == HealthCheck(test=("CMD", "a", "b"))
    assert changed("HEALTHCHECK NONE").health == HealthCheck(test=("NONE",))


def test_what_looks_like_a_list_but_is_none_is_shell_text() -> None:
    assert changed("CMD [ -f /x ]").cmd == ("/bin/sh", "-c", "[ -f /x ]")


@pytest.mark.parametrize(
    "change",
    [
        "RUN x",
        "CMD",
        "FROM a",
        "EXPOSE http",
        "EXPOSE 70000",
        "EXPOSE 9-8",
        "ENV A=1 B",
        'ENV A="x',
        "HEALTHCHECK curl",
        "HEALTHCHECK --interval=soon CMD x",
        "HEALTHCHECK --what=1 CMD x",
    ],
)
def test_what_an_image_cannot_take_is_refused(change: str) -> None:
    with pytest.raises(ImageError):
        changed(change)
