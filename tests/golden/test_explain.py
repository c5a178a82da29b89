"""`config --explain`: every file, line and variable that took part in a value, word for word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.golden.conftest import Command

_FILES = {
    "compose.yaml": """\
include:
  - sub/db.yaml
services:
  base:
    image: nginx:${TAG:-1}
    environment:
      DEBUG: "0"
      LEVEL: info
    ports: ["80:80"]
  web:
    extends: base
    env_file: web.env
    environment:
      DEBUG: ${DEBUG:-1}
      BARE:
    ports:
      - "8080:80"
    labels: {gone: x}
""",
    "prod.yaml": """\
services:
  web:
    environment:
      DEBUG: ${D}-${SHELL_ONE:-x}
    labels: !override {a: b}
    ports:
      - "8080:80"
""",
    "web.env": "FROMFILE=1\nLEVEL=low\n",
    ".env": "D=dotenv\nBARE=q\n",
    "sub/db.yaml": "services:\n  db.main:\n    image: pg:${V:-16}\n",
}


@pytest.fixture
def stack(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files that reach each other in every way there is."""
    monkeypatch.setenv("SHELL_ONE", "s")
    for name in ("DEBUG", "D", "BARE", "TAG", "V"):
        monkeypatch.delenv(name, raising=False)
    (shop / "sub").mkdir()
    for name, text in _FILES.items():
        (shop / name).write_text(text)
    return shop


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize(
    ("path", "said"),
    [
        (
            "services.web.environment.DEBUG",
            """\
services.web.environment.DEBUG: dotenv-s
  holds     prod.yaml:4:14   DEBUG: ${D}-${SHELL_ONE:-x}
              D="dotenv" by .env:1:1
              SHELL_ONE="s" by the environment
  hidden    compose.yaml:14:14   DEBUG: ${DEBUG:-1}
              DEBUG is not set: `1` is used
  hidden    compose.yaml:7:14   DEBUG: "0"
              extended by compose.yaml:11:14
""",
        ),
        (
            "services.web.environment.LEVEL",
            """\
services.web.environment.LEVEL: info
  holds     compose.yaml:8:14   LEVEL: info
              extended by compose.yaml:11:14
  hidden    web.env:2:1   LEVEL=low
              read for compose.yaml:12:15
""",
        ),
        (
            "services.web.environment.FROMFILE",
            """\
services.web.environment.FROMFILE: "1"
  holds     web.env:1:1   FROMFILE=1
              read for compose.yaml:12:15
""",
        ),
        (
            "services.web.environment.BARE",
            """\
services.web.environment.BARE: q
  holds     compose.yaml:15:12   BARE:
              BARE="q" by .env:2:1
""",
        ),
        (
            "services.web.ports[1].target",
            """\
services.web.ports[1].target: 80
  holds     prod.yaml:7:9   - "8080:80"
  hidden    compose.yaml:17:9   - "8080:80"
""",
        ),
        (
            "services.web.labels",
            """\
services.web.labels:
  a: b
  holds     prod.yaml:5:5   labels: !override {a: b}
  taken out compose.yaml:18:5   labels: {gone: x}
""",
        ),
        (
            "services.db.main.image",
            """\
services["db.main"].image: pg:16
  holds     sub/db.yaml:3:12   image: pg:${V:-16}
              included by compose.yaml:2:5
              V is not set: `16` is used
""",
        ),
        ("networks.default.name", "networks.default.name: shop_default\n  default   no file says it\n"),
    ],
)
def test_what_took_part_in_a_value_is_told(path: str, said: str, call: Command) -> None:
    assert call("-f", "compose.yaml", "-f", "prod.yaml", "config", "--explain", path)[:2] == (0, said)


@pytest.mark.usefixtures("stack")
def test_a_path_that_leads_nowhere_is_refused_with_a_guess(call: Command) -> None:
    status, out, err = call("config", "--explain", "services.wbe.image")

    assert (status, out) == (1, "")
    assert err.endswith("error[usage]: there is no `wbe` in `services`\nhint: did you mean `web`?\n")


@pytest.mark.usefixtures("stack")
def test_an_explanation_can_be_read_by_programs(call: Command) -> None:
    status, out, _ = call("config", "--explain", "services.base.image", "--format", "json")

    found = json.loads(out)
    assert status == 0
    assert (found["path"], found["value"]) == ("services.base.image", "nginx:1")
    assert found["parts"] == [
        {
            "place": "compose.yaml:5:12",
            "holds": True,
            "value": "nginx:1",
            "written": "nginx:${TAG:-1}",
            "taken_out": False,
            "because": [],
            "variables": [{"name": "TAG", "value": None, "default": "1", "place": None}],
        }
    ]
