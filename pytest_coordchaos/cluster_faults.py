"""Verbs that put faults on links in force, for `Cluster`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.faults.model import (
    Corrupt,
    Cut,
    Drift,
    DropReplies,
    Duplicate,
    Fault,
    FrameFault,
    FullDisk,
    Jump,
    Lose,
    Partition,
    Refuse,
    Reorder,
    Skew,
    Slow,
    SlowDisk,
)

if TYPE_CHECKING:
    from pytest_coordchaos.fault_handle import FaultHandle
    from pytest_coordchaos.portal import Portal
    from pytest_coordchaos.simulation.remote import RemoteHandle

__all__ = ["ActiveFault", "AnyHandle", "FaultVerbs"]

__tracebackhide__ = True  # pytest shows the line of the test that called, not ours


AnyHandle: TypeAlias = "FaultHandle | RemoteHandle"


class ActiveFault:
    """One or more faults put in force by one verb: call `undo()`, or use it as a context manager."""

    def __init__(self, portal: Portal, handles: list[AnyHandle]) -> None:
        self._portal = portal
        self._handles = handles

    @property
    def words(self) -> str:
        """What it is, for people."""
        return " + ".join(handle.words for handle in self._handles)

    @property
    def verified(self) -> bool:
        """The relay's probes proved that it took effect."""
        return all(handle.verified for handle in self._handles)

    def undo(self) -> None:
        """Take it back. Order relative to other faults does not matter; undoing twice does nothing more."""
        for handle in self._handles:
            self._portal.call(handle.undo())

    def __enter__(self) -> ActiveFault:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.undo()

    def __repr__(self) -> str:
        return f"<ActiveFault {self.words}>"


class FaultVerbs(ABC):
    """One verb per fault; each acts when called, and is proven when it returns."""

    @property
    @abstractmethod
    def nodes(self) -> Sequence[str]:
        """Node names, in order."""

    @abstractmethod
    def apply(self, *faults: Fault) -> ActiveFault:
        """Put fault values in force."""

    def partition(self, *groups: Iterable[str], hold: bool = False) -> ActiveFault:
        """Cut nodes of different groups from each other, both ways. Unnamed nodes keep all links.

        With `hold` nothing is lost: bytes wait, and old messages arrive when it is undone.
        """
        sets = tuple(frozenset([group] if isinstance(group, str) else group) for group in groups)
        if len(sets) < 2 or not all(sets):
            raise UsageError("partition(...): give two or more groups of node names, none empty")
        named = frozenset().union(*sets)
        if all(any({a, b} <= group for group in sets) for a in named for b in named):
            raise UsageError("partition(...): these groups cut nothing; every two of their nodes are together in one")
        return self.apply(Partition(sets, hold=hold))

    def cut(self, a: str, b: str, *, both_ways: bool = False) -> ActiveFault:
        """Discard every byte travelling a -> b (with `both_ways`, b -> a too). No FIN, no RST."""
        return self.apply(Cut(a, b), *([Cut(b, a)] if both_ways else []))

    def hold(self, a: str, b: str, *, both_ways: bool = False) -> ActiveFault:
        """Keep every byte travelling a -> b, in order, until it is undone: then old messages arrive. Nothing is lost."""
        return self.apply(Cut(a, b, hold=True), *([Cut(b, a, hold=True)] if both_ways else []))

    def refuse(self, a: str, b: str) -> ActiveFault:
        """Close connections a -> b, and refuse new ones."""
        return self.apply(Refuse(a, b))

    def isolate(self, node: str) -> ActiveFault:
        """Cut a node from all other nodes, both ways. Clients still reach it."""
        if node not in self.nodes:
            raise UsageError(f"There is no node {node!r}; the system's nodes are: {', '.join(self.nodes)}")
        others = frozenset(self.nodes) - {node}
        return self.apply(Partition((frozenset({node}), others)))

    def slow(self, a: str, b: str, *, one_way_ms: float, both_ways: bool = False) -> ActiveFault:
        """Bytes travelling a -> b take `one_way_ms` longer (with `both_ways`, b -> a too)."""
        if not isinstance(one_way_ms, int | float) or not 0 <= one_way_ms <= 3_600_000:
            raise UsageError(f"slow(...): one_way_ms={one_way_ms!r} is not allowed; 0 to 3600000 milliseconds")
        faults = [Slow(a, b, float(one_way_ms))] + ([Slow(b, a, float(one_way_ms))] if both_ways else [])
        return self.apply(*faults)

    def lose(self, a: str, b: str, *, rate: float, classes: Iterable[str] | None = None, both_ways: bool = False) -> ActiveFault:
        """Lose messages travelling a -> b, each with this probability.

        Args:
            a, b: Nodes, or "clients".
            rate: 0 to 1. Several such faults strike independently of each other.
            classes: Only messages of these classes; None: of every class.
            both_ways: Messages travelling b -> a too.
        """
        return self._meddle(Lose, a, b, rate, classes, both_ways)

    def duplicate(
        self, a: str, b: str, *, rate: float, classes: Iterable[str] | None = None, both_ways: bool = False
    ) -> ActiveFault:
        """Deliver messages travelling a -> b twice, each with this probability. Arguments as of `lose`."""
        return self._meddle(Duplicate, a, b, rate, classes, both_ways)

    def reorder(
        self, a: str, b: str, *, rate: float, classes: Iterable[str] | None = None, both_ways: bool = False
    ) -> ActiveFault:
        """Let messages travelling a -> b change places with the next one on their connection. Arguments as of `lose`.

        One that nothing follows goes on after 50 ms.
        """
        return self._meddle(Reorder, a, b, rate, classes, both_ways)

    def corrupt(
        self, a: str, b: str, *, rate: float, classes: Iterable[str] | None = None, both_ways: bool = False
    ) -> ActiveFault:
        """Flip one bit in the body of messages travelling a -> b. Arguments as of `lose`."""
        return self._meddle(Corrupt, a, b, rate, classes, both_ways)

    def drop_replies(self, a: str, b: str) -> ActiveFault:
        """What a asks b arrives, but no reply comes back: the connection is reset when b begins one."""
        return self.apply(DropReplies(a, b))

    def skew(self, node: str, *, offset_s: float) -> ActiveFault:
        """A node's wall clock is off by so many seconds, either way; undo sets it right again."""
        return self.apply(Skew(node, offset_s))

    def jump(self, node: str, *, seconds: float) -> ActiveFault:
        """A node's wall clock makes one step, forward or back; undo sets it right again."""
        return self.apply(Jump(node, seconds))

    def drift(self, node: str, *, rate: float) -> ActiveFault:
        """All clocks of a node run at this rate (its seconds in one true second, 0.5 to 2); timers too.

        Undone, they run at the true rate again, and the wall clock is set right.
        """
        return self.apply(Drift(node, rate))

    def slow_disk(self, node: str, *, sync_ms: float) -> ActiveFault:
        """Each forced write of a node takes `sync_ms` longer."""
        return self.apply(SlowDisk(node, sync_ms))

    def fill_disk(self, node: str) -> ActiveFault:
        """What a node writes is refused with ENOSPC. A node that ended because of it is started again by undo."""
        return self.apply(FullDisk(node))

    def _meddle(
        self, kind: type[FrameFault], a: str, b: str, rate: float, classes: Iterable[str] | None, both_ways: bool
    ) -> ActiveFault:
        if isinstance(classes, str):
            raise UsageError(f"{kind.kind}(...): classes={classes!r} is one text; allowed: a set of class names")
        only = frozenset(classes or ())
        return self.apply(kind(a, b, rate, only), *([kind(b, a, rate, only)] if both_ways else []))
