"""Small histories and ledgers for the tests of counting and budgets."""

from __future__ import annotations

from pytest_coordchaos.cost.ledger import Ledger, LinkId, LinkTotals, Message
from pytest_coordchaos.history.model import INFINITY_NS, History, Operation, Outcome
from pytest_coordchaos.system.model import CLIENTS, Port

NODES = ("n1", "n2", "n3")
PEER = Port("peer", protocol="frames", background=frozenset({"heartbeat"}))
MS = 1_000_000


def operation(op_id: int, f: str = "put", outcome: str = "ok", latency_ms: float = 1.0, late_ms: float = 0.0) -> Operation:
    """One operation; `late_ms`: how long after its intended start it was sent."""
    intended = op_id * 1000
    ended = intended + int(latency_ms * MS)
    return Operation(
        id=op_id,
        process=0,
        f=f,
        key="x",
        outcome=Outcome(outcome),
        intended_ns=intended,
        invoke_ns=intended + int(late_ms * MS),
        return_ns=INFINITY_NS if outcome == "info" else ended,
        ended_ns=ended,
        node="n1",
    )


def history(*operations: Operation) -> History:
    """The operations as a history."""
    return History.of(operations)


def puts(count: int) -> History:
    """That many puts that ended ok, ids from 1."""
    return history(*(operation(i) for i in range(1, count + 1)))


def message(
    message_class: str = "append",
    ids: tuple[int, ...] = (),
    *,
    way: tuple[str, str] = ("n1", "n2"),
    reply: bool = False,
    size: int = 100,
    port: str = "peer",
    delivered: bool = True,
) -> Message:
    """One message on the link way[0] -> way[1]; a reply travels back on it."""
    sender, receiver = reversed(way) if reply else way
    return Message(
        offered_ns=1,
        delivered_ns=2 if delivered else None,
        link=LinkId(*way, port),
        sender=sender,
        receiver=receiver,
        message_class=message_class,
        size_bytes=size,
        operations=ids,
    )


def totals(
    offered: int, framed: int | None = None, *, way: tuple[str, str] = ("n1", "n2"), port: str = "peer", protocol: str = "frames"
) -> LinkTotals:
    """Bytes of one direction of one link; framed None: all of them."""
    return LinkTotals(
        link=LinkId(*way, port),
        sender=way[0],
        receiver=way[1],
        offered_bytes=offered,
        delivered_bytes=offered,
        framed_bytes=offered if framed is None else framed,
        turns=0,
        protocol=protocol,
    )


def ledger(
    *messages: Message,
    more: tuple[LinkTotals, ...] = (),
    seconds: float = 2.0,
    bypasses: tuple[str, ...] = (),
    complete: bool = True,
    note: str = "",
) -> Ledger:
    """A window with these messages, and totals that agree with them."""
    sizes: dict[tuple[LinkId, str, str], int] = {}
    for m in messages:
        key = (m.link, m.sender, m.receiver)
        sizes[key] = sizes.get(key, 0) + m.size_bytes
    counted = tuple(
        LinkTotals(
            link=link,
            sender=sender,
            receiver=receiver,
            offered_bytes=size,
            delivered_bytes=size,
            framed_bytes=size,
            turns=0,
            protocol="frames",
        )
        for (link, sender, receiver), size in sizes.items()
    )
    return Ledger(
        messages=messages,
        totals=counted + more,
        start_ns=0,
        end_ns=int(seconds * 1e9),
        bypasses=bypasses,
        complete=complete,
        note=note,
    )


def client_message(ids: tuple[int, ...] = ()) -> Message:
    """A client's request to n1."""
    return message("request", ids, way=(CLIENTS, "n1"), port="client")
