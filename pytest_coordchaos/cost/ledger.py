"""The ledger: every message that crossed a link. Pure.

A message is one application frame of the protocol declared for a port; docs/reference/counting.md
states the rules and each has a test.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pytest_coordchaos.cost.critical_path import CriticalPath

__all__ = ["ForcedWrite", "Ledger", "LinkId", "LinkTotals", "Message"]


@dataclass(frozen=True, slots=True, order=True)
class LinkId:
    """A directed edge: who dials, whom, which port. `source` is a node or `CLIENTS`."""

    source: str
    target: str
    port: str

    def __str__(self) -> str:
        return f"{self.source}->{self.target}:{self.port}"


class Message(NamedTuple):
    """One framed message. A tuple, because ledgers hold many.

    Args:
        offered_ns: When its last byte arrived from the sender (CLOCK_MONOTONIC, shared by all
            processes of a host).
        delivered_ns: When its last byte was passed on; None: dropped, or still under way.
        link: The link it travelled on.
        sender, receiver: The ends it travelled between (a reply travels target -> source).
        message_class: Name of its class.
        size_bytes: Bytes of the frame, header included.
        operations: Ids of the operations it serves; a batch of k has k, each costs 1/k; () none.
    """

    offered_ns: int
    delivered_ns: int | None
    link: LinkId
    sender: str
    receiver: str
    message_class: str
    size_bytes: int
    operations: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTotals:
    """Bytes of one direction of one link in a window, framed or not.

    Args:
        link: The link.
        sender, receiver: Direction of travel.
        offered_bytes, delivered_bytes: Received from the sender; passed on.
        framed_bytes: The part of offered bytes that lie in framed messages, or are known to be none.
        turns: Changes of direction seen on the link's connections (counted on its upstream direction).
        protocol: The port's declared protocol.
    """

    link: LinkId
    sender: str
    receiver: str
    offered_bytes: int
    delivered_bytes: int
    framed_bytes: int
    turns: int
    protocol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForcedWrite:
    """A sync of a node's disk, from when it was asked for until it was done."""

    node: str
    begun_ns: int
    ended_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What crossed the links in a window of time.

    Args:
        messages: In order of `offered_ns`.
        totals: Per link and direction.
        start_ns, end_ns: The window.
        bypasses: One sentence each: traffic seen that went round the relay.
        paths: Operation id -> what its answer waited for; only a simulator knows.
        forced_writes: Of the nodes' disks, in order of their end; only a simulator knows.
        complete: False when records were lost (the relay's store was full); says why in `note`.
    """

    messages: tuple[Message, ...] = ()
    totals: tuple[LinkTotals, ...] = ()
    start_ns: int = 0
    end_ns: int = 0
    bypasses: tuple[str, ...] = ()
    complete: bool = True
    note: str = field(default="")
    paths: Mapping[int, CriticalPath] = field(default_factory=dict)
    forced_writes: tuple[ForcedWrite, ...] = ()

    def __iter__(self) -> Iterator[Message]:
        return iter(self.messages)

    @property
    def seconds(self) -> float:
        """Length of the window in seconds."""
        return (self.end_ns - self.start_ns) / 1e9

    def between(self, nodes: Iterable[str]) -> Ledger:
        """The part that travelled between these nodes (client traffic and others left out)."""
        members = frozenset(nodes)
        return Ledger(
            messages=tuple(m for m in self.messages if m.sender in members and m.receiver in members),
            totals=tuple(t for t in self.totals if t.sender in members and t.receiver in members),
            start_ns=self.start_ns,
            end_ns=self.end_ns,
            bypasses=self.bypasses,
            complete=self.complete,
            note=self.note,
            paths=self.paths,
            forced_writes=tuple(w for w in self.forced_writes if w.node in members),
        )
