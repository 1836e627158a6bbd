"""The message transcript of one fault-free operation of each reference system is the one that people have read."""

from __future__ import annotations

import pytest

from pytest_coordchaos.cost.ledger import ForcedWrite, Ledger, LinkId, Message
from pytest_coordchaos.cost.transcript import transcript
from tests.sim.golden import GOLDEN, TRACES, fresh

pytestmark = pytest.mark.usefixtures("simulated")


@pytest.mark.parametrize("name", GOLDEN)
def test_an_operation_sends_what_its_transcript_says(name: str) -> None:
    """`python -m tests.sim.golden --write` writes it anew; read it before you commit it."""
    assert fresh(GOLDEN[name]) == (TRACES / f"{name}.txt").read_text()


def test_every_transcript_belongs_to_a_test() -> None:
    assert {file.name for file in TRACES.iterdir()} == {f"{name}.txt" for name in GOLDEN}


def _message(
    at_ns: int, sender: str, receiver: str, kind: str, *, lost: bool = False, operations: tuple[int, ...] = ()
) -> Message:
    return Message(
        offered_ns=at_ns,
        delivered_ns=None if lost else at_ns + 1000,
        link=LinkId(sender, receiver, "peer"),
        sender=sender,
        receiver=receiver,
        message_class=kind,
        size_bytes=9,
        operations=operations,
    )


def test_a_line_for_each_message_and_forced_write_in_order_of_cause() -> None:
    """At one time the client comes first, and a node has written before it answers."""
    ledger = Ledger(
        messages=(
            _message(5000, "a", "b", "copy", operations=(7, 8)),
            _message(5000, "clients", "a", "request", operations=(7,)),
            _message(5000, "a", "b", "beat"),
            _message(6003, "b", "a", "copied", operations=(9,)),
            _message(6500, "b", "a", "late", lost=True),
        ),
        forced_writes=(ForcedWrite(node="b", begun_ns=6000, ended_ns=6003),),
    )

    text = transcript(ledger, unit_ns=1000, operations={7: "put", 8: "get"}, names={"a": "leader"}, hidden={"beat"})

    assert text.splitlines() == [
        "0δ      client -> leader  request      put",
        "0δ      leader -> b       copy         put, get",
        "1δ+3w   b: forced write",
        "1δ+3w   b -> leader       copied       operation 9",
        "1.500δ  b -> leader       late (lost)",
    ]
    assert transcript(Ledger(), unit_ns=1000, operations={}) == ""
