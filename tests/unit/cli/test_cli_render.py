"""What is drawn, to the letter."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from stackctl.cli.containers import in_order, listed
from stackctl.cli.render.course import Course, Update, Wait
from stackctl.cli.render.durations import ago, human_duration
from stackctl.cli.render.log_prefix import Prefixes
from stackctl.cli.render.plan import plan_lines
from stackctl.cli.render.ports import Port, ports_of, ports_text, urls
from stackctl.cli.render.ps import ps_json, ps_table
from stackctl.cli.render.template import formatted
from stackctl.cli.render.tty_view import TtyView
from stackctl.cli.render.views import JsonView, PlainView
from stackctl.errors import UsageError

Entry = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (180, "3 minutes"),
        (3600, "About an hour"),
        (47 * 3600, "47 hours"),
        (3 * 86400, "3 days"),
        (21 * 86400, "3 weeks"),
        (90 * 86400, "3 months"),
        (800 * 86400, "2 years"),
    ],
)
def test_durations_use_dockers_words(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


def test_a_clock_that_went_back_is_no_negative_age() -> None:
    assert ago(200, 100) == "Less than a second ago"


@pytest.mark.parametrize(
    ("ports", "text"),
    [
        ([("0.0.0.0", 8000, 8080, "tcp")], "0.0.0.0:8080->8000/tcp"),
        ([("::", 80, 80, "tcp"), ("0.0.0.0", 80, 80, "tcp")], "0.0.0.0:80->80/tcp, [::]:80->80/tcp"),
        ([("", 80, 0, "tcp")], "80/tcp"),
        ([("", 9000, 0, "tcp"), ("", 9001, 0, "tcp")], "9000-9001/tcp"),
        (
            [("0.0.0.0", 3000, 3000, "tcp"), ("0.0.0.0", 3001, 3001, "tcp")],
            "0.0.0.0:3000-3001->3000-3001/tcp",
        ),
        ([("0.0.0.0", 53, 53, "udp"), ("0.0.0.0", 80, 81, "tcp")], "0.0.0.0:53->53/udp, 0.0.0.0:81->80/tcp"),
    ],
)
def test_ports_are_written_as_dockers_tools_do(ports: list[tuple[str, int, int, str]], text: str) -> None:
    assert ports_text([Port(*port) for port in ports]) == text


def test_urls_are_of_published_tcp_ports_only() -> None:
    ports = [Port("0.0.0.0", 80, 8080, "tcp"), Port("::", 80, 8080, "tcp"), Port("", 81, 0, "tcp")]
    ports += [Port("0.0.0.0", 53, 53, "udp"), Port("10.0.0.1", 80, 90, "tcp"), Port("::1", 80, 91, "tcp")]
    assert urls(ports) == ("http://127.0.0.1:8080", "http://10.0.0.1:90", "http://[::1]:91")


def test_what_is_no_web_server_has_no_url() -> None:
    ports = [Port("0.0.0.0", 5432, 5432, "tcp"), Port("0.0.0.0", 443, 8443, "tcp")]
    assert urls(ports) == ("127.0.0.1:5432", "https://127.0.0.1:8443")


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.Name}}", "shop-web-1\n"),
        ("{{ .Name | upper }}:{{.State}}", "SHOP-WEB-1:running\n"),
        (
            r"table {{.Name}}\t{{.RunningFor}}\t{{.State}}",
            "NAME         CREATED   STATE\nshop-web-1   x         running\n",
        ),
        ("{{json .Name}}", '"shop-web-1"\n'),
        ("{{json .}}", '{"Name":"shop-web-1","State":"running","Labels":"a=b,c=d","RunningFor":"x"}\n'),
        ('{{.Label "c"}}', "d\n"),
    ],
)
def test_templates_choose_fields(template: str, text: str) -> None:
    row = {"Name": "shop-web-1", "State": "running", "Labels": "a=b,c=d", "RunningFor": "x"}
    assert formatted(template, [row]) == text


@pytest.mark.parametrize("template", ["{{.Nme}}", "{{range .Ports}}{{end}}"])
def test_a_template_that_is_not_understood_is_refused(template: str) -> None:
    with pytest.raises(UsageError, match="--format: "):
        formatted(template, [{"Name": "x"}])


def test_ps_has_composes_columns(entry: Entry) -> None:
    port = {"IP": "0.0.0.0", "PrivatePort": 8000, "PublicPort": 8080, "Type": "tcp"}
    web = entry("web", Ports=[port], Command="python3 -u /app/web.py --verbose")
    db = entry("db", status="Up 5 minutes (healthy)")
    text = ps_table(in_order([web, db]), now_s=1_700_000_000 + 180)
    assert text == (
        "NAME         IMAGE     COMMAND                  SERVICE   CREATED         STATUS"
        "                   PORTS\n"
        'shop-db-1    host      "serve"                  db        3 minutes ago   '
        "Up 5 minutes (healthy)   \n"
        'shop-web-1   host      "python3 -u /app/web…"   web       3 minutes ago   Up 3 seconds'
        "             0.0.0.0:8080->8000/tcp\n"
    )


def test_ps_json_has_composes_keys(entry: Entry) -> None:
    found = json.loads(ps_json(listed(entry("web", state="exited", status="Exited (3) 2 minutes ago")), now_s=1.7e9))
    assert sorted(found) == list(found)
    assert found["ExitCode"] == 3
    assert (found["Name"], found["Service"], found["Project"], found["Health"]) == (
        "shop-web-1",
        "web",
        "shop",
        "",
    )
    assert found["CreatedAt"] == "2023-11-14 22:13:20 +0000 UTC"
    assert "com.docker.compose.service=web" in found["Labels"].split(",")


@pytest.mark.parametrize(
    ("status", "health"),
    [("Up 3 seconds (health: starting)", "starting"), ("Up 1 hour (unhealthy)", "unhealthy")],
)
def test_health_is_read_from_the_status(entry: Entry, status: str, health: str) -> None:
    assert listed(entry(status=status)).health == health


def test_ports_that_are_listed_twice_are_one(entry: Entry) -> None:
    port = {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 80, "Type": "tcp"}
    assert len(ports_of(entry(Ports=[port, dict(port)]))) == 1


def test_log_prefixes_are_aligned_and_each_service_has_its_colour() -> None:
    prefixes = Prefixes(has_colour=True)
    for service, name in (("web", "web-1"), ("web", "web-2"), ("db", "db-1")):
        prefixes.add(service, name)
    assert prefixes.of("web", "web-2") == "\x1b[36mweb-2  | \x1b[0m"
    assert prefixes.of("db", "db-1") == "\x1b[33mdb-1   | \x1b[0m"
    assert Prefixes(has_colour=False).of("db", "db-1") == "db-1  | "


def test_a_plan_is_coloured_by_its_symbols() -> None:
    text = "Stack shop:\n\n  + container shop-web-1  (create)\n      new\n\nPlan: 1 to create.\n"
    assert plan_lines(text, has_colour=False) == text
    assert plan_lines(text, has_colour=True) == (
        "Stack shop:\n\n  \x1b[32m+ container shop-web-1  (create)\x1b[0m\n\x1b[2m      new\x1b[0m\n\n"
        "\x1b[1mPlan: 1 to create.\x1b[0m\n"
    )


REPLACE = {
    "changes": [
        {"key": "container/web/1", "name": "shop-web-1", "change": "replace"},
        {"key": "container/db/1", "name": "shop-db-1", "change": "keep"},
        {"key": "network/default", "name": "shop_default", "change": "keep"},
    ],
    "steps": [
        {"n": 1, "action": "CreateContainer", "title": "create 0123456789ab_shop-web-1"},
        {"n": 2, "action": "StopContainer", "title": "stop shop-web-1"},
        {"n": 3, "action": "RemoveContainer", "title": "remove shop-web-1"},
        {"n": 4, "action": "RenameContainer", "title": "rename 0123456789ab_shop-web-1 to shop-web-1"},
        {"n": 5, "action": "StartContainer", "title": "start shop-web-1"},
    ],
}


def step(n: int, state: str, **more: Any) -> dict[str, Any]:
    return {"event": "step", "n": n, "state": state, **more}


def plain(plan: dict[str, Any], *events: dict[str, Any]) -> str:
    lines: list[str] = []
    view, course = PlainView(lines.append), Course()
    titles = {entry["n"]: entry["title"] for entry in plan["steps"]}
    updates = [*course.begin(plan)]
    for event in events:
        updates += course.follow({"title": titles[event["n"]], **event})
    for update in updates:
        view.show(update, 0.0)
    return "".join(lines)


def test_what_has_done_its_work_is_not_said_to_run() -> None:
    kept = {"key": "container/migrate/1", "name": "shop-migrate-1", "change": "keep"}
    plan = {"changes": [{**kept, "reasons": [{"text": "has done its work"}]}], "steps": []}
    assert plain(plan) == " Container shop-migrate-1  Exited\n"


def test_a_replacement_is_told_in_composes_words() -> None:
    events = [step(n, state) for n in range(1, 6) for state in ("started", "done")]
    assert plain(REPLACE, *events) == (
        " Container shop-db-1  Running\n"
        " Container shop-web-1  Recreate\n"
        " Container shop-web-1  Stopping\n"
        " Container shop-web-1  Stopped\n"
        " Container shop-web-1  Recreated\n"
        " Container shop-web-1  Starting\n"
        " Container shop-web-1  Started\n"
    )


def test_networks_volumes_and_failures_are_told() -> None:
    plan = {
        "changes": [],
        "steps": [
            {"n": 1, "action": "CreateNetwork", "title": "create network shop_default"},
            {"n": 2, "action": "RemoveVolume", "title": "remove volume shop_data"},
            {"n": 3, "action": "KillContainer", "title": "kill shop-web-1 with SIGHUP"},
            {"n": 4, "action": "StartContainer", "title": "start shop-web-1"},
        ],
    }
    events = [step(1, "started"), step(1, "done"), step(2, "failed", detail="busy\x1b"), step(3, "done")]
    assert plain(plan, *events, step(4, "skipped")) == (
        " Network shop_default  Creating\n"
        " Network shop_default  Created\n"
        " Volume shop_data  Error  busy\\x1b\n"
        " Container shop-web-1  Killed\n"
        " Container shop-web-1  Skipped\n"
    )


WAIT = {
    "changes": [{"key": "container/db/1", "name": "my-db", "change": "create"}],
    "steps": [{"n": 1, "action": "AwaitCondition", "title": "await healthy of my-db"}],
}


def test_a_wait_says_for_what_and_how_long() -> None:
    lines: list[str] = []
    view, course = PlainView(lines.append), Course()
    list(course.begin(WAIT))
    list(course.follow({**WAIT["steps"][0], "event": "step", "state": "started"}))
    for now_s in (100.0, 104.0, 105.5, 112.0, 121.0):
        view.tick(course.waits, now_s)
    list(course.follow({**WAIT["steps"][0], "event": "step", "state": "done"}))
    view.tick(course.waits, 200.0)
    assert lines == [" waiting for db to be healthy (5s)\n", " waiting for db to be healthy (21s)\n"]


def test_a_wait_says_who_needs_it() -> None:
    starts = [
        {"n": number, "action": "StartContainer", "title": f"start shop-{name}-1", "after": [1], "soft_after": []}
        for number, name in ((2, "web"), (3, "api"))
    ]
    asked = {**WAIT["steps"][0], "event": "step", "state": "started", "because": "asked for by --wait"}
    several, alone = Course(), Course()
    list(several.begin({**WAIT, "steps": [*WAIT["steps"], *starts]}))
    list(alone.begin(WAIT))
    for course in (several, alone):
        list(course.follow(asked))

    assert [str(wait) for wait in several.waits] == ["waiting for db to be healthy, which web and api need"]
    assert [str(wait) for wait in alone.waits] == ["waiting for db to be healthy, asked for by --wait"]


def test_json_progress_is_one_object_a_line() -> None:
    lines: list[str] = []
    JsonView(lines.append).show(Update("Container shop-web-1", "working", "Starting"), 0.0)
    assert [json.loads(line) for line in lines] == [
        {"id": "Container shop-web-1", "status": "Working", "text": "Starting"}
    ]


def tty() -> TtyView:
    return TtyView(lambda _text: None, lambda: (60, 24), title="up", has_colour=False)


def test_the_live_table_shows_a_row_a_resource() -> None:
    view = tty()
    view.show(Update("Network shop_default", "done", "Created"), 10.0)
    view.show(Update("Container shop-db-1", "working", "Waiting"), 10.0)
    view.tick([Wait(("db",), "be healthy")], 10.0)
    view.tick([Wait(("db",), "be healthy")], 22.0)
    assert view.frame(22.0, columns=60, lines=24) == [
        "[+] up 1/2",
        " ✔ Network shop_default  Created                       0.0s",
        " ⠋ Container shop-db-1   Waiting                      12.0s",
        "   waiting for db to be healthy (12s)",
    ]


def test_a_table_higher_than_the_terminal_shows_what_goes_on() -> None:
    view = tty()
    for number in range(50):
        view.show(Update(f"Container c-{number}", "done", "Started"), float(number))
    view.show(Update("Container c-3", "working", "Stopping"), 60.0)
    frame = view.frame(60.0, columns=60, lines=10)
    assert len(frame) <= 9
    assert any("c-3 " in line and "Stopping" in line for line in frame)
    assert any("c-49" in line for line in frame)


def test_long_rows_are_cut_to_the_terminal() -> None:
    view = tty()
    view.show(Update("Container " + "x" * 80, "error", "Error", "port is taken"), 0.0)
    assert all(len(line) <= 60 for line in view.frame(0.0, columns=60, lines=24))


def test_the_cursor_comes_back_when_the_table_is_closed() -> None:
    written: list[str] = []
    view = TtyView(written.append, lambda: (60, 24), title="up")
    view.show(Update("Container a", "working", "Starting"), 0.0)
    view.tick([], 0.1)
    view.close()
    assert written[0].startswith("\x1b[?25l")
    assert written[-1].endswith("\x1b[?25h")
