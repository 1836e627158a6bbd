"""A simulated run as a text to read: one line for each message and each forced write. Pure.

Made for machines whose messages between nodes take one unit, their clients' none, and their forced writes a thousandth
(`simulation.world.Model.counting`): then the time of a line says how many of each came before it in sequence.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from pytest_coordchaos.cost.ledger import Ledger
from pytest_coordchaos.system.model import CLIENTS

__all__ = ["WRITES_PER_DELAY", "transcript"]

WRITES_PER_DELAY = 1000
"""So many forced writes take as long as one message."""

_MOST_WRITES = WRITES_PER_DELAY // 2


class _Line(NamedTuple):
    time_ns: int
    by_node: bool
    node: str
    is_message: bool
    text: str
    operation: str


def transcript(
    ledger: Ledger,
    *,
    unit_ns: int,
    operations: Mapping[int, str],
    names: Mapping[str, str] | None = None,
    hidden: Collection[str] = (),
) -> str:
    """The ledger as lines: when (`2δ+1w`: after two delays and one forced write), from whom to whom, class, operation.

    What happens at one time is in order of the node that does it, the client first.

    Args:
        ledger: Of a window in which little happens.
        unit_ns: How long a message between nodes takes.
        operations: Operation id -> how to call it.
        names: Node -> how to call it, where not by its name.
        hidden: Classes of messages that are left out.
    """
    called = dict(names or {})
    lines = sorted([*_messages(ledger, called, hidden, operations), *_forced_writes(ledger, called)])
    start_ns = lines[0].time_ns if lines else 0
    rows = [(_when(line.time_ns - start_ns, unit_ns), line.text, line.operation) for line in lines]
    first, second = (max((len(row[column]) for row in rows), default=0) for column in (0, 1))
    return "".join(f"{when:<{first}}  {text:<{second}}  {operation}".rstrip() + "\n" for when, text, operation in rows)


def _messages(ledger: Ledger, names: Mapping[str, str], hidden: Collection[str], operations: Mapping[int, str]) -> list[_Line]:
    shown = [message for message in ledger.messages if message.message_class not in hidden]
    ways = {message: f"{_name(message.sender, names)} -> {_name(message.receiver, names)}" for message in shown}
    width = max(map(len, ways.values()), default=0)
    return [
        _Line(
            message.offered_ns,
            message.sender != CLIENTS,
            _name(message.sender, names),
            True,
            f"{ways[message]:<{width}}  {message.message_class}{' (lost)' * (message.delivered_ns is None)}",
            ", ".join(operations.get(operation, f"operation {operation}") for operation in message.operations),
        )
        for message in shown
    ]


def _forced_writes(ledger: Ledger, names: Mapping[str, str]) -> list[_Line]:
    return [
        _Line(write.ended_ns, True, _name(write.node, names), False, f"{_name(write.node, names)}: forced write", "")
        for write in ledger.forced_writes
    ]


def _name(node: str, names: Mapping[str, str]) -> str:
    return "client" if node == CLIENTS else names.get(node, node)


def _when(time_ns: int, unit_ns: int) -> str:
    """Whole delays and forced writes; a decimal number of delays when something else took time too."""
    delays, rest_ns = divmod(time_ns, unit_ns)
    writes, odd_ns = divmod(rest_ns * WRITES_PER_DELAY, unit_ns)
    if odd_ns or writes >= _MOST_WRITES:
        return f"{time_ns / unit_ns:.3f}δ"
    return f"{delays}δ+{writes}w" if writes else f"{delays}δ"
