"""Which parts of an instruction the builder expands."""

from __future__ import annotations

import pytest

from stackctl.images.dockerfile import ExpansionError
from stackctl.images.dockerfile.expanded import expanded
from stackctl.images.dockerfile.instruction import Copy, Env, Expose, Instruction
from tests.support.dockerfiles import dockerfile, instruction

ENV = {"A": "a", "K": "key", "TWO": "1 2", "STAGE": "img", "OLD": "old"}


def after(text: str) -> Instruction:
    return expanded(instruction(text), ENV, escape="\\")


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("ENV $K=$A B='$A' C=\"x $TWO\"", "ENV key=a B=$A C=x_1_2"),
        ("ENV OLD=new B=$OLD", "ENV OLD=new B=old"),
        ("ENV A $TWO  x", "ENV A 1 2  x"),
        ("LABEL $K.x=$A", "LABEL key.x=a"),
        ("EXPOSE 80 $TWO $NO ${A}", "EXPOSE 80 1 2 a"),
        ("VOLUME /$A $NO/x", "VOLUME /a /x"),
        ('VOLUME ["/$A"]', 'VOLUME ["/a"]'),
        ("USER $A:$K", "USER a:key"),
        ("WORKDIR /$A/${NO:-x}", "WORKDIR /a/x"),
        ("STOPSIGNAL ${SIG:-9}", "STOPSIGNAL 9"),
        (
            "COPY --from=$STAGE --chown=$A --chmod=${M:-644} --exclude=*.$A $A b $K/",
            "COPY --from=img --chown=a --chmod=644 --exclude=*.a a b key/",
        ),
        ("ADD --checksum=$A $A $K", "ADD --checksum=a a key"),
        ("RUN --mount=type=cache,target=/$A --network=$NO echo $A", "RUN --mount=type=cache,target=/a echo $A"),
        ("RUN <<EOF\n$A\nEOF", "RUN <<EOF\n$A\nEOF"),
        ("CMD echo $A", "CMD echo $A"),
        ('ENTRYPOINT ["$A"]', 'ENTRYPOINT ["$A"]'),
        ('SHELL ["$A"]', 'SHELL ["$A"]'),
        ("HEALTHCHECK CMD $A", "HEALTHCHECK CMD $A"),
        ("ONBUILD ENV X=$A", "ONBUILD ENV X=$A"),
        ("ARG X=$A", "ARG X=$A"),
    ],
)  # fmt: skip
def test_an_instruction_is_expanded_where_the_builder_does_it(text: str, same_as: str) -> None:
    found = after(text)
    if isinstance(found, Env) and "_" in same_as:
        found = Env(found.line, "", tuple((name, value.replace(" ", "_")) for name, value in found.pairs))
    assert found == instruction(same_as)


def test_from_is_expanded() -> None:
    base = dockerfile("FROM --platform=linux/$A ${K}:${A}").stages[0].base
    assert expanded(base, ENV, escape="\\") == dockerfile("FROM --platform=linux/a key:a").stages[0].base


def test_ports_of_one_variable_are_several() -> None:
    found = after("EXPOSE $TWO")
    assert isinstance(found, Expose) and found.ports == ("1", "2")


def test_a_copied_heredoc_is_expanded_unless_its_name_is_quoted() -> None:
    found = after("COPY <<-a <<'b' /\n\t$A \\$A \"'\n\ta\n$A\nb")
    assert isinstance(found, Copy)
    assert [heredoc.text for heredoc in found.heredocs] == ["a $A \"'\n", "$A\n"]


def test_a_fault_names_the_line() -> None:
    with pytest.raises(ExpansionError) as caught:
        after("ENV A=1 \\\n B=${X:?give}")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.detail == "Cannot expand `${X:?give}`: `X`: give."
    assert str(diagnostic.sources[0]) == "Dockerfile:2"
