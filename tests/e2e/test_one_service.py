"""The least stack there is, through the command line."""

from __future__ import annotations

from pathlib import Path

from tests.support.engine import Engine


def test_a_service_comes_up_and_goes_down(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(
        "name: one\nservices:\n  web:\n    image: busybox\n    command: sleep 100\n    stop_grace_period: 0s\n",
        encoding="utf-8",
    )

    engine.run("up", "-d", cwd=tmp_path)
    shown = engine.run("ps", "--format", "json", cwd=tmp_path).rows()
    engine.run("down", cwd=tmp_path)

    assert [row["Name"] for row in shown] == ["one-web-1"]
    assert engine.run("ps", "-a", "-q", cwd=tmp_path).out == ""
