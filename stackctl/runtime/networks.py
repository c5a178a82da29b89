"""Networks as the supervisor holds them: specifications, bridges, addresses, ports, names, traffic."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from stackctl.errors import Conflict, EngineError, NotFound
from stackctl.model.container import Attachment, JoinNetworks, NoNetwork, PublishedPort
from stackctl.model.network import NetworkSpec
from stackctl.runtime import health
from stackctl.runtime.kernel.netlink import Netlink
from stackctl.runtime.kernel.netns import open_netns
from stackctl.runtime.loop import Loop
from stackctl.runtime.network import bridges, host, resolv
from stackctl.runtime.network.addresses import parse_mac, parse_subnet
from stackctl.runtime.network.bridges import BridgeInfo
from stackctl.runtime.network.dns_server import DnsServer
from stackctl.runtime.network.firewall import Backend, Firewall, FirewallNetwork, FirewallPort, FirewallState
from stackctl.runtime.network.ipam import Addressing, AddressPool, Taken, plan_addressing
from stackctl.runtime.network.ports import HostPorts
from stackctl.runtime.paths import RUN_PARENT, EnginePaths, write_atomically
from stackctl.runtime.record import Container
from stackctl.wire import codec

_DRIVERS: Final = ("", "bridge")


@dataclass(slots=True, eq=False)
class Network:
    """One network; ``bridge`` is None until something needs it in this boot."""

    id: str
    spec: NetworkSpec
    addressing: Addressing
    pool: AddressPool
    created_ns: int
    bridge: BridgeInfo | None = None


@dataclass(slots=True)
class _Held:
    """The host ports of one container, and the name they are held under."""

    owner: str
    ports: list[tuple[PublishedPort, int]]


class Networks:
    """The engine's networks and everything that containers hold on them."""

    def __init__(self, paths: EnginePaths, loop: Loop) -> None:
        self._paths = paths
        self._netlink = Netlink()
        self._firewall = Firewall(paths.engine_id)
        self._ports = HostPorts()
        self._dns = DnsServer(loop, self.lookup, self.reverse)
        self._networks: dict[str, Network] = {}
        self._members: dict[str, Container] = {}
        self._serving: dict[str, Container] = {}
        self._held: dict[str, _Held] = {}
        self._notices: list[str] = []
        self._turn = 0
        for name in sorted(os.listdir(paths.networks)):
            self._read(name)

    # -- networks ---------------------------------------------------------------------------------

    def all(self) -> list[Network]:
        """Return every network, by name."""
        return [self._networks[name] for name in sorted(self._networks)]

    def find(self, name: str) -> Network | None:
        """Return the network, None when there is none."""
        return self._networks.get(name)

    def describe(self, network: Network) -> dict[str, Any]:
        """Return what others may know of a network."""
        return {
            "id": network.id,
            "name": network.spec.name,
            "spec": codec.encode(network.spec),
            "subnet": str(network.addressing.subnet),
            "gateway": network.addressing.gateway,
            "created_ns": network.created_ns,
        }

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
        network_id = os.urandom(32).hex()
        with host.subnet_lock(f"{RUN_PARENT}/subnets.lock"):
            addressing = plan_addressing(spec, self._taken())
            network = Network(network_id, spec, addressing, AddressPool(addressing), time.time_ns())
            # Order: the record before the bridge, so that a bridge without a record is never anything but leftovers.
            self._write(network)
            self._networks[spec.name] = network
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
        users = [c.name for c in running if any(a.network == name for a in _attachments(c))]
        if users:
            raise Conflict(f"network {name} is in use by {', '.join(users)}", code="network-in-use")
        self._forget(network)
        self._apply()
        bridges.remove_bridge(bridges.bridge_name(self._paths.engine_id, network.id), netlink=self._netlink)

    def notices(self) -> list[str]:
        """Return what was done to the host that its owner should know."""
        return list(self._notices)

    def _taken(self) -> tuple[Taken, ...]:
        ours = tuple(
            Taken(network.addressing.subnet, f"network {network.spec.name}")
            for network in self._networks.values()
            if network.bridge is None
        )
        return (*host.taken_subnets(self._netlink, resolvers=_host_resolver().servers), *ours)

    def _raise_bridge(self, network: Network) -> BridgeInfo:
        if network.bridge is None:
            network.bridge = bridges.create_bridge(
                self._paths.engine_id,
                network.id,
                netlink=self._netlink,
                gateway=network.addressing.gateway,
                prefix=network.addressing.prefix,
            )
            self._notices += [notice for notice in network.bridge.notices if notice not in self._notices]
            self._apply()
        return network.bridge

    def _file(self, name: str) -> str:
        return f"{self._paths.networks}/{name}.json"

    def _write(self, network: Network) -> None:
        shape = {**self.describe(network), "range": str(network.addressing.range)}
        write_atomically(self._file(network.spec.name), json.dumps(shape).encode())

    def _read(self, file_name: str) -> None:
        with contextlib.suppress(OSError, ValueError, KeyError):
            with open(f"{self._paths.networks}/{file_name}", "rb") as file:
                shape = json.load(file)
            spec = codec.decode(NetworkSpec, shape["spec"])
            addressing = Addressing(parse_subnet(shape["subnet"]), parse_subnet(shape["range"]), shape["gateway"])
            self._networks[spec.name] = Network(
                shape["id"], spec, addressing, AddressPool(addressing), shape["created_ns"]
            )

    def _forget(self, network: Network) -> None:
        self._networks.pop(network.spec.name, None)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._file(network.spec.name))

    # -- what a container holds -------------------------------------------------------------------

    def acquire(self, container: Container, hostname: str) -> None:
        """Give the container its addresses and host ports, and write its /etc files. Raises EngineError.

        What it has already it keeps.
        """
        self._claim_addresses(container)
        self._hold_ports(container)
        self._write_etc(container, hostname)

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
            bridges.attach(netns, self._endpoints(container), netlink=self._netlink, sysctls=sysctls)
            self._dns.serve(container.id, netns, servers=self._servers(container))
        finally:
            os.close(netns)

    def disconnect(self, container: Container) -> None:
        """Let go of the container's network namespace; its first process has ended."""
        self._dns.close(container.id)

    def publish(self, container: Container) -> None:
        """Let traffic and names lead to the container, as far as its health allows."""
        self._serving[container.id] = container
        self._apply()

    def unpublish(self, container: Container) -> None:
        """Lead no new traffic to the container."""
        if self._serving.pop(container.id, None) is not None:
            self._apply()

    def release_ports(self, container: Container) -> None:
        """Give the container's host ports back."""
        held = self._held.pop(container.id, None)
        if held is not None:
            self._ports.release(held.owner)
        container.facts.ports = []

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

    def restore(self, containers: Sequence[Container]) -> None:
        """Take over addresses, ports, DNS and traffic of containers an earlier supervisor ran."""
        for container in containers:
            for name, address in container.facts.addresses.items():
                network = self._networks.get(name)
                if network is not None:
                    network.pool.claim(address, container.id)
                    self._members[container.id] = container
        running = [container for container in containers if container.is_running]
        for container in running:
            for attachment in _attachments(container):
                network = self._networks.get(attachment.network)
                if network is not None and network.bridge is None:
                    self._raise_bridge(network)
            self._hold_ports(container, again=container.facts.ports)
            self._serving[container.id] = container
            self._restore_dns(container)
        self._remove_strays()
        if running or self._networks:
            self._firewall.replace(self._state())

    def close_down(self) -> None:
        """Take everything out of the kernel; the records stay, and the next start makes it anew."""
        self._firewall.remove()
        for link in bridges.our_bridges(self._paths.engine_id, netlink=self._netlink):
            bridges.remove_bridge(link.name, netlink=self._netlink)

    def _claim_addresses(self, container: Container) -> None:
        self._members[container.id] = container
        for attachment in _attachments(container):
            network = self._networks.get(attachment.network)
            if network is None:
                raise NotFound(f"no such network: {attachment.network}", code="no-such-network")
            self._raise_bridge(network)
            current = container.facts.addresses.get(attachment.network)
            wanted = attachment.ipv4_address or current
            if wanted:
                self._take_from_idle(network, wanted, container)
                network.pool.claim(wanted, container.id)
            else:
                wanted = network.pool.allocate(container.id)
            container.facts.addresses[attachment.network] = wanted

    def _take_from_idle(self, network: Network, address: str, container: Container) -> None:
        """A container that does not run gives way: a replacement starts before the old one is removed."""
        for other in self._members.values():
            holds = other.facts.addresses.get(network.spec.name) == address
            if other is not container and holds and other.phase in ("created", "exited"):
                network.pool.release(address)
                del other.facts.addresses[network.spec.name]

    def _hold_ports(self, container: Container, again: Sequence[Sequence[Any]] = ()) -> None:
        if container.id in self._held or not container.spec.ports:
            return
        before = {(port[2], port[3], port[0]): int(port[1]) for port in again}
        held = _Held(f"container {container.name}", [])
        try:
            for port in container.spec.ports:
                known = before.get((port.container_port, port.protocol, port.host_ip), 0)
                held.ports.append((port, self._ports.hold(port, held.owner, host_port=known)))
        except BaseException:
            self._ports.release(held.owner)
            raise
        self._held[container.id] = held
        container.facts.ports = [
            (port.host_ip, number, port.container_port, port.protocol) for port, number in held.ports
        ]

    def _write_etc(self, container: Container, hostname: str) -> None:
        folder = f"{self._paths.container(container.id)}/etc"
        spec = container.spec
        addresses = [container.facts.addresses[a.network] for a in _attachments(container)]
        texts = {
            "hosts": resolv.hosts_file(
                hostname,
                addresses,
                extra_hosts=spec.extra_hosts,
                gateway=self._host_gateway(container),
                domainname=spec.domainname,
            ),
            "hostname": hostname + "\n",
            "resolv.conf": self._resolv_conf(container),
        }
        for name, text in texts.items():
            # In place: the container has this very file bound over its own.
            with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
                file.write(text)

    def _resolv_conf(self, container: Container) -> str:
        host_settings = _host_resolver()
        if isinstance(container.spec.networking, JoinNetworks):
            return resolv.resolv_conf(container.spec.dns, host_settings)
        return resolv.host_resolv_conf(container.spec.dns, host_settings)

    def _host_gateway(self, container: Container) -> str:
        for attachment in _attachments(container):
            network = self._networks.get(attachment.network)
            if network is not None:
                return network.addressing.gateway
        return "127.0.0.1"

    def _endpoints(self, container: Container) -> list[bridges.Endpoint]:
        found = []
        for attachment in _attachments(container):
            network = self._networks[attachment.network]
            bridge = self._raise_bridge(network)
            found.append(
                bridges.Endpoint(
                    bridge.index,
                    container.facts.addresses[attachment.network],
                    network.addressing.prefix,
                    "" if network.spec.is_internal else network.addressing.gateway,
                    parse_mac(attachment.mac_address) if attachment.mac_address else b"",
                )
            )
        return found

    def _servers(self, container: Container) -> tuple[str, ...] | None:
        """Return who is asked for names of the outside: () nobody, as every network is internal; None the host's."""
        networks = [self._networks[a.network] for a in _attachments(container) if a.network in self._networks]
        if networks and all(network.spec.is_internal for network in networks):
            return ()
        return container.spec.dns.servers or None

    def _restore_dns(self, container: Container) -> None:
        if not isinstance(container.spec.networking, JoinNetworks):
            return
        netns = open_netns(container.facts.pid)
        try:
            self._dns.serve(container.id, netns, servers=self._servers(container))
        finally:
            os.close(netns)

    def _remove_strays(self) -> None:
        ours = {bridges.bridge_name(self._paths.engine_id, n.id) for n in self._networks.values() if n.bridge}
        for link in bridges.our_bridges(self._paths.engine_id, netlink=self._netlink):
            if link.name not in ours:
                bridges.remove_bridge(link.name, netlink=self._netlink)

    # -- traffic and names ------------------------------------------------------------------------

    def _apply(self) -> None:
        self._firewall.apply(self._state())

    def _state(self) -> FirewallState:
        networks = tuple(
            FirewallNetwork(network.bridge.name, str(network.addressing.subnet), network.spec.is_internal)
            for network in self.all()
            if network.bridge is not None
        )
        return FirewallState(networks, tuple(self._firewall_ports()))

    def _firewall_ports(self) -> list[FirewallPort]:
        groups: dict[tuple[str, str, int], list[tuple[Container, int]]] = {}
        for container in self._serving.values():
            held = self._held.get(container.id)
            for port, number in held.ports if held is not None else ():
                key = (port.protocol, port.host_ip, number)
                groups.setdefault(key, []).append((container, port.container_port))
        found = []
        for (protocol, host_ip, host_port), members in sorted(groups.items()):
            chosen = _ready_or_all([container for container, _ in members])
            backends = tuple(
                Backend(address, port)
                for container, port in members
                if container in chosen and (address := self._outward_address(container))
            )
            found.append(FirewallPort("udp" if protocol == "udp" else "tcp", host_ip, host_port, backends))
        return found

    def _outward_address(self, container: Container) -> str:
        for attachment in _attachments(container):
            network = self._networks.get(attachment.network)
            if network is not None and not network.spec.is_internal:
                return container.facts.addresses.get(attachment.network, "")
        return ""

    def lookup(self, container_id: str, name: str) -> tuple[str, ...] | None:
        """Return the addresses ``name`` or ``name.network`` has for a container, in turn."""
        networks = self._networks_of(container_id)
        matches: list[tuple[Container, str]] = []
        for container in self._serving.values():
            for attachment in _attachments(container):
                wanted = name.removesuffix(f".{attachment.network.lower()}")
                if attachment.network in networks and wanted in _names(container, attachment):
                    matches.append((container, container.facts.addresses.get(attachment.network, "")))
        if not matches:
            return None
        chosen = _ready_or_all([container for container, _ in matches])
        addresses = list(dict.fromkeys(address for container, address in matches if container in chosen and address))
        self._turn += 1
        start = self._turn % max(1, len(addresses))
        return tuple(addresses[start:] + addresses[:start])

    def reverse(self, container_id: str, address: str) -> str | None:
        """Return the name of the container that has ``address`` on one of the asker's networks."""
        networks = self._networks_of(container_id)
        for container in self._serving.values():
            for name, held in container.facts.addresses.items():
                if held == address and name in networks:
                    return f"{container.name}.{name}"
        return None

    def _networks_of(self, container_id: str) -> set[str]:
        container = self._members.get(container_id)
        return set() if container is None else {a.network for a in _attachments(container)}


def _host_resolver() -> resolv.ResolverSettings:
    try:
        with open("/etc/resolv.conf", encoding="utf-8", errors="replace") as file:
            return resolv.parse_resolv_conf(file.read())
    except OSError:
        return resolv.ResolverSettings()


def _attachments(container: Container) -> tuple[Attachment, ...]:
    networking = container.spec.networking
    return networking.attachments if isinstance(networking, JoinNetworks) else ()


def _names(container: Container, attachment: Attachment) -> set[str]:
    return {container.name.lower(), container.id[:12], *(alias.lower() for alias in attachment.aliases)}


def _ready_or_all(containers: Sequence[Container]) -> list[Container]:
    ready = [c for c in containers if not health.has_check(c.spec.health) or c.facts.health == "healthy"]
    return ready or list(containers)
