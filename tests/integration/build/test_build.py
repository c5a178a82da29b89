"""Building images: what each instruction makes of files and configuration."""

from __future__ import annotations

import pytest

from stackctl.errors import ImageError
from tests.support.builds import Builds


def test_a_command_makes_a_layer_of_what_it_changed_and_nothing_else(builds: Builds) -> None:
    image = builds.build("RUN mkdir /made && echo hello >/made/file && rm /etc/group")
    assert image.text("made/file") == "hello\n"
    assert image.view.find("etc/group") is None
    assert image.changed() == ["etc", "etc/group", "made", "made/file"]


def test_a_command_that_changes_nothing_makes_no_layer(builds: Builds) -> None:
    image = builds.build("RUN true\nRUN echo seen; cat /etc/hosts /etc/resolv.conf >/dev/null")
    assert image.history == [
        "(empty) RUN /bin/sh -c true # buildkit",
        "(empty) RUN /bin/sh -c echo seen; cat /etc/hosts /etc/resolv.conf >/dev/null # buildkit",
    ]
    assert "seen\n" in image.output


def test_a_failing_command_names_its_line_and_what_it_wrote_last(builds: Builds) -> None:
    with pytest.raises(ImageError) as caught:
        builds.build("RUN true\nRUN echo first; echo why it failed >&2; exit 3\n")
    (diagnostic,) = caught.value.diagnostics
    assert caught.value.code == "build-step-failed"
    assert str(diagnostic.sources[0]) == "Dockerfile:3"
    assert diagnostic.detail.splitlines() == [
        "Dockerfile:3: the command ended with exit code 3",
        "It wrote last:",
        "  first",
        "  why it failed",
    ]


def test_metadata_comes_to_what_docker_writes(builds: Builds) -> None:
    image = builds.build(
        """FROM busybox
ARG WHO=world
ENV A=1 B="x y"
ENV C=$A-$WHO
WORKDIR /srv
WORKDIR app
LABEL one=1 two="2 3"
EXPOSE 80 53/udp
VOLUME /data
USER nobody
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s --retries=2 CMD true
ENTRYPOINT ["echo"]
CMD ["hi", "$A"]
"""
    )
    assert image.config == {
        "ArgsEscaped": True,
        "Cmd": ["hi", "$A"],
        "Entrypoint": ["echo"],
        "Env": [
            "PATH=/bin",
            "A=1",
            "B=x y",
            "C=1-world",
        ],
        "ExposedPorts": {"53/udp": {}, "80/tcp": {}},
        "Healthcheck": {"Interval": 5_000_000_000, "Retries": 2, "Test": ["CMD-SHELL", "true"]},
        "Labels": {"one": "1", "two": "2 3"},
        "StopSignal": "SIGINT",
        "User": "nobody",
        "Volumes": {"/data": {}},
        "WorkingDir": "/srv/app",
    }
    assert image.history == [
        "(empty) ARG WHO=world",
        "(empty) ENV A=1 B=x y",
        "(empty) ENV C=1-world",
        "WORKDIR /srv",
        "WORKDIR /srv/app",
        "(empty) LABEL one=1 two=2 3",
        "(empty) EXPOSE [53/udp 80/tcp]",
        "(empty) VOLUME [/data]",
        "(empty) USER nobody",
        "(empty) STOPSIGNAL SIGINT",
        '(empty) HEALTHCHECK &{["CMD-SHELL" "true"] "5s" "0s" "0s" "0s" \'\\x02\'}',
        '(empty) ENTRYPOINT ["echo"]',
        '(empty) CMD ["hi" "$A"]',
    ]


def test_a_command_runs_as_the_stage_says(builds: Builds) -> None:
    image = builds.build(
        """FROM busybox
ARG FROM_ARG=given
ENV FROM_ENV=set
WORKDIR /tmp
USER nobody
SHELL ["/bin/sh", "-ec"]
RUN echo "$FROM_ARG $FROM_ENV $(id -u) $(pwd) $HOME" >/tmp/seen
RUN ["sh", "-c", "echo exec >>/tmp/seen"]
RUN <<EOF
echo one >>/tmp/seen
echo two >>/tmp/seen
EOF
RUN <<EOF
#!/bin/sh
echo "$0" >>/tmp/seen
EOF
RUN cat <<A - >>/tmp/seen <<B
$FROM_ENV
A
last
B
"""
    )
    assert image.text("tmp/seen").splitlines() == [
        "given set 65534 /tmp /home",
        "exec",
        "one",
        "two",
        "/dev/pipes/EOF",
        "last",
    ]


