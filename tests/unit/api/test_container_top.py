"""The processes of a container in columns of ps(1)."""

from __future__ import annotations

import pytest

from stackctl.api.connection import BadRequest
from stackctl.api.container_top import columns_of, top_json
from stackctl.runtime.processes import Process

SHELL = Process(uid=0, pid=7, parent_pid=3, started_s=1000.0, cpu_s=3700.0, tty="pts/0", command="/bin/sh -c 'sleep 9'")


@pytest.mark.parametrize(
    ("ps_args", "titles", "values"),
    [
        ("", ["UID", "PID", "PPID"], ["root", "7", "3"]),
        ("-ef", ["UID", "PID", "PPID"], ["root", "7", "3"]),
        ("-o pid,comm", ["PID", "COMMAND"], ["7", "sh"]),
        ("-eo pid,etime,time", ["PID", "ELAPSED", "TIME"], ["7", "1-02:00:00", "01:01:40"]),
        ("-opid", ["PID"], ["7"]),
    ],
)
def test_the_columns_asked_for_are_told(ps_args: str, titles: list[str], values: list[str]) -> None:
    shape = top_json([SHELL], 1000.0 + 26 * 3600, columns_of(ps_args))

    assert shape["Titles"][: len(titles)] == titles
    assert shape["Processes"][0][: len(values)] == values


@pytest.mark.parametrize("ps_args", ["aux", "--forest", "-o nonsense", "pid", "-o"])
def test_other_arguments_are_refused(ps_args: str) -> None:
    with pytest.raises(BadRequest, match="ps arguments"):
        columns_of(ps_args)
