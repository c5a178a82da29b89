"""One nftables table for each engine: publishing, the way out, and the walls between networks.

The table is made from a ``FirewallState`` in one transaction, or led from one state to the next. Established
connections do not notice: connection tracking remembers where they go.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from stackctl.model.container import Protocol
from stackctl.runtime.kernel import nft_expressions as x
from stackctl.runtime.kernel.conntrack import UDP, Flow, flows, forget
from stackctl.runtime.kernel.netlink import NetlinkError
from stackctl.runtime.kernel.nftables import (
    FORWARD,
    OUTPUT,
    POSTROUTING,
    PREROUTING,
    PRIORITY_DSTNAT,
    PRIORITY_FILTER,
    PRIORITY_RAW,
    PRIORITY_SRCNAT,
    TYPE_ADDRESS,
    TYPE_INTERFACE,
    TYPE_PORT,
    TYPE_PROTOCOL,
    Batch,
    SetRef,
    chains,
    open_nftables,
    tables,
    types,
)
from stackctl.runtime.network.addresses import Subnet, parse_subnet

_PROTOCOLS: Final = {"tcp": b"\x06", "udp": b"\x11"}
_LOOPBACK: Final = parse_subnet("127.0.0.0/8")
_LO: Final = x.interface("lo")
_PUBLISHED: Final = "published"
_RAW: Final = "raw-prerouting"
_FORWARD: Final = "forward"
_POSTROUTING: Final = "postrouting"
_ANY: Final = "on-any-address"
_SPECIFIC: Final = "on-one-address"
_IS_LOOPBACK: Final = (x.mask(_LOOPBACK.mask), x.equal(_LOOPBACK.base.to_bytes(4, "big")))


class FirewallNetwork(NamedTuple):
    """A network that has a bridge."""

    bridge: str
    subnet: str
    is_internal: bool = False
    is_masqueraded: bool = True
    has_icc: bool = True


class Backend(NamedTuple):
    """Where one replica takes connections: its address on the network that carries its default route."""

    address: str
    port: int


class FirewallPort(NamedTuple):
    """A published host port and the replicas that serve it in turn; none of them means connections are
    refused, or with ``is_held`` that they wait: their first packets are dropped, and come again.

    ``host_ip`` "" or "0.0.0.0" means every address of the host. IPv6 addresses are left alone.
    """

    protocol: Protocol
    host_ip: str
    host_port: int
    backends: tuple[Backend, ...] = ()
    is_held: bool = False

    @property
    def chain(self) -> str:
        """The name of the chain that chooses a replica."""
        return f"{self.protocol}-{_host_ip(self) or 'any'}-{self.host_port}"


@dataclass(frozen=True, slots=True)
class FirewallState:
    """All that the table is made from."""

    networks: tuple[FirewallNetwork, ...] = ()
    ports: tuple[FirewallPort, ...] = ()


class Firewall:
    """The table of one engine, kept as the last state says."""

    __slots__ = ("_applied", "_netlink", "_table")

    def __init__(self, engine_id: str) -> None:
        """Opens a socket in the present namespace, the host's. Raises OSError."""
        self._table = table_name(engine_id)
        self._netlink = open_nftables()
        self._applied: FirewallState | None = None

    def apply(self, state: FirewallState) -> None:
        """Make the table as ``state`` says, changing only what differs from the state applied before.

        Flows over UDP to replicas that went are forgotten, so that their next packet goes to another.
        Raises NetlinkError; the table is then as it was, and the next call makes all of it.
        """
        before = self._applied
        if before is None:
            self.replace(state)
            return
        self._applied = None
        try:
            render_difference(self._table, before, state).commit(self._netlink)
        except NetlinkError as failure:
            if failure.errno != errno.ENOENT:
                raise
            # Somebody flushed the host's rules, ours among them.
            self.replace(state)
            return
        self._applied = state
        self._forget_udp(before, state)

    def replace(self, state: FirewallState) -> None:
        """Make the table as ``state`` says, whatever has become of it meanwhile. Raises NetlinkError."""
        before, self._applied = self._applied, None
        try:
            render(self._table, state).commit(self._netlink)
        except NetlinkError as failure:
            if failure.errno not in (errno.EEXIST, errno.EOPNOTSUPP):
                raise
            # Chains of another version hang at other hooks. Packets on their way see a moment without rules.
            self.remove()
            render(self._table, state).commit(self._netlink)
        self._sweep(state)
        self._applied = state
        self._forget_udp(before or FirewallState(), state)

    def is_there(self) -> bool:
        """Whether the kernel still has the table: whoever loads rules of his own may flush all. Raises NetlinkError."""
        return self._table in tables(self._netlink)

    def remove(self) -> None:
        """Remove the table; harmless when there is none. Raises NetlinkError."""
        self._applied = None
        batch = Batch()
        batch.add_table(self._table)
        batch.delete_table(self._table)
        batch.commit(self._netlink)

    def close(self) -> None:
        """Close the socket; the table stays."""
        self._netlink.close()

    def _sweep(self, state: FirewallState) -> None:
        wanted = {_PUBLISHED, *published(state.ports)}
        batch = Batch()
        for chain in chains(self._netlink, self._table):
            if chain.hook < 0 and chain.name not in wanted:
                batch.delete_chain(self._table, chain.name)
        batch.commit(self._netlink)

    def _forget_udp(self, before: FirewallState, state: FirewallState) -> None:
        changed = {port.host_port for port in set(before.ports) ^ set(state.ports) if port.protocol == "udp"}
        if changed:
            serving: dict[int, set[str]] = {number: set() for number in changed}
            for port in state.ports:
                if port.protocol == "udp" and port.host_port in changed:
                    serving[port.host_port].update(backend.address for backend in port.backends)
            forget(self._netlink, [flow for flow in flows(self._netlink, UDP) if _is_stale(flow, serving)])


