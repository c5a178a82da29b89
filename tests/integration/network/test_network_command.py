"""`network` and `volume create`: what is external to stacks is made without Docker's command line."""

from __future__ import annotations

from pathlib import Path

from tests.support.engine import Engine
from tests.support.stack import BUSYBOX, FOREVER, stack_in


def test_stacks_share_a_network_and_a_volume_that_were_made_for_them(shared_engine: Engine, tmp_path: Path) -> None:
    shared = {"networks": {"lan": {"external": True}}, "volumes": {"kept": {"external": True}}}
    ask = {**BUSYBOX, "command": "wget -qO- one.lan:80", "networks": ["lan"]}
    serve = "echo shared >/www/index.html; exec httpd -f -h /www"
    with stack_in(shared_engine, tmp_path / "a", "one") as one, stack_in(shared_engine, tmp_path / "b", "two") as two:
        volumes, networks = ["kept:/www"], {"lan": {"aliases": ["one.lan"]}}
        one.write(
            {"it": {**FOREVER, "command": ["sh", "-c", serve], "volumes": volumes, "networks": networks}}, **shared
        )
        two.write({"it": ask}, networks=shared["networks"])
        missing = one.run("up", "-d", status=1).err
        assert "hint: make it first (`stackctl network create lan`)" in missing
        assert missing.count("error[") == 1

        one.run("network", "create", "--subnet", "10.213.0.0/24", "--label", "for=all", "lan")
        assert "stackctl volume create kept" in one.run("up", "-d", status=1).err
        assert one.run("volume", "create", "kept").out == "kept\n"
        one.run("up", "-d", "--wait")
        assert two.run("run", "--rm", "-T", "it").out == "shared\n"
        listed = one.run("network", "ls").out
        assert [line.split()[1:] for line in listed.splitlines() if "lan" in line] == [
            ["lan", "bridge", "10.213.0.0/24"]
        ]
        (shown,) = one.run("network", "inspect", "lan").json()
        assert (shown["Labels"], [c["Name"] for c in shown["Containers"].values()]) == ({"for": "all"}, ["one-it-1"])
        assert "active endpoints" in one.run("network", "rm", "lan", status=1).err
        one.run("network", "disconnect", "lan", "one-it-1")
        assert one.run("network", "inspect", "lan").json()[0]["Containers"] == {}
        one.run("down")
        assert one.run("network", "rm", "lan").out == "lan\n"
        assert "no-such-network" in one.run("network", "inspect", "lan", status=1).err
        one.run("volume", "rm", "kept")
