"""Networks as the supervisor holds them: specifications, bridges, addresses, ports, names, traffic."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from stackctl.errors import Conflict, EngineError, NotFound
from stackctl.model.container import Attachment, JoinNetworks, NoNetwork, PublishedPort
from stackctl.model.network import NetworkSpec, bridge_options
from stackctl.runtime import etc_files
from stackctl.runtime.cut_off import cut_off
from stackctl.runtime.faults import fault_point
from stackctl.runtime.kernel import rtnetlink
from stackctl.runtime.kernel.netlink import Netlink
from stackctl.runtime.kernel.netns import open_netns
from stackctl.runtime.loop import Loop
from stackctl.runtime.network import bridges, host
from stackctl.runtime.network.addresses import parse_mac
from stackctl.runtime.network.bridges import BridgeInfo
from stackctl.runtime.network.dns_server import DnsServer
from stackctl.runtime.network.firewall import Firewall
from stackctl.runtime.network.firewall_watch import FirewallWatch
from stackctl.runtime.network.forwarding import note_forwarding
from stackctl.runtime.network.ipam import AddressError, AddressPool, AddressTaken, Taken, plan_addressing
from stackctl.runtime.network.ipv6_relay import Ipv6Relay
from stackctl.runtime.network.link_watch import LinkWatch
from stackctl.runtime.network_store import Network, NetworkStore
from stackctl.runtime.paths import RUN_PARENT, EnginePaths
from stackctl.runtime.published_ports import PublishedPorts
from stackctl.runtime.record import Container
from stackctl.runtime.traffic import Traffic, attachments, fixed_addresses

_DRIVERS: Final = ("", "bridge")


class Networks:
    """The engine's networks and everything that containers hold on them."""

    def __init__(
        self, paths: EnginePaths, loop: Loop, helpers: set[int], bridge_lost: Callable[[], None] = lambda: None
    ) -> None:
        """``bridge_lost`` is called soon after a bridge was deleted or taken down."""
        self._paths = paths
        self._netlink = Netlink()
        self._firewall = Firewall(paths.engine_id)
        self._ports = PublishedPorts(Ipv6Relay(loop, helpers))
        self._traffic = Traffic(loop, self._firewall, self._ports, self.all)
        zone = self._traffic.zone
        self._dns = DnsServer(loop, zone.lookup, zone.reverse, is_waiting=zone.is_waiting)
        self._store = NetworkStore(paths.networks)
        self._networks = {network.spec.name: network for network in self._store.read_all()}
        self._members: dict[str, Container] = {}
        self._notices: list[str] = []
        self._watch = FirewallWatch(loop, paths.engine_id, self._traffic.mend)
        self._bridge_lost = bridge_lost
        self._link_watch = LinkWatch(loop, self._look_at_bridges)

    # -- networks ---------------------------------------------------------------------------------

    def all(self) -> list[Network]:
        """Return every network, by name."""
        return [self._networks[name] for name in sorted(self._networks)]

    def find(self, name: str) -> Network | None:
        """Return the network, None when there is none."""
        return self._networks.get(name)

    def create(self, spec: NetworkSpec) -> Network:
        """Make the network unless it exists as asked. Raises Conflict when it exists otherwise, EngineError."""
        found = self._networks.get(spec.name)
        if found is not None:
            if found.spec != spec:
                raise Conflict(f"network {spec.name} exists with another definition", code="network-differs")
            return found
        if not spec.name or "/" in spec.name or spec.name.startswith(".") or len(spec.name) > 200:
            raise EngineError(f"invalid network name: {spec.name!r}", code="invalid-name")
        if spec.driver not in _DRIVERS:
            raise EngineError(
                f"network {spec.name}: driver {spec.driver!r} is not available",
                code="network-driver",
                hint="only the driver bridge is built in",
            )
        try:
            bridge_options(spec.options)
        except ValueError as error:
            raise EngineError(f"network {spec.name}: {error}", code="network-driver") from error
        network_id = os.urandom(32).hex()
        with host.subnet_lock(f"{RUN_PARENT}/subnets.lock"):
            addressing = plan_addressing(spec, self._taken())
            network = Network(network_id, spec, addressing, AddressPool(addressing), time.time_ns())
            # Order: the record before the bridge, so that a bridge without a record is never anything but leftovers.
            self._store.write(network)
            self._networks[spec.name] = network
            fault_point("network: record written")
            try:
                self._raise_bridge(network)
            except BaseException:
                self._forget(network)
                raise
        return network

    def remove(self, name: str, running: Sequence[Container]) -> None:
        """Remove a network nobody is on. Raises NotFound, Conflict."""
        network = self._networks.get(name)
        if network is None:
            raise NotFound(f"no such network: {name}", code="no-such-network")
        users = [c.name for c in running if any(a.network == name for a in attachments(c))]
        if users:
            raise Conflict(f"network {name} is in use by {', '.join(users)}", code="network-in-use")
        self._forget(network)
        fault_point("network removal: record gone")
        self._traffic.zone.drop(name)
        self._traffic.apply()
        fault_point("network removal: rules gone")
        bridges.remove_bridge(self._bridge_name(network), netlink=self._netlink)

    def notices(self) -> list[str]:
        """Return what was done to the host that its owner should know."""
        return [*self._notices, *self._watch.notices(), *self._lost_bridges()]

    def cut_off(self, containers: Iterable[Container]) -> list[str]:
        """Return the ids of running containers that nothing reaches, as their bridge has gone. Raises NetlinkError."""
        return cut_off(containers, self.all(), self._netlink)

    def _look_at_bridges(self) -> None:
        made = (network.bridge for network in self._networks.values() if network.bridge is not None)
        try:
            is_well = all(bridges.is_well(bridge, netlink=self._netlink) for bridge in made)
        except OSError:
            is_well = False  # whoever wants to know looks for himself
        if not is_well:
            self._bridge_lost()

    def _lost_bridges(self) -> list[str]:
        made = [network for network in self._networks.values() if network.bridge is not None]
        up = {link.name for link in rtnetlink.links(self._netlink) if link.is_up} if made else set()
        return [
            f"the interface {network.bridge.name} of network {network.spec.name} was deleted or is down: nothing is "
            "reached over it until its containers are made anew (`stackctl up`) or restarted"
            for network in made
            if network.bridge is not None and network.bridge.name not in up
        ]

    def _taken(self) -> tuple[Taken, ...]:
        ours = tuple(
            Taken(network.addressing.subnet, f"network {network.spec.name}") for network in self._networks.values()
        )
        # Ours first: most have a bridge, and its name says little.
        return (*ours, *host.taken_subnets(self._netlink, resolvers=etc_files.host_resolver().servers))

    def _raise_bridge(self, network: Network) -> BridgeInfo:
        if network.bridge is not None and bridges.is_well(network.bridge, netlink=self._netlink):
            return network.bridge
        network.bridge = None  # not yet, or somebody deleted it
        bridge = self._ensure_bridge(network)
        self._traffic.apply()
        return bridge

    def _ensure_bridge(self, network: Network) -> BridgeInfo:
        if network.bridge is None:
            self._watch.begin()
            self._link_watch.begin()
            note_forwarding(self._paths)
            network.bridge = bridges.create_bridge(
                self._bridge_name(network),
                netlink=self._netlink,
                gateway=network.addressing.gateway,
                prefix=network.addressing.prefix,
                mtu=bridge_options(network.spec.options).mtu,
            )
            fault_point("network: bridge made")
            self._notices += [notice for notice in network.bridge.notices if notice not in self._notices]
        return network.bridge

    def _bridge_name(self, network: Network) -> str:
        own = bridges.bridge_name(self._paths.engine_id, network.id)
        return bridge_options(network.spec.options).name or own

    def _forget(self, network: Network) -> None:
        self._networks.pop(network.spec.name, None)
        self._store.forget(network)

    # -- what a container holds -------------------------------------------------------------------

    def acquire(
        self, container: Container, hostname: str, owner: Container | None = None, *, others: Iterable[Container] = ()
    ) -> None:
        """Give the container its addresses and host ports, and write its /etc files. Raises EngineError.

        What it has already it keeps. ``owner`` is the container whose network it shares, and with it the files by
        which others are found. The fixed addresses of ``others``, which may not run yet, are spared.
        """
        self._claim_addresses(container, others)
        self._ports.hold(container)
        addresses = [container.facts.addresses[a.network] for a in attachments(container)]
        folder = f"{self._paths.container(container.id)}/etc"
        if owner is not None:
            etc_files.copy(f"{self._paths.container(owner.id)}/etc", folder, hostname=hostname)
            return
        gateway = self._host_gateway(container)
        etc_files.write(folder, container.spec, hostname=hostname, addresses=addresses, gateway=gateway)

    def connect(self, container: Container, pid: int) -> None:
        """Wire the network namespace of a process that was just born, and answer its DNS."""
        networking = container.spec.networking
        if not isinstance(networking, JoinNetworks | NoNetwork):
            return
        sysctls = [setting for setting in container.spec.sysctls if setting[0].startswith("net.")]
        netns = open_netns(pid)
        try:
            if isinstance(networking, NoNetwork):
                bridges.attach(netns, (), netlink=self._netlink, sysctls=sysctls)
                return
            endpoints = self._endpoints(container, attachments(container))
            bridges.attach(netns, endpoints, netlink=self._netlink, sysctls=sysctls)
            fault_point("attach: interfaces made")
            container.facts.dns_port = 0
            self._serve_dns(container, netns)
        finally:
            os.close(netns)

    def join(self, container: Container, place: Attachment) -> None:
        """Put a container that runs, and whose specification says so by now, on one network more."""
        self._claim_addresses(container)
        netns = open_netns(container.facts.pid)
        try:
            (endpoint,) = self._endpoints(container, (place,))
            bridges.attach_more(netns, endpoint, netlink=self._netlink)
        finally:
            os.close(netns)
        self._dns.ask(container.id, self._servers(container))
        self._traffic.rename(container)
        self._traffic.apply()

    def part(self, container: Container, name: str) -> None:
        """Take a container, whose specification says so by now, off a network. What it held there is given back."""
        address = container.facts.addresses.pop(name, "")
        self._traffic.rename(container)
        self._traffic.zone.part(container.id, name)
        self._dns.ask(container.id, self._servers(container))
        self._traffic.apply()
        if address and container.is_running:
            gateways = (endpoint.gateway for endpoint in self._endpoints(container, attachments(container)))
            netns = open_netns(container.facts.pid)
            try:
                bridges.detach(netns, address, gateway=next((gateway for gateway in gateways if gateway), ""))
            finally:
                os.close(netns)
        network = self._networks.get(name)
        if address and network is not None:
            network.pool.release(address)

    def disconnect(self, container: Container) -> None:
        """Let go of the container's network namespace; its first process has ended."""
        self._dns.close(container.id)

    def publish(self, container: Container) -> None:
        """Let traffic and names lead to the container, as far as its health allows."""
        self._traffic.add(container)

    def unpublish(self, container: Container) -> None:
        """Lead no new traffic to the container."""
        self._traffic.remove(container)

    def switch(self, container: Container, replaced: Container | None) -> None:
        """Lead to the container what has led to another, in one transaction."""
        self._traffic.switch(container, replaced)

    def hold(self, container: Container, hold_s: float) -> None:
        """Let connections to its published TCP ports wait for so long when nobody else serves there."""
        self._traffic.hold(container, hold_s)

    def is_warming(self, container: Container) -> bool:
        """Whether the container is still looked at for the ports that it is to listen on."""
        return self._traffic.is_warming(container)

    def heirs(self, container: Container) -> list[Container]:
        """Return the other containers that serve under one of its names or ports."""
        return self._traffic.heirs(container)

    def serves(self, container: Container) -> bool:
        """Whether traffic may be led to the container."""
        return self._traffic.serves(container)

    def is_needed(self, container: Container) -> bool:
        """Whether its names and ports lead to nobody ready but it, while another container warms up."""
        return self._traffic.is_needed(container)

    def rename(self, container: Container) -> None:
        """Let the container's new name lead to it in place of the old one."""
        self._traffic.rename(container)

    def exchange_ports(self, container: Container, ports: tuple[PublishedPort, ...]) -> None:
        """Publish a container, whose specification will say so, on other ports. Raises PortTaken, PortUnavailable.

        What it has already it keeps; what it has no more is given back once no traffic comes by there.
        """
        drop = self._ports.exchange(container, ports)
        self._traffic.apply()
        drop()

    def release_ports(self, container: Container) -> None:
        """Give the container's host ports back."""
        self._ports.release(container)

    def release(self, container: Container) -> None:
        """Give everything back; the container is being removed."""
        self.unpublish(container)
        self.release_ports(container)
        for name, address in container.facts.addresses.items():
            network = self._networks.get(name)
            if network is not None:
                network.pool.release(address)
        container.facts.addresses = {}
        self._members.pop(container.id, None)
        self._traffic.zone.leave(container.id)

    def restore(self, containers: Sequence[Container]) -> None:
        """Take over addresses, ports, DNS and traffic of containers an earlier supervisor ran.

        What cannot be had back is told in the notices: a supervisor that gave up would help nobody.
        """
        for container in containers:
            self._reclaim_addresses(container)
        running = [container for container in containers if container.is_running]
        for container in running:
            for attachment in attachments(container):
                if attachment.network in self._networks:
                    self._ensure_bridge(self._networks[attachment.network])
            self._notices += self._ports.hold_again(container)
            self._restore_dns(container)
        # Order: the firewall last and once. Its table has led to the containers all the while, and would not
        # if it were made anew before all of them are known.
        self._traffic.restore(running)
        self._remove_strays()
        if running or self._networks:
            self._traffic.replace()

    def _reclaim_addresses(self, container: Container) -> None:
        for name, address in list(container.facts.addresses.items()):
            network = self._networks.get(name)
            if network is None:
                continue
            self._members[container.id] = container
            self._traffic.zone.join(container.id, name)
            try:
                network.pool.claim(address, container.id)
            except Conflict as problem:
                self._notices.append(f"container {container.name}: {self._in_words(problem)}")
                if not container.is_running:
                    del container.facts.addresses[name]

    def close_down(self) -> None:
        """Take everything out of the kernel; the records stay, and the next start makes it anew."""
        self._watch.end()
        self._link_watch.end()
        self._firewall.remove()
        ours = [link.name for link in bridges.our_bridges(self._paths.engine_id, netlink=self._netlink)]
        named = [network.bridge.name for network in self._networks.values() if network.bridge is not None]
        for name in {*ours, *named}:
            bridges.remove_bridge(name, netlink=self._netlink)

    def _claim_addresses(self, container: Container, others: Iterable[Container] = ()) -> None:
        self._members[container.id] = container
        for attachment in attachments(container):
            self._traffic.zone.join(container.id, attachment.network)
            network = self._networks.get(attachment.network)
            if network is None:
                message, field = f"no such network: {attachment.network}", f"networking.{attachment.network}"
                raise NotFound(message, code="no-such-network", field=field)
            self._raise_bridge(network)
            try:
                container.facts.addresses[attachment.network] = self._address(container, attachment, network, others)
            except AddressError as error:
                place = f"networking.{attachment.network}"
                error.field = f"{place}.ipv4_address" if attachment.ipv4_address else place
                raise

    def _address(
        self, container: Container, attachment: Attachment, network: Network, others: Iterable[Container]
    ) -> str:
        wanted = attachment.ipv4_address or container.facts.addresses.get(attachment.network)
        if not wanted:
            return network.pool.allocate(container.id, spared=fixed_addresses(others, attachment.network))
        self._take_from_idle(network, wanted, container)
        self._claim(network, wanted, container)
        return wanted

    def _claim(self, network: Network, address: str, container: Container) -> None:
        try:
            network.pool.claim(address, container.id)
        except AddressTaken as taken:
            raise self._in_words(taken) from taken

    def _in_words(self, problem: Conflict) -> Conflict:
        """Say who holds an address by name: the pool knows ids only."""
        holder = self._members.get(problem.holder) if isinstance(problem, AddressTaken) else None
        if holder is None or not isinstance(problem, AddressTaken):
            return problem
        return AddressTaken(problem.address, holder.id, f"container {holder.name}")

    def _take_from_idle(self, network: Network, address: str, container: Container) -> None:
        """A container that does not run gives way: a replacement starts before the old one is removed."""
        for other in self._members.values():
            holds = other.facts.addresses.get(network.spec.name) == address
            if other is not container and holds and other.phase in ("created", "exited"):
                network.pool.release(address)
                del other.facts.addresses[network.spec.name]

    def _host_gateway(self, container: Container) -> str:
        for attachment in attachments(container):
            network = self._networks.get(attachment.network)
            if network is not None:
                return network.addressing.gateway
        return "127.0.0.1"

    def _endpoints(self, container: Container, places: Sequence[Attachment]) -> list[bridges.Endpoint]:
        found = []
        for attachment in places:
            network = self._networks[attachment.network]
            bridge = self._raise_bridge(network)
            found.append(
                bridges.Endpoint(
                    bridge.index,
                    container.facts.addresses[attachment.network],
                    network.addressing.prefix,
                    "" if network.spec.is_internal else network.addressing.gateway,
                    _mac(attachment),
                    bridge_options(network.spec.options).mtu,
                    _interface(attachment, network),
                    not bridge_options(network.spec.options).has_icc,
                    attachment.link_local,
                )
            )
        return found

    def _servers(self, container: Container) -> tuple[str, ...] | None:
        """Return who is asked for names of the outside: () nobody, as every network is internal; None the host's."""
        networks = [self._networks[a.network] for a in attachments(container) if a.network in self._networks]
        if networks and all(network.spec.is_internal for network in networks):
            return ()
        return container.spec.dns.servers or None

    def _restore_dns(self, container: Container) -> None:
        if not isinstance(container.spec.networking, JoinNetworks):
            return
        try:
            netns = open_netns(container.facts.pid)
        except OSError:
            return  # it has just ended, which is told soon
        try:
            self._serve_dns(container, netns)
        except OSError as error:
            self._notices.append(f"container {container.name} has no name server: {error.strerror}")
        finally:
            os.close(netns)

    def _serve_dns(self, container: Container, netns: int) -> None:
        # At the port of before: connection tracking sends the packets of a client that goes on asking from one
        # socket there, whatever the rules say by now.
        before = container.facts.dns_port
        served = self._dns.serve(container.id, netns, servers=self._servers(container), port=before)
        container.facts.dns_port = served.port

    def _remove_strays(self) -> None:
        ours = {network.bridge.name for network in self._networks.values() if network.bridge}
        for link in bridges.our_bridges(self._paths.engine_id, netlink=self._netlink):
            if link.name not in ours:
                bridges.remove_bridge(link.name, netlink=self._netlink)


def _interface(attachment: Attachment, network: Network) -> str:
    return attachment.interface or f"{bridge_options(network.spec.options).interface_prefix}*"


def _mac(attachment: Attachment) -> bytes:
    """Return the MAC asked for, b"" for any. Raises AddressError."""
    try:
        return parse_mac(attachment.mac_address) if attachment.mac_address else b""
    except ValueError as error:
        field = f"networking.{attachment.network}.mac_address"
        raise AddressError(f"mac_address {error}", code="bad-address", field=field) from error