def table_name(engine_id: str) -> str:
    """Return the name of an engine's table, in the family ip."""
    return f"stackctl-{engine_id}"


def render(table: str, state: FirewallState) -> Batch:
    """Return the transaction that makes the whole table, whatever is in it; chains of other ports stay. Pure.

    A packet begins with the old rules or the new ones and keeps to them; but what it finds in a map, and
    which base chains it meets, is decided when it gets there. So, for no packet to fall between: base chains
    are kept, never replaced; maps are named, and an element that stays is never without a successor; and a
    replica is chosen by rules, not by a map (each of these was seen to refuse connections under load).
    """
    batch = Batch()
    batch.add_table(table)
    batch.flush_table(table)
    ports = published(state.ports)
    for port in ports.values():
        batch.add_chain(table, port.chain)
        _add_choice(batch, table, port)
    _add_publishing(batch, table, ports.values())
    _add_isolation(batch, table, state.networks)
    _add_masquerading(batch, table, state.networks)
    return batch


def render_difference(table: str, before: FirewallState, state: FirewallState) -> Batch:
    """Return the transaction that leads from one state to another. Pure."""
    batch = Batch()
    old, new = published(before.ports), published(state.ports)
    for name, port in new.items():
        known = old.get(name)
        if known is None:
            batch.add_chain(table, name)
        elif (known.backends, known.is_held) != (port.backends, port.is_held):
            batch.flush_chain(table, name)
        else:
            continue
        _add_choice(batch, table, port)
        if known is None:
            batch.add_to_map(table, _map_of(port), [(_port_key(port), x.goto_data(name))])
    for name, port in old.items():
        if name not in new:
            batch.delete_from_map(table, _map_of(port), [_port_key(port)])
            batch.flush_chain(table, name)
            batch.delete_chain(table, name)
    if before.networks != state.networks:
        for chain in (_RAW, _FORWARD, _POSTROUTING):
            batch.flush_chain(table, chain)
        _add_isolation(batch, table, state.networks)
        _add_masquerading(batch, table, state.networks)
    return batch


def published(ports: Iterable[FirewallPort]) -> dict[str, FirewallPort]:
    """Return the ports this table is for by chain, with the replicas of all that were written for each.
    Pure.
    """
    merged: dict[str, FirewallPort] = {}
    for port in ports:
        if ":" in port.host_ip:
            continue
        name = port.chain
        known = merged.get(name)
        merged[name] = known._replace(backends=known.backends + port.backends) if known else port
    return merged


