"""One nftables table for each engine: publishing, the way out, and the walls between networks.

The table is rendered whole from a ``FirewallState`` and replaced in one transaction. Established connections
do not notice: connection tracking remembers where they go, and packets see either the old table or the new.
A change of who serves a port replaces only that port's chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from stackctl.model.container import Protocol
from stackctl.runtime.kernel import nft_expressions as x
from stackctl.runtime.kernel.conntrack import UDP, Flow, flows, forget
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
    open_nftables,
    types,
)
from stackctl.runtime.network.addresses import Subnet, parse_subnet

_PROTOCOLS: Final = {"tcp": b"\x06", "udp": b"\x11"}
_LOOPBACK: Final = parse_subnet("127.0.0.0/8")
_LO: Final = x.interface("lo")


class FirewallNetwork(NamedTuple):
    """A network that has a bridge."""

    bridge: str
    subnet: str
    is_internal: bool = False


class Backend(NamedTuple):
    """Where one replica takes connections: its address on the network that carries its default route."""

    address: str
    port: int


class FirewallPort(NamedTuple):
    """A published host port and the replicas that serve it in turn; none of them means connections are refused.

    ``host_ip`` "" or "0.0.0.0" means every address of the host. IPv6 addresses are left alone.
    """

    protocol: Protocol
    host_ip: str
    host_port: int
    backends: tuple[Backend, ...] = ()

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
        """Make the table as ``state`` says, in one transaction; nothing is sent when it is so already.

        Flows over UDP to replicas that went are forgotten, so that their next packet goes to another.
        Raises NetlinkError; the table is then as it was.
        """
        before, self._applied = self._applied, None
        batch = self._difference(before, state)
        batch.commit(self._netlink)
        self._applied = state
        if before is not None:
            self._forget_udp(before, state)

    def replace(self, state: FirewallState) -> None:
        """Make the table as ``state`` says, whatever may have happened to it meanwhile. Raises NetlinkError."""
        before, self._applied = self._applied, None
        render(self._table, state).commit(self._netlink)
        self._applied = state
        if before is not None:
            self._forget_udp(before, state)

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

    def _difference(self, before: FirewallState | None, state: FirewallState) -> Batch:
        if before is None or before.networks != state.networks or _keys(before.ports) != _keys(state.ports):
            return render(self._table, state)
        batch = Batch()
        old = {port.chain: port for port in before.ports}
        for port in _published(state.ports):
            if old[port.chain].backends != port.backends:
                batch.flush_chain(self._table, port.chain)
                _add_choice(batch, self._table, port)
        return batch

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
    """Return the transaction that makes the whole table. Pure."""
    batch = Batch()
    batch.replace_table(table)
    _add_sets(batch, table, state.networks)
    ports = _published(state.ports)
    for port in ports:
        batch.add_chain(table, port.chain)
        _add_choice(batch, table, port)
    _add_port_maps(batch, table, ports)
    _add_isolation(batch, table, state.networks)
    _add_publishing(batch, table)
    _add_masquerading(batch, table, state.networks)
    return batch


def _add_sets(batch: Batch, table: str, networks: Sequence[FirewallNetwork]) -> None:
    """Sets per prefix length, so that a packet costs the same however many networks there are.

    subnets-N: their base addresses. home-N: base address and bridge. outward-N: the ones that may go out.
    """
    for prefix, members in _by_prefix(networks):
        bases = [base.to_bytes(4, "big") for base, _ in members]
        homes = [base.to_bytes(4, "big") + x.interface(network.bridge) for base, network in members]
        outward = [base.to_bytes(4, "big") for base, network in members if not network.is_internal]
        batch.add_set(table, f"subnets-{prefix}", key_type=TYPE_ADDRESS, key_size=4, keys=bases)
        batch.add_set(table, f"outward-{prefix}", key_type=TYPE_ADDRESS, key_size=4, keys=outward)
        home_type = types(TYPE_ADDRESS, TYPE_INTERFACE)
        batch.add_set(table, f"home-{prefix}", key_type=home_type, key_size=20, keys=homes)
    names = [x.interface(network.bridge) for network in networks]
    internal = [x.interface(network.bridge) for network in networks if network.is_internal]
    batch.add_set(table, "bridges", key_type=TYPE_INTERFACE, key_size=16, keys=names)
    batch.add_set(table, "internal", key_type=TYPE_INTERFACE, key_size=16, keys=internal)
    same = types(TYPE_INTERFACE, TYPE_INTERFACE)
    batch.add_set(table, "within", key_type=same, key_size=32, keys=[name + name for name in internal])


def _add_isolation(batch: Batch, table: str, networks: Sequence[FirewallNetwork]) -> None:
    # State: every bridge is an interface of the host, which forwards between all of them.
    # Threat: containers of other networks, and neighbours on the host's own networks who set a route, reach
    # unpublished ports; anyone on a bridge reaches services on the host's 127.0.0.1 (CVE-2020-8558).
    # Order: before connection tracking and NAT, so a packet for a published port still names the host
    # here, and one that names a container from elsewhere is never legitimate. Replies to what went out
    # masqueraded name the host too.
    chain = "raw-prerouting"
    batch.add_base_chain(table, chain, kind="filter", hook=PREROUTING, priority=PRIORITY_RAW)
    batch.add_rule(table, chain, x.meta(x.META_IIFNAME), x.equal(_LO), x.verdict(x.ACCEPT))
    for load in (x.ip_destination(), x.ip_source()):
        loopback = (load, x.mask(_LOOPBACK.mask), x.equal(_LOOPBACK.base.to_bytes(4, "big")))
        batch.add_rule(table, chain, *loopback, x.verdict(x.DROP), comment="127/8 from outside")
    for prefix, _ in _by_prefix(networks):
        batch.add_rule(
            table,
            chain,
            *(x.ip_destination(), x.mask(_mask(prefix)), x.is_in(f"subnets-{prefix}")),
            *(x.meta(x.META_IIFNAME, x.REG1), x.is_not_in(f"home-{prefix}"), x.verdict(x.DROP)),
            comment="to a network from elsewhere",
        )
    chain = "forward"
    batch.add_base_chain(table, chain, kind="filter", hook=FORWARD, priority=PRIORITY_FILTER)
    # With br_netfilter, frames inside one bridge come by here as well.
    both = (x.meta(x.META_IIFNAME, x.REG0), x.meta(x.META_OIFNAME, x.REG0 + 4))
    batch.add_rule(table, chain, *both, x.is_in("within"), x.verdict(x.ACCEPT))
    for key in (x.META_IIFNAME, x.META_OIFNAME):
        internal = (x.meta(key), x.is_in("internal"))
        batch.add_rule(table, chain, *internal, x.verdict(x.DROP), comment="internal network")


def _add_publishing(batch: Batch, table: str) -> None:
    batch.add_chain(table, "published")
    protocol = x.meta(x.META_L4PROTO, x.REG1)
    specific = (x.ip_destination(x.REG0), protocol, x.destination_port(x.REG2))
    batch.add_rule(table, "published", *specific, x.mapped("specific", x.REG0, to=x.VERDICT))
    general = (x.meta(x.META_L4PROTO, x.REG0), x.destination_port(x.REG1))
    batch.add_rule(table, "published", *general, x.mapped("any", x.REG0, to=x.VERDICT))
    for chain, hook in (("prerouting", PREROUTING), ("output", OUTPUT)):
        batch.add_base_chain(table, chain, kind="nat", hook=hook, priority=PRIORITY_DSTNAT)
        batch.add_rule(table, chain, *x.to_local_address(), x.jump("published"))


def _add_masquerading(batch: Batch, table: str, networks: Sequence[FirewallNetwork]) -> None:
    chain = "postrouting"
    batch.add_base_chain(table, chain, kind="nat", hook=POSTROUTING, priority=PRIORITY_SRCNAT)
    # From the host's 127.0.0.1 to a published port: the container could not answer that source.
    loopback = (x.ip_source(), x.mask(_LOOPBACK.mask), x.equal(_LOOPBACK.base.to_bytes(4, "big")))
    onto_bridge = (x.meta(x.META_OIFNAME), x.is_in("bridges"))
    batch.add_rule(table, chain, *loopback, *onto_bridge, x.masquerade(), comment="from 127/8")
    for prefix, _ in _by_prefix(networks):
        load = (x.ip_source(), x.mask(_mask(prefix)))
        leaving = x.meta(x.META_OIFNAME, x.REG1)
        # To itself or a neighbour through the host's address: the answer must come back through the host.
        # Only what was redirected, or br_netfilter would have everything between neighbours rewritten.
        home = (*load, leaving, x.is_in(f"home-{prefix}"))
        batch.add_rule(table, chain, *home, *x.is_redirected(), x.masquerade(), comment="hairpin")
        away = (*load, x.is_in(f"outward-{prefix}"), leaving, x.is_not_in(f"home-{prefix}"))
        batch.add_rule(table, chain, *away, x.masquerade(), comment="way out")


def _add_port_maps(batch: Batch, table: str, ports: Sequence[FirewallPort]) -> None:
    specific: list[tuple[bytes, bytes]] = []
    general: list[tuple[bytes, bytes]] = []
    for port in ports:
        key = x.padded(_PROTOCOLS[port.protocol]) + x.padded(x.port(port.host_port))
        if _host_ip(port):
            specific.append((x.address(port.host_ip) + key, x.goto_data(port.chain)))
        else:
            general.append((key, x.goto_data(port.chain)))
    key_type = types(TYPE_PROTOCOL, TYPE_PORT)
    batch.add_verdict_map(table, "any", key_type=key_type, key_size=8, elements=general)
    key_type = types(TYPE_ADDRESS, TYPE_PROTOCOL, TYPE_PORT)
    batch.add_verdict_map(table, "specific", key_type=key_type, key_size=12, elements=specific)


def _add_choice(batch: Batch, table: str, port: FirewallPort) -> None:
    if not port.backends:
        return  # the packet stays at the host, where the port is held but nobody listens: refused
    if len(port.backends) == 1:
        only = port.backends[0]
        chosen: tuple[bytes, ...] = (x.load(x.address(only.address), x.REG0), x.load(x.port(only.port), x.REG1))
    else:
        name, set_id = batch.add_anonymous_map(
            table,
            key_size=4,
            data_type=types(TYPE_ADDRESS, TYPE_PORT),
            data_size=8,
            elements=[
                (x.number_key(number), x.value_data(x.address(b.address) + x.padded(x.port(b.port))))
                for number, b in enumerate(port.backends)
            ],
        )
        chosen = (x.numgen(len(port.backends)), x.mapped(name, set_id=set_id))
    batch.add_rule(table, port.chain, *chosen, x.redirect(x.REG0, x.REG1))


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


def _published(ports: Iterable[FirewallPort]) -> list[FirewallPort]:
    return [port for port in ports if ":" not in port.host_ip]


def _keys(ports: Iterable[FirewallPort]) -> set[str]:
    return {port.chain for port in ports}


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
