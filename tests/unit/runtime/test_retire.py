"""Which connections are waited for when a container is to stop."""

from __future__ import annotations

import pytest

from stackctl.runtime.kernel.sock_diag import Connection
from stackctl.runtime.verbs.retire import is_waited_for


def conversation(**fields: object) -> Connection:
    usual = {"address": "10.208.0.2", "port": 80, "waiting_bytes": 0, "received_count": 2, "sent_count": 2}
    return Connection(**{**usual, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("connection", "expected"),
    [
        (conversation(received_ms=40, sent_ms=500), True),  # asked after the last answer
        (conversation(received_ms=500, sent_ms=40), False),  # answered: kept alive, idle
        (conversation(received_ms=500, sent_ms=40, waiting_bytes=12), True),  # the answer is not all there yet
        (conversation(received_ms=20, sent_ms=20, received_count=0, sent_count=0), True),  # new: about to ask
        (conversation(received_ms=3000, sent_ms=3000, received_count=0, sent_count=0), False),  # never asked
        (conversation(received_ms=3000, sent_ms=3000, sent_count=0), True),  # asked when it was made
        (conversation(received_ms=3000, sent_ms=3000), False),  # asked and answered in one tick
        (conversation(received_ms=40, sent_ms=500, address="127.0.0.1"), False),  # a probe from inside
    ],
)
def test_only_those_who_wait_for_an_answer_are_waited_for(connection: Connection, expected: bool) -> None:
    assert is_waited_for(connection) is expected
