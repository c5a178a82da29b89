"""Commands against a scripted engine: what they ask for, what they print, how they exit."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., tuple[int, str, str]]
Entry = Callable[..., dict[str, Any]]
APPLY = "POST /stackctl/v1/stacks/shop/apply"
PLAN = {
    "changes": [{"key": "container/web/1", "name": "shop-web-1", "change": "create"}],
    "steps": [{"n": 1, "action": "CreateContainer", "title": "create shop-web-1"}],
    "empty": False,
}


def step(n: int, action: str, title: str, state: str) -> dict[str, Any]:
    return {"event": "step", "n": n, "action": action, "title": title, "state": state}


def failed(message: str, **more: Any) -> dict[str, Any]:
    return {
        "event": "end",
        "ok": False,
        "error": {"kind": "ApplyError", "code": "apply", "message": message, **more},
    }


# -- ps


def test_ps_shows_running_ones_and_with_all_the_others(call: Call, engine: Any, entry: Entry) -> None:
    engine.containers = [
        entry("web"),
        entry("db", state="exited", status="Exited (0) 1 minute ago"),
        entry("web", 9, oneoff="True", name="shop-web-run-1", id="f" * 64),
    ]
    assert call("ps", "-q")[1].splitlines() == [entry("web")["Id"]]
    assert [json.loads(line)["Name"] for line in call("ps", "-a", "--format", "json")[1].splitlines()] == [
        "shop-db-1",
        "shop-web-1",
        "shop-web-run-1",
    ]
    assert call("ps", "--services", "--status", "exited")[1] == "db\n"
    assert "com.docker.compose.project%3Dshop" in engine.asked[0]


@pytest.mark.usefixtures("engine")
def test_ps_of_an_unknown_service_fails_and_of_one_without_containers_does_not(
    call: Call,
) -> None:
    assert call("ps", "-q", "web") == (0, "", "")
    assert call("ps", "wbe") == (
        1,
        "",
        "error[no-such-service]: no such service: wbe\nhint: did you mean `web`?\n",
    )


@pytest.mark.usefixtures("no_engine")
def test_without_an_engine_nothing_runs(call: Call) -> None:
    assert call("ps", "-q") == (0, "", "")
    assert call("down") == (0, "", "")
    assert call("kill") == (0, "", "No container to kill\n")
    assert call("rm") == (0, "", "No stopped containers\n")
    assert call("start")[0] == 1
    assert call("exec", "web", "true")[0] == 1
    assert call("engine", "status") == (1, "The engine is not running\n", "")


# -- up, down and their like


def test_up_sends_the_document_and_tells_the_course(call: Call, engine: Any, entry: Entry) -> None:
    port = {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}
    engine.containers = [entry("web", Ports=[port])]
    engine.on_apply(
        {"event": "plan", "plan": PLAN, "text": "Stack shop:\n  + container shop-web-1  (create)\n"},
        step(1, "CreateContainer", "create shop-web-1", "started"),
        step(1, "CreateContainer", "create shop-web-1", "done"),
    )
    status, out, err = call("up", "-d", "--scale", "web=2", "--remove-orphans", "web")
    assert (status, out) == (0, "web  http://127.0.0.1:8080\n")
    assert err == (
        "Stack shop:\n  + container shop-web-1  (create)\n"
        " Container shop-web-1  Creating\n Container shop-web-1  Created\n"
    )
    body = engine.bodies[APPLY]
    assert body["document"]["tree"]["services"]["web"]["image"] == "host"
    assert (body["verb"], body["services"], body["scale"]) == ("up", ["web"], {"web": 2})
    assert (body["remove_orphans"], body["recreate"], body["wait"]) == (True, "diverged", False)


def test_contents_of_configs_travel_apart(call: Call, engine: Any, shop: Path) -> None:
    (shop / "compose.yaml").write_text(
        "services: {web: {image: host, secrets: [key]}}\nsecrets: {key: {file: ./key.txt}}\n"
    )
    (shop / "key.txt").write_text("sesame")
    engine.on_apply()
    assert call("up", "-d")[0] == 0
    body = engine.bodies[APPLY]
    assert body["contents"] == {"secret/key": "c2VzYW1l"}
    assert "sesame" not in json.dumps(body["document"])


def test_a_failed_up_shows_the_error_and_exits_with_one(call: Call, engine: Any) -> None:
    engine.on_apply(
        step(1, "StartContainer", "start shop-web-1", "started"),
        {**step(1, "StartContainer", "start shop-web-1", "failed"), "detail": "port is taken"},
        failed("port is taken", hint="free it"),
    )
    status, out, err = call("up", "-d")
    assert (status, out) == (1, "")
    assert err == (
        " Container shop-web-1  Starting\n Container shop-web-1  Error  port is taken\n"
        "error[apply]: port is taken\nhint: free it\n"
    )


def test_a_stream_that_breaks_off_is_an_error_that_says_nothing_was_stopped(
    call: Call,
    engine: Any,
) -> None:
    engine.on("POST .*/apply", lambda exchange: exchange.lines({"event": "apply", "id": "a1"}))
    status, _, err = call("up", "-d")
    assert status == 1
    assert "the engine goes on" in err


def test_warnings_are_told_once(call: Call, engine: Any) -> None:
    warning = {"severity": "warning", "code": "odd", "summary": "Odd", "detail": "It is odd.", "sources": []}
    engine.on_apply(*({"event": "warning", "diagnostic": warning} for _ in range(2)))
    assert call("up", "-d")[2].count("warning[odd]: Odd") == 1


def test_a_key_without_meaning_costs_one_line_and_lint_tells_it_whole(call: Call, shop: Path) -> None:
    stack = shop / "compose.yaml"
    stack.write_text(f"version: '3'\n{stack.read_text('utf-8')}", encoding="utf-8")
    brief = "warning[obsolete-key]: compose.yaml:1: `version` has no meaning any more and is ignored: remove it\n"

    assert call("config", "-q") == (0, "", brief)
    assert "    1 | version: '3'\n" in call("lint")[1]


def test_json_progress_is_json_only(call: Call, engine: Any) -> None:
    engine.on_apply(
        {"event": "plan", "plan": PLAN, "text": "Stack shop:\n"},
        step(1, "CreateContainer", "create shop-web-1", "done"),
    )
    status, out, err = call("--progress", "json", "up", "-d")
    assert (status, out) == (0, "")
    assert [json.loads(line) for line in err.splitlines()] == [
        {"id": "Container shop-web-1", "status": "Done", "text": "Created"}
    ]
    assert call("--progress", "quiet", "up", "-d") == (0, "", "")


def test_down_asks_without_a_document(call: Call, engine: Any, entry: Entry) -> None:
    engine.containers = [entry("web"), entry("db")]
    engine.on_apply(step(1, "RemoveNetwork", "remove network shop_default", "done"))
    assert call("down", "-v", "-t", "3") == (0, "", " Network shop_default  Removed\n")
    body = engine.bodies[APPLY]
    assert (body["verb"], body["document"], body["remove_volumes"], body["timeout_s"]) == (
        "down",
        None,
        True,
        3.0,
    )


def test_a_project_named_by_option_needs_no_file(call: Call, engine: Any, shop: Path) -> None:
    (shop / "compose.yaml").unlink()
    engine.on_apply()
    assert call("-p", "other", "down")[0] == 0
    assert "POST /stackctl/v1/stacks/other/apply" in engine.bodies


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("stop", "-t", "1", "web"), {"verb": "stop", "timeout_s": 1.0, "services": ["web"]}),
        (("restart", "--no-deps"), {"verb": "restart", "no_deps": True, "services": []}),
        (("kill", "-s", "hup"), {"verb": "kill", "signal": "SIGHUP"}),
        (("kill", "-s", "15"), {"verb": "kill", "signal": "SIGTERM"}),
        (("start", "web"), {"verb": "start", "services": ["web"]}),
    ],
)
def test_what_the_verbs_ask_for(
    call: Call, engine: Any, entry: Entry, arguments: tuple[str, ...], expected: dict[str, Any]
) -> None:
    engine.containers = [entry("web")]
    engine.on_apply()
    assert call(*arguments)[0] == 0
    assert expected.items() <= engine.bodies[APPLY].items()


def test_start_of_a_service_without_containers_fails_and_stop_does_not(call: Call, engine: Any, entry: Entry) -> None:
    engine.containers = [entry("web")]
    assert call("start", "db")[2].startswith('error[no-container]: service "db" has no container to start\n')
    assert call("stop", "db") == (0, "", "")
    assert not any(asked.startswith("POST") for asked in engine.asked)


def test_rm_removes_stopped_ones_only(call: Call, engine: Any, entry: Entry) -> None:
    gone = entry("db", state="exited", status="Exited (0) 1 minute ago")
    engine.containers = [entry("web"), gone]
    engine.on("DELETE /containers/", lambda exchange: exchange.answer(status=204))
    status, _, err = call("rm", "-f")
    assert (status, err) == (0, " Container shop-db-1  Removing\n Container shop-db-1  Removed\n")
    assert [asked.split("?")[0] for asked in engine.asked if asked.startswith("DELETE")] == [
        f"DELETE /containers/{gone['Id']}"
    ]


# -- plan, config


def test_plan_exits_with_two_only_when_asked_to(call: Call, engine: Any) -> None:
    engine.on("POST .*/plan", lambda e: e.answer({"plan": PLAN, "text": "Stack shop:\n", "diagnostics": []}))
    assert call("plan") == (0, "Stack shop:\n", "")
    assert call("plan", "--detailed-exitcode")[0] == 2
    assert json.loads(call("plan", "--json")[1]) == PLAN
    engine.on("POST .*/plan", lambda e: e.answer({"plan": {"empty": True}, "text": "", "diagnostics": []}))
    assert call("plan", "--detailed-exitcode")[0] == 0
    engine.on("POST .*/plan", lambda e: e.answer({"message": "cycle", "kind": "PlanError", "code": "plan"}, 400))
    assert call("plan", "--detailed-exitcode") == (1, "", "error[plan]: cycle\n")


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize(
    "arguments", [("up", "wbe"), ("up", "-d", "--scale", "wbe=2"), ("plan", "wbe"), ("run", "wbe")]
)
def test_services_that_do_not_exist(call: Call, arguments: tuple[str, ...]) -> None:
    assert call(*arguments) == (
        1,
        "",
        "error[no-such-service]: no such service: wbe\nhint: did you mean `web`?\n",
    )


def test_config_lists_and_prints(call: Call, shop: Path) -> None:
    assert call("config", "--services")[1].split() == ["web", "db"]
    assert call("--profile", "tools", "config", "--services")[1].split() == ["web", "db", "tool"]
    assert call("config", "--profiles")[1] == "tools\n"
    assert call("config", "--images")[1] == "host\nhost\n"
    assert call("config", "-q") == (0, "", "")
    assert json.loads(call("config", "--format", "json")[1])["name"] == "shop"
    assert call("config", "-o", "out.yaml")[1] == ""
    assert (shop / "out.yaml").read_text().startswith("name: shop\n")


# -- logs


def test_logs_have_prefixes_and_join_pieces(call: Call, engine: Any, entry: Entry) -> None:
    engine.containers = [entry("web"), entry("db"), entry("db", 2, state="created")]
    engine.on("GET /containers/web", lambda e: e.frames((1, b"one\ntw"), (2, b"bad\n"), (1, b"o\nlast")))
    engine.on("GET /containers/db", lambda e: e.frames((1, b"data\r\n")))
    assert call("logs") == (0, "db-1   | data\nweb-1  | one\nweb-1  | bad\nweb-1  | two\nweb-1  | last\n", "")
    assert call("logs", "--no-log-prefix", "-n", "5", "-t", "db")[1] == "data\n"
    assert "tail=5&timestamps=1" in engine.asked[-1]


def test_following_ends_when_all_have_ended(call: Call, engine: Any, entry: Entry) -> None:
    engine.containers = [entry("web", state="exited", status="Exited (0) now")]
    engine.on("GET /containers/web.*/logs", lambda e: e.frames((1, b"bye\n")))
    assert call("logs", "-f") == (0, "web-1  | bye\n", "")


def test_following_picks_up_new_replicas(call: Call, engine: Any, entry: Entry) -> None:
    engine.containers = [entry("web")]

    def first(exchange: Any) -> None:
        engine.containers = [
            entry("web", state="exited", status="Exited (0) now"),
            entry("web", 2, state="exited", status="Exited (0) now"),
        ]
        exchange.frames((1, b"one\n"))

    engine.on("GET /containers/web1.*/logs", first)
    engine.on("GET /containers/web2.*/logs", lambda e: e.frames((1, b"two\n")))
    assert call("logs", "-f")[1] == "web-1  | one\nweb-2  | two\n"


# -- image, engine


def test_images(call: Call, engine: Any) -> None:
    found = {"Id": "sha256:" + "ab" * 32, "RepoTags": ["reg:5000/app:1"], "Created": 0, "Size": 12_345_678}
    engine.on("GET /images/json", lambda e: e.answer([found]))
    assert call("image", "ls")[1].splitlines()[1].split()[:3] == ["reg:5000/app", "1", "abababababab"]
    assert call("image", "ls")[1].rstrip().endswith("12.35MB")
    engine.on("DELETE /images/", lambda e: e.answer([{"Untagged": "app:1"}]))
    assert call("image", "rm", "app:1")[1] == "Untagged: app:1\n"


def test_image_load_says_what_came_and_what_failed(call: Call, engine: Any, shop: Path) -> None:
    (shop / "app.tar").write_bytes(b"x" * 1000)
    engine.on("POST /images/load", lambda e: e.lines({"stream": "Loaded image: app:1\n"}))
    assert call("image", "load", "-i", "app.tar") == (0, "Loaded image: app:1\n", "")
    engine.on("POST /images/load", lambda e: e.lines({"error": "not an archive"}))
    assert call("image", "load", "-i", "app.tar") == (1, "", "error[image]: not an archive\n")
    assert call("image", "load", "-i", "absent.tar")[0] == 1


def test_engine_status_and_stop(call: Call, engine: Any) -> None:
    status = {
        "id": "abc123",
        "root": "/r",
        "api": "unix:///s",
        "version": "1",
        "pids": {"keeper": 1},
        "containers": {"running": 2, "total": 3},
    }
    engine.on("GET /stackctl/v1/engine", lambda e: e.answer(status))
    assert "containers: 2 running, 3 in all\n" in call("engine", "status")[1]
    assert json.loads(call("engine", "status", "--format", "json")[1])["running"] is True
    engine.on("POST /stackctl/v1/engine/stop", lambda e: e.answer({"message": "2 containers run"}, 409))
    assert call("engine", "stop") == (1, "", "error[conflict]: 2 containers run\n")


def test_a_stack_file_from_standard_input_is_read_once(
    call: Call, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("name: piped\nservices: {web: {image: host}}\n"))
    assert call("-f", "-", "ps", "-q", "web") == (0, "", "")
    assert "project%3Dpiped" in engine.asked[0]


@pytest.mark.usefixtures("engine")
def test_an_engine_of_somebody_else_is_named(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_environment: object) -> str:
        raise PermissionError(13, "Permission denied", "/var/lib/stackctl/engine-id")

    monkeypatch.setattr(sys.modules["stackctl.engines.start"], "known_engine", refuse)
    status, _, err = call("ps")
    assert status == 1
    assert err.startswith("error[engine-permission]: you may not use this engine: /var/lib/stackctl/engine-id\nhint:")


def test_warnings_in_json_progress_are_json(call: Call, engine: Any) -> None:
    warning = {"severity": "warning", "code": "odd", "summary": "Odd", "detail": "It is odd.", "sources": []}
    engine.on_apply({"event": "warning", "diagnostic": warning})
    found = json.loads(call("--progress", "json", "up", "-d")[2])
    assert (found["status"], found["text"]) == ("Warning", "Odd")
