"""Keys that the engine does not honour, as `up` and `plan` tell them."""

from __future__ import annotations

from pathlib import Path

from tests.support.engine import Engine

_FILE = """\
name: odd
services:
  web:
    image: busybox
    command: sleep 100
    stop_grace_period: 0s
    annotations:
      a: b
    deploy:
      placement:
        constraints: [node.role==manager]
"""


def test_a_key_that_can_be_ignored_is_a_warning_and_one_that_cannot_stops_everything(
    shared_engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "compose.yaml").write_text(_FILE)
    warned = shared_engine.run("plan", cwd=tmp_path).err

    (tmp_path / "compose.yaml").write_text(f"{_FILE}    gpus: all\n")
    refused = shared_engine.run("up", "-d", cwd=tmp_path, status=1).err
    left = shared_engine.run("ps", "-a", "-q", cwd=tmp_path).out

    assert warned == (
        "warning[unsupported-key]: Not supported\n"
        "  --> compose.yaml:7:5\n"
        "    7 |     annotations:\n"
        "      |     ^^^^^^^^^^^\n"
        "`services.web.annotations` has no effect: annotations are kept, and nobody reads them.\n"
        "hint: remove it\n"
        "warning[unsupported-key]: Not supported\n"
        "  --> compose.yaml:11:9\n"
        "   11 |         constraints: [node.role==manager]\n"
        "      |         ^^^^^^^^^^^\n"
        "`services.web.deploy.placement.constraints` has no effect: it only means something to a cluster of machines.\n"
        "hint: remove it\n"
    )
    assert (
        "error[unsupported-key]: Not supported\n"
        "  --> compose.yaml:12:5\n"
        "   12 |     gpus: all\n"
        "      |     ^^^^\n"
        "`services.web.gpus` is not supported: GPUs are not handed out yet.\n"
        "hint: remove it, or run the stack on another engine\n"
    ) in refused
    assert left == ""