def _add_isolation(batch: Batch, table: str, networks: Sequence[FirewallNetwork]) -> None:
    # State: every bridge is an interface of the host, which forwards between all of them.
    # Threat: containers of other networks, and neighbours on the host's own networks who set a route, reach
    # unpublished ports; anyone on a bridge reaches services on the host's 127.0.0.1 (CVE-2020-8558).
    # Order: before connection tracking and NAT, so a packet for a published port still names the host
    # here, and one that names a container from elsewhere is never legitimate. Replies to what went out
    # masqueraded name the host too.
    chain = _RAW
    batch.add_base_chain(table, chain, kind="filter", hook=PREROUTING, priority=PRIORITY_RAW)
    batch.add_rule(table, chain, x.meta(x.META_IIFNAME), x.equal(_LO), x.verdict(x.ACCEPT))
    for load in (x.ip_destination(), x.ip_source()):
        batch.add_rule(table, chain, load, *_IS_LOOPBACK, x.verdict(x.DROP), comment="127/8 from outside")
    for prefix, members in _by_prefix(networks):
        bases = _subnet_set(batch, table, members)
        homes = _home_set(batch, table, members)
        batch.add_rule(
            table,
            chain,
            *(x.ip_destination(), x.mask(_mask(prefix)), x.is_in(bases)),
            *(x.meta(x.META_IIFNAME, x.REG1), x.is_not_in(homes), x.verdict(x.DROP)),
            comment="to a network from elsewhere",
        )
    chain = _FORWARD
    batch.add_base_chain(table, chain, kind="filter", hook=FORWARD, priority=PRIORITY_FILTER)
    # Ports that are isolated from each other still reach the host, which would route between them.
    for network in networks:
        if not network.has_icc:
            pair = (x.meta(x.META_IIFNAME), x.equal(x.interface(network.bridge)))
            back = (x.meta(x.META_OIFNAME), x.equal(x.interface(network.bridge)))
            batch.add_rule(table, chain, *pair, *back, x.verdict(x.DROP), comment="no talk among neighbours")
    internal = [x.interface(network.bridge) for network in networks if network.is_internal]
    if not internal:
        return
    # With br_netfilter, frames inside one bridge come by here as well.
    both = (x.meta(x.META_IIFNAME, x.REG0), x.meta(x.META_OIFNAME, x.REG0 + 4))
    pairs = types(TYPE_INTERFACE, TYPE_INTERFACE)
    within = batch.add_set(table, key_type=pairs, key_size=32, keys=[name + name for name in internal])
    batch.add_rule(table, chain, *both, x.is_in(within), x.verdict(x.ACCEPT))
    for key in (x.META_IIFNAME, x.META_OIFNAME):
        names = batch.add_set(table, key_type=TYPE_INTERFACE, key_size=16, keys=internal)
        batch.add_rule(table, chain, x.meta(key), x.is_in(names), x.verdict(x.DROP), comment="internal network")


def _add_publishing(batch: Batch, table: str, ports: Iterable[FirewallPort]) -> None:
    batch.add_chain(table, _PUBLISHED)
    specific = types(TYPE_ADDRESS, TYPE_PROTOCOL, TYPE_PORT)
    verdicts = batch.add_verdict_map(table, _SPECIFIC, key_type=specific, key_size=12)
    whole = (x.ip_destination(x.REG0), x.meta(x.META_L4PROTO, x.REG1), x.destination_port(x.REG2))
    batch.add_rule(table, _PUBLISHED, *whole, x.carry_out(verdicts))
    verdicts = batch.add_verdict_map(table, _ANY, key_type=types(TYPE_PROTOCOL, TYPE_PORT), key_size=8)
    load = (x.meta(x.META_L4PROTO, x.REG0), x.destination_port(x.REG1))
    batch.add_rule(table, _PUBLISHED, *load, x.carry_out(verdicts))
    elements: dict[str, list[tuple[bytes, bytes]]] = {_SPECIFIC: [], _ANY: []}
    for port in ports:
        elements[_map_of(port)].append((_port_key(port), x.goto_data(port.chain)))
    for name, members in elements.items():
        batch.flush_map(table, name)
        batch.add_to_map(table, name, members)
    for chain, hook in (("prerouting", PREROUTING), ("output", OUTPUT)):
        batch.add_base_chain(table, chain, kind="nat", hook=hook, priority=PRIORITY_DSTNAT)
        batch.add_rule(table, chain, *x.to_local_address(), x.jump(_PUBLISHED))