def test_a_command_has_a_network_unless_told_otherwise(builds: Builds) -> None:
    image = builds.build("RUN ip addr | grep -c ': eth0' >/seen\nRUN --network=none ip addr | grep eth0 || true")
    assert image.text("seen") == "1\n"
    assert image.output == ""


def test_mounts_are_there_for_one_command_and_leave_nothing(builds: Builds) -> None:
    builds.write("given", "from the context")
    steps = """FROM busybox
RUN --mount=type=cache,target=/cache/it echo kept >>/cache/it/file && cat /cache/it/file
RUN --mount=type=tmpfs,target=/scratch touch /scratch/x
RUN --mount=type=bind,source=given,target=/in/given cat /in/given
RUN --mount=type=secret,id=key cat /run/secrets/key
"""
    image = builds.build(steps, secrets={"key": b"sesame"})
    assert "kept\n" in image.output and "from the context" in image.output and "sesame" in image.output
    assert all(image.view.find(path) is None for path in ("cache", "scratch", "in", "run"))
    assert not any("sesame" in entry for entry in image.history)
    again = builds.build(steps, secrets={"key": b"another"}, no_cache=True)
    assert "kept\nkept\n" in again.output


def test_only_stages_that_the_target_needs_are_built(builds: Builds) -> None:
    text = """FROM busybox AS one
RUN echo one >/one
FROM busybox AS broken
RUN exit 1
FROM one AS two
RUN cat /one >/two
FROM scratch
COPY --from=two /two /copied
COPY --from=0 /one /
"""
    image = builds.build(text)
    assert image.text("copied") == image.text("one") == "one\n"
    assert "exit 1" not in " ".join(image.steps)
    with pytest.raises(ImageError):
        builds.build(text, target="broken")
    assert builds.build(text, target="one").changed() == ["one"]


def test_triggers_of_a_base_image_run_first_and_are_gone_then(builds: Builds) -> None:
    builds.build("ONBUILD RUN echo triggered >/trigger\nONBUILD ENV FROM_TRIGGER=1", names=("with-triggers",))
    image = builds.build("FROM with-triggers\nRUN cat /trigger >/after")
    assert image.text("after") == "triggered\n"
    assert "FROM_TRIGGER=1" in image.config["Env"]
    assert "OnBuild" not in image.config


def test_an_image_is_built_from_nothing_with_programs_of_this_machine(builds: Builds) -> None:
    image = builds.build(
        """FROM scratch
COPY --from=host /bin/busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "echo built >/proof"]
CMD ["/bin/busybox", "cat", "/proof"]
"""
    )
    assert image.text("proof") == "built\n"
    assert sorted(image.view.names("")) == ["bin", "proof"]


def test_an_image_on_the_machines_own_stays_on_it(builds: Builds) -> None:
    builds.write("given", "g")
    image = builds.build("FROM host\nRUN echo more >/srv/more\nCOPY given /srv/")
    assert image.text("srv/more") == "more\n"
    assert image.view.find("usr/bin") is not None
    assert image.changed(0) == ["srv", "srv/more"]
    onward = builds.build(f"FROM {image.id}\nRUN cat /srv/more /srv/given >/both")
    assert onward.text("both") == "more\ng"


def test_what_was_moved_is_in_the_layer_as_a_whole(builds: Builds) -> None:
    image = builds.build("RUN mkdir -p /a/b && echo x >/a/b/file\nRUN mv /a /moved && chown 5 /etc/passwd")
    assert image.changed() == ["a", "etc", "etc/passwd", "moved", "moved/b", "moved/b/file"]
    assert image.text("moved/b/file") == "x\n"
    assert image.facts("etc/passwd") == ("644", 5, 0)
