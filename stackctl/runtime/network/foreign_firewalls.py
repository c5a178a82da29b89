"""Firewalls of others on this host: what they would do to our traffic, and the one rule we may add.

A packet is accepted only when every base chain at a hook accepts it, so no rule of ours can
overrule theirs. Docker offers a chain for such rules; with the others we can only say what to do.
"""

from __future__ import annotations

import os
from typing import Final

from stackctl.runtime.kernel import nft_expressions as x
from stackctl.runtime.kernel.netlink import Netlink
from stackctl.runtime.kernel.nftables import FAMILY_INET, FAMILY_IP, FORWARD, Batch, chains, rules, tables

_FILTER: Final = "filter"
_DOCKER_USER: Final = "DOCKER-USER"
_DROP: Final = 0

_UFW: Final = "ufw is active and may drop container traffic; allow it with: ufw route allow in on BRIDGE"
_FIREWALLD: Final = "firewalld is active and may drop container traffic; put the bridges into a trusted zone"
_LEGACY: Final = "iptables-legacy rules are active; a FORWARD policy of DROP there stops container traffic"
_POLICY: Final = "the chain {} of the nftables table {} drops by default, which stops container traffic"


def has_docker_user(netlink: Netlink) -> bool:
    """Return whether Docker's chain for rules of others exists (iptables-nft). Raises NetlinkError."""
    return any(chain.name == _DOCKER_USER for chain in chains(netlink, _FILTER))


def accept_in_docker_user(netlink: Netlink, engine_id: str) -> bool:
    """Have Docker let the traffic of this engine's bridges through; return whether something was changed.

    Docker's default for forwarded traffic is to drop it. Nothing happens without its chain, or when our rules
    are there already. Raises NetlinkError.
    """
    if not has_docker_user(netlink):
        return False
    tag = _tag(engine_id)
    if sum(rule.comment == tag for rule in rules(netlink, _FILTER, _DOCKER_USER)) == 2:
        return False
    remove_from_docker_user(netlink, engine_id)
    batch = Batch()
    # The beginning of the name only: as iptables writes "sc1a2b3c-+", so that it can still list its table.
    start = f"sc{engine_id[:6]}-".encode()
    for key in (x.META_IIFNAME, x.META_OIFNAME):
        batch.insert_rule(
            _FILTER, _DOCKER_USER, x.meta(key), x.equal(start), x.counter(), x.verdict(x.ACCEPT), comment=tag
        )
    batch.commit(netlink)
    return True


def remove_from_docker_user(netlink: Netlink, engine_id: str) -> None:
    """Take our rules out of Docker's chain again; harmless when there are none. Raises NetlinkError."""
    batch = Batch()
    for rule in rules(netlink, _FILTER, _DOCKER_USER):
        if rule.comment == _tag(engine_id):
            batch.delete_rule(_FILTER, _DOCKER_USER, rule.handle)
    batch.commit(netlink)


def notices(netlink: Netlink, *, ufw_configuration: str = "/etc/ufw/ufw.conf") -> tuple[str, ...]:
    """Return what the owner of the host should know about other firewalls. Raises NetlinkError."""
    found: list[str] = []
    if _is_ufw_enabled(ufw_configuration):
        found.append(_UFW)
    if "firewalld" in tables(netlink, FAMILY_INET) or os.path.isdir("/run/firewalld"):
        found.append(_FIREWALLD)
    if _legacy_iptables():
        found.append(_LEGACY)
    if not found and not has_docker_user(netlink):
        found += _dropping(netlink)
    return tuple(found)


def _tag(engine_id: str) -> str:
    return f"stackctl {engine_id}"


def _dropping(netlink: Netlink) -> list[str]:
    return [
        _POLICY.format(chain.name, table)
        for family in (FAMILY_IP, FAMILY_INET)
        for table in tables(netlink, family)
        for chain in chains(netlink, table, family)
        if chain.hook == FORWARD and chain.policy == _DROP
    ]


def _is_ufw_enabled(path: str) -> bool:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return any(line.strip().lower().replace('"', "") == "enabled=yes" for line in file)
    except OSError:
        return False


def _legacy_iptables() -> bool:
    try:
        with open("/proc/thread-self/net/ip_tables_names", encoding="ascii") as file:
            return _FILTER in file.read().split()
    except OSError:
        return False