def _add_masquerading(batch: Batch, table: str, networks: Sequence[FirewallNetwork]) -> None:
    chain = _POSTROUTING
    batch.add_base_chain(table, chain, kind="nat", hook=POSTROUTING, priority=PRIORITY_SRCNAT)
    # From the host's 127.0.0.1 to a published port: the container could not answer that source.
    onto = batch.add_set(
        table,
        key_type=TYPE_INTERFACE,
        key_size=16,
        keys=[x.interface(network.bridge) for network in networks],
    )
    onto_bridge = (x.meta(x.META_OIFNAME), x.is_in(onto))
    batch.add_rule(table, chain, x.ip_source(), *_IS_LOOPBACK, *onto_bridge, x.masquerade(), comment="from 127/8")
    for prefix, members in _by_prefix(networks):
        load = (x.ip_source(), x.mask(_mask(prefix)))
        leaving = x.meta(x.META_OIFNAME, x.REG1)
        # To itself or a neighbour through the host's address: the answer must come back through the host.
        # Only what was redirected, or br_netfilter would have everything between neighbours rewritten.
        home = (*load, leaving, x.is_in(_home_set(batch, table, members)))
        batch.add_rule(table, chain, *home, *x.is_redirected(), x.masquerade(), comment="hairpin")
        outward = _subnet_set(batch, table, [(base, network) for base, network in members if _is_hidden(network)])
        homes = _home_set(batch, table, members)
        away = (*load, x.is_in(outward), leaving, x.is_not_in(homes))
        batch.add_rule(table, chain, *away, x.masquerade(), comment="way out")


def _is_hidden(network: FirewallNetwork) -> bool:
    """Whether who talks to the outside from there does so under the host's address."""
    return network.is_masqueraded and not network.is_internal


def _subnet_set(batch: Batch, table: str, members: Sequence[tuple[int, FirewallNetwork]]) -> SetRef:
    keys = [base.to_bytes(4, "big") for base, _ in members]
    return batch.add_set(table, key_type=TYPE_ADDRESS, key_size=4, keys=keys)


def _home_set(batch: Batch, table: str, members: Sequence[tuple[int, FirewallNetwork]]) -> SetRef:
    keys = [base.to_bytes(4, "big") + x.interface(network.bridge) for base, network in members]
    return batch.add_set(table, key_type=types(TYPE_ADDRESS, TYPE_INTERFACE), key_size=20, keys=keys)


def _add_choice(batch: Batch, table: str, port: FirewallPort) -> None:
    """Every n-th goes to the first, of the rest every (n-1)-th to the second, and so on: exactly in turn.

    Without replicas the packet stays at the host, where the port is held but nobody listens: refused. Only the
    first packet of a connection comes here.
    """
    if port.is_held and not port.backends:
        batch.add_rule(table, port.chain, x.verdict(x.DROP), comment="held for a successor")
    for number, (address, target) in enumerate(port.backends):
        remaining = len(port.backends) - number
        turn = x.every(remaining) if remaining > 1 else ()
        load = (x.load(x.address(address), x.REG0), x.load(x.port(target), x.REG1))
        batch.add_rule(table, port.chain, *turn, *load, x.redirect(x.REG0, x.REG1))


def _port_key(port: FirewallPort) -> bytes:
    key = x.padded(_PROTOCOLS[port.protocol]) + x.padded(x.port(port.host_port))
    return x.address(port.host_ip) + key if _host_ip(port) else key


def _map_of(port: FirewallPort) -> str:
    return _SPECIFIC if _host_ip(port) else _ANY


def _is_stale(flow: Flow, serving: dict[int, set[str]]) -> bool:
    """Return whether a flow goes to a replica that no longer serves its port, or began when none did."""
    allowed = serving.get(flow.destination_port)
    if allowed is None:
        return False
    if flow.answered_by == flow.destination:
        return not flow.is_answered
    return flow.answered_by not in allowed


def _host_ip(port: FirewallPort) -> str:
    return "" if port.host_ip == "0.0.0.0" else port.host_ip


def _mask(prefix: int) -> int:
    return Subnet(0, prefix).mask


def _by_prefix(
    networks: Iterable[FirewallNetwork],
) -> list[tuple[int, list[tuple[int, FirewallNetwork]]]]:
    groups: dict[int, list[tuple[int, FirewallNetwork]]] = {}
    for network in networks:
        subnet = parse_subnet(network.subnet)
        groups.setdefault(subnet.prefix, []).append((subnet.base, network))
    return sorted(groups.items())
