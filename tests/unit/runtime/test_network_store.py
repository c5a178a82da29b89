from __future__ import annotations

from pathlib import Path

import pytest

from stackctl.model.network import NetworkSpec
from stackctl.runtime.network.addresses import parse_subnet
from stackctl.runtime.network.ipam import Addressing, AddressPool
from stackctl.runtime.network_store import Network, NetworkStore

_SUBNET = parse_subnet("10.9.0.0/24")


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '"text"', "{}", '{"spec": 1}', '{"spec": {"name": "shop"}}'])
def test_a_record_that_makes_no_sense_is_left_out_and_the_others_are_read(tmp_path: Path, text: str) -> None:
    addressing = Addressing(_SUBNET, _SUBNET, "10.9.0.1")
    network = Network("a" * 64, NetworkSpec(name="well"), addressing, AddressPool(addressing), 1)
    NetworkStore(str(tmp_path)).write(network)
    (tmp_path / "shop.json").write_text(text, encoding="utf-8")

    (found,) = NetworkStore(str(tmp_path)).read_all()

    assert (found.spec, found.addressing, found.id) == (network.spec, addressing, network.id)


def test_a_record_without_an_id_is_left_out(tmp_path: Path) -> None:
    addressing = Addressing(_SUBNET, _SUBNET, "10.9.0.1")
    NetworkStore(str(tmp_path)).write(
        Network("a" * 64, NetworkSpec(name="well"), addressing, AddressPool(addressing), 1)
    )
    (record,) = tmp_path.iterdir()
    record.write_text(record.read_text(encoding="utf-8").replace('"id"', '"other"'), encoding="utf-8")

    assert NetworkStore(str(tmp_path)).read_all() == []
