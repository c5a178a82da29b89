from __future__ import annotations

from stackctl.model.container import Dns
from stackctl.runtime.network.resolv import (
    ResolverSettings,
    host_resolv_conf,
    hosts_file,
    parse_resolv_conf,
    resolv_conf,
)

HOST = parse_resolv_conf(
    """\
# made by something
domain old.example
nameserver 127.0.0.53
nameserver 2001:db8::1
search corp.example lab.example
options edns0 trust-ad
;nameserver 9.9.9.9
nameserver
"""
)


def test_a_resolv_conf_is_read() -> None:
    assert (
        ResolverSettings(("127.0.0.53", "2001:db8::1"), ("corp.example", "lab.example"), ("edns0", "trust-ad")) == HOST
    )


def test_a_container_asks_us_and_searches_as_the_host_does() -> None:
    assert resolv_conf(Dns(servers=("1.1.1.1",)), HOST) == (
        "nameserver 127.0.0.11\nsearch corp.example lab.example\noptions edns0 trust-ad ndots:0\n"
    )


def test_settings_of_the_container_win() -> None:
    assert resolv_conf(Dns(search=("a.b",), options=("ndots:2",)), HOST) == (
        "nameserver 127.0.0.11\nsearch a.b\noptions ndots:2\n"
    )
    assert "search" not in resolv_conf(Dns(search=(".",)), HOST)


def test_in_the_hosts_namespace_the_hosts_servers_stay() -> None:
    assert host_resolv_conf(Dns(), HOST).startswith("nameserver 127.0.0.53\nnameserver 2001:db8::1\n")
    assert host_resolv_conf(Dns(servers=("1.1.1.1",)), ResolverSettings()) == "nameserver 1.1.1.1\n"


def test_the_hosts_file_names_the_container_and_its_extra_hosts() -> None:
    text = hosts_file(
        "web",
        ["10.208.0.2", "10.208.16.2"],
        extra_hosts=[("host.docker.internal", "host-gateway"), ("db", "192.0.2.7"), ("six", "::1")],
        gateway="10.208.0.1",
        domainname="example.org",
    )
    assert text.startswith("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
    assert text.endswith(
        "10.208.0.2\tweb.example.org web\n10.208.16.2\tweb.example.org web\n"
        "10.208.0.1\thost.docker.internal\n192.0.2.7\tdb\n::1\tsix\n"
    )
    assert "host-gateway" not in hosts_file("web", [], extra_hosts=[("h", "host-gateway")])
