"""The ledger of a simulation: what the relay would have seen, and what set off what.

Rows are numbered from 1. A row is a message, or a completed sync of a disk. Each knows its cause: the row whose arrival
set off the code that sent it. Following causes back from an answer to its request is the critical path, exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_coordchaos.cost.critical_path import CriticalPath, Step, paths_of
from pytest_coordchaos.cost.ledger import ForcedWrite, Ledger, LinkId, LinkTotals, Message
from pytest_coordchaos.relay.framing.base import Frame
from pytest_coordchaos.relay.wire import Mark, WayTotals
from pytest_coordchaos.runtimes.sim.awaited import Awaited

__all__ = ["Row", "SimLedger", "WayTally"]

Row = list[Any]
"""[offered_ns, delivered_ns (0: not yet), the way's tally (None: a sync), class or node, size, operations, cause]"""

_NOTHING: WayTotals = (0, 0, 0, 0)


class _Steps(Sequence[tuple[Step, int]]):
    """Rows as steps of critical paths, made when they are asked for."""

    def __init__(self, ledger: SimLedger) -> None:
        self._ledger = ledger

    def __len__(self) -> int:
        return len(self._ledger.rows)

    def __getitem__(self, number: Any) -> Any:
        offered, delivered, tally, name, _, _, cause = self._ledger.rows[number]
        if tally is None:
            return Step(name, name, "sync", offered, delivered), cause
        return Step(tally.sender, tally.receiver, name, offered, delivered), cause


class WayTally:
    """Counts of one direction of one link, as the relay keeps them."""

    __slots__ = ("delivered", "framed", "link", "offered", "protocol", "receiver", "sender", "turns")

    def __init__(self, link: LinkId, sender: str, receiver: str, protocol: str) -> None:
        self.link, self.sender, self.receiver, self.protocol = link, sender, receiver, protocol
        self.offered = self.delivered = self.framed = self.turns = 0


class SimLedger:
    """Every row of one simulation.

    Attributes:
        rows: Row k is `rows[k]`; row 0 is nobody's.
        ways: Way 2k is the upstream direction of the k-th link, 2k + 1 its downstream one.
        awaited: Events that somebody waits for.
    """

    __slots__ = ("awaited", "rows", "ways")

    def __init__(self) -> None:
        self.awaited: list[Awaited] = []
        self.rows: list[Row] = [[0, 0, None, "", 0, (), 0]]
        self.ways: list[WayTally] = []

    def new_link(self, link: LinkId, protocol: str) -> tuple[WayTally, WayTally]:
        """Count a link from now on; returns the counts of its two ways."""
        up, down = WayTally(link, link.source, link.target, protocol), WayTally(link, link.target, link.source, protocol)
        self.ways += (up, down)
        return up, down

    def sent(self, tally: WayTally, frames: Sequence[Frame], now_ns: int, cause: int) -> tuple[int, int]:
        """Messages that a node offered together; returns the first one's row and how many."""
        rows = self.rows
        first = len(rows)
        for name, size, operations in frames:
            rows.append([now_ns, 0, tally, name, size, operations, cause])
            tally.framed += size
        for awaited in self.awaited:
            for name, _, _ in frames:
                awaited.message(name, tally.sender, tally.receiver)
        return first, len(frames)

    def asked(self, node: str) -> None:
        """A node asks for a forced write."""
        for awaited in self.awaited:
            awaited.sync(node)

    def arrived(self, first: int, number: int, now_ns: int) -> None:
        """Messages reached their receiver."""
        for row in self.rows[first : first + number]:
            row[1] = now_ns

    def synced(self, node: str, begun_ns: int, now_ns: int, cause: int) -> int:
        """A forced write of a node's disk is done; returns its row."""
        self.rows.append([begun_ns, now_ns, None, node, 0, (), cause])
        return len(self.rows) - 1

    def mark(self, now_ns: int) -> Mark:
        """Where the ledger stands."""
        totals = tuple((way.offered, way.delivered, way.framed, way.turns) for way in self.ways)
        return Mark(time_ns=now_ns, row=len(self.rows), totals=totals)

    def between(self, since: Mark, until: Mark) -> Ledger:
        """What crossed the links between two marks."""
        return Ledger(
            messages=tuple(self._messages(since.row, until.row)),
            totals=tuple(self._totals(since.totals, until.totals)),
            start_ns=since.time_ns,
            end_ns=until.time_ns,
            paths=self._paths(since.row, until.row),
            forced_writes=tuple(
                ForcedWrite(node=row[3], begun_ns=row[0], ended_ns=row[1])
                for row in self.rows[since.row : until.row]
                if row[2] is None
            ),
        )

    def _paths(self, since: int, until: int) -> Mapping[int, CriticalPath]:
        """Of the operations answered between two rows."""
        nodes = {way.receiver for way in self.ways[::2]}
        requests: dict[int, int] = {}
        answers: dict[int, int] = {}
        for number in range(since, until):
            _, _, tally, _, _, operations, _ = self.rows[number]
            if operations and tally is not None:
                if tally.sender not in nodes:
                    requests.update(dict.fromkeys(operations, number))
                elif tally.receiver not in nodes:
                    answers.update(dict.fromkeys(operations, number))
        both = ((operation, requests[operation], row) for operation, row in answers.items() if requests.get(operation, row) < row)
        return paths_of(_Steps(self), both, nodes)

    def _messages(self, since: int, until: int) -> list[Message]:
        return [
            Message(offered, delivered or None, tally.link, tally.sender, tally.receiver, name, size, operations)
            for offered, delivered, tally, name, size, operations, _ in self.rows[since:until]
            if tally is not None
        ]

    def _totals(self, since: tuple[WayTotals, ...], until: tuple[WayTotals, ...]) -> list[LinkTotals]:
        totals = []
        for number, after in enumerate(until):
            before = since[number] if number < len(since) else _NOTHING
            offered, delivered, framed, turns = (b - a for a, b in zip(before, after, strict=True))
            way = self.ways[number]
            totals.append(
                LinkTotals(
                    link=way.link,
                    sender=way.sender,
                    receiver=way.receiver,
                    offered_bytes=offered,
                    delivered_bytes=delivered,
                    framed_bytes=framed,
                    turns=turns,
                    protocol=way.protocol,
                )
            )
        return totals
