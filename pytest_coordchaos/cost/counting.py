"""What counts, and for whom: the counting rules as code. Pure.

docs/reference/counting.md states each rule under the id named here, and tests/unit/test_counting.py
tests each. This file only counts; `budgets` compares with limits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

from pytest_coordchaos.cost.ledger import Ledger, Message
from pytest_coordchaos.history.model import History, Outcome
from pytest_coordchaos.system.model import Port

__all__ = ["Count", "Flow", "IdleRate", "Observed", "bytes_per_op", "idle_note", "idle_rate", "messages_per_op", "tally"]

FRAMED_LEAST = Fraction(95, 100)
"""Less than this share of a framed port's bytes cut into messages: the count is not to be trusted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleRate:
    """Node-to-node traffic offered while no client asked anything.

    Args:
        seconds: Length of the window it was measured in.
        messages_per_s, bytes_per_s: By port name.
    """

    seconds: float
    messages_per_s: Mapping[str, float]
    bytes_per_s: Mapping[str, float]


class Flow(NamedTuple):
    """Messages of one class from one node to another: what contributors are named by."""

    sender: str
    receiver: str
    message_class: str

    def __str__(self) -> str:
        return f"{self.sender}->{self.receiver} {self.message_class}"


Tally = dict[Flow, Fraction]


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """A number, or why there is none.

    Args:
        value: The count; None when there is a doubt.
        doubt: Why it is unknown; "" when it is known.
        most: With a doubt: it is at most this, where that much is sure.
        flows: What each flow contributed, in the unit of `value`.
        notes: How it was counted, where that is not plain.
    """

    value: float | None = None
    doubt: str = ""
    most: float | None = None
    flows: Mapping[Flow, float] | None = None
    notes: tuple[str, ...] = ()


class Observed:
    """History and ledger of one window, as budgets see them: node-to-node only (rule node-to-node).

    Args:
        history: Operations invoked in the window.
        ledger: What crossed the links in it, clients' links included.
        ports: The system's ports.
        nodes: The system's nodes.
        idle: Rates of an idle window, if one was measured.
    """

    def __init__(
        self, history: History, ledger: Ledger, ports: Iterable[Port], nodes: Iterable[str], idle: IdleRate | None
    ) -> None:
        self.history = history
        self.ledger = ledger.between(nodes)
        self.idle = idle
        self._ports = {port.name: port for port in ports}
        self.carrying = [total for total in self.ledger.totals if total.offered_bytes]
        in_use = {total.link.port for total in self.carrying} | {m.link.port for m in self.ledger}
        self.undeclared = sorted(port for port in in_use if self.background_of(port) is None)
        background = {port: self.background_of(port) or () for port in in_use}
        self.foreground = [m for m in self.ledger if m.message_class not in background[m.link.port]]
        self._known = frozenset(op.id for op in history)

    def background_of(self, port: str) -> frozenset[str] | None:
        """The background classes that a port declares; None: it declares none (rule background-undeclared)."""
        return self._ports[port].background if port in self._ports else None

    @property
    def framed_share(self) -> Fraction | None:
        """Share of node-to-node bytes that lie in messages; None: no bytes."""
        return _share(self.ledger, {t.link.port for t in self.ledger.totals})

    @cached_property
    def attributed_share(self) -> Fraction | None:
        """Share of foreground messages that name an operation of the window; None: no messages."""
        if not self.foreground:
            return None
        known = sum(tally(self.foreground, self._known, lambda message: 1).values(), Fraction())
        return known / len(self.foreground)

    def traffic_doubt(self) -> str:
        """Why nothing may be counted at all; "" when it may (rules nothing-seen, incomplete, bypass)."""
        if not self.ledger.complete:
            return f"the ledger is incomplete{': ' + self.ledger.note if self.ledger.note else ''}"
        if self.ledger.bypasses:
            return f"traffic went round the relay: {self.ledger.bypasses[0]}"
        if not self.ledger.messages and not self.carrying:
            return "no node-to-node traffic was seen"
        return ""

    def framing_doubt(self) -> str:
        """Why messages may not be counted; "" when they may (rules undeclared-protocol, unframed-bytes)."""
        for port in self.raw:
            return f"port {port!r} declares no protocol, so its bytes are no messages; give Port({port!r}, protocol=…)"
        for port in sorted({total.link.port for total in self.carrying}):
            share = _share(self.ledger, {port})
            if share is not None and share < FRAMED_LEAST:
                return f"only {float(share):.0%} of the bytes at port {port!r} could be cut into messages"
        return ""

    def operations_doubt(self, op: str | None) -> str:
        """Why nothing can be said per operation; "" when it can (rule denominator)."""
        asked = self.history.only(op) if op else self.history
        what = f"{op!r} operation" if op else "operation"
        if not asked.operations:
            return f"no {what} was recorded"
        return "" if any(one.outcome is Outcome.OK for one in asked) else f"none of {len(asked)} {what}s ended ok"

    def idle_doubt(self) -> str:
        """Why foreground cannot be told from background; "" when it can."""
        if self.undeclared and self.idle is None:
            port = self.undeclared[0]
            why = f"port {port!r} declares no background classes, and no idle window was measured"
            return f"{why}; give Port({port!r}, background=…)"
        return ""

    @property
    def raw(self) -> list[str]:
        """Ports in use whose protocol is undeclared."""
        return sorted({total.link.port for total in self.carrying if total.protocol == "bytes"})

    def names_operations(self) -> bool:
        """Every port with foreground traffic has messages that name an operation (rule attribution)."""
        naming = {m.link.port for m in self.foreground if m.operations}
        return not self.raw and all(m.link.port in naming for m in self.foreground)


def idle_rate(ledger: Ledger, ports: Sequence[Port], nodes: Iterable[str]) -> IdleRate:
    """Rates of a window in which no client asked anything, for `ports` without declared background classes."""
    inside, seconds = ledger.between(nodes), max(ledger.seconds, 1e-9)
    wanted = [port.name for port in ports if port.background is None]
    messages = Counter(m.link.port for m in inside)
    sizes: Counter[str] = Counter()
    for total in inside.totals:
        sizes[total.link.port] += total.offered_bytes
    return IdleRate(
        seconds=ledger.seconds,
        messages_per_s={name: messages[name] / seconds for name in wanted},
        bytes_per_s={name: sizes[name] / seconds for name in wanted},
    )


def messages_per_op(seen: Observed, op: str | None) -> Count:
    """Foreground messages offered per operation invoked."""
    doubt = seen.traffic_doubt() or seen.operations_doubt(op) or seen.framing_doubt()
    return Count(doubt=doubt) if doubt else _per_op(seen, op, lambda message: 1, _messages_in_total)


def bytes_per_op(seen: Observed, op: str | None) -> Count:
    """Foreground bytes offered per operation invoked (rule bytes)."""
    doubt = seen.traffic_doubt() or seen.operations_doubt(op)
    return Count(doubt=doubt) if doubt else _per_op(seen, op, lambda message: message.size_bytes, _bytes_in_total)


def tally(messages: Iterable[Message], operations: frozenset[int] | None, weigh: Callable[[Message], int]) -> Tally:
    """What each flow weighs. With `operations`: only their part, 1/k of a batch of k for each (rule batch)."""
    parts: dict[tuple[str, str, str, int], int] = {}
    for m in messages:
        of = mine = 1
        if operations is not None:
            of, mine = len(m.operations), sum(map(operations.__contains__, m.operations))
        if mine:
            part = m.sender, m.receiver, m.message_class, of
            parts[part] = parts.get(part, 0) + mine * weigh(m)
    flows: Tally = {}
    for (sender, receiver, message_class, of), weight in parts.items():
        flow = Flow(sender, receiver, message_class)
        flows[flow] = flows.get(flow, Fraction()) + Fraction(weight, of)
    return flows


class _Part(NamedTuple):
    """Flows, what is to be taken off their sum as background, and how that was found."""

    flows: Tally
    background: Fraction
    notes: tuple[str, ...]


Total = Callable[[Observed], _Part]


def _per_op(seen: Observed, op: str | None, weigh: Callable[[Message], int], total: Total) -> Count:
    asked = seen.history.only(op) if op else seen.history
    if op is not None and seen.foreground and seen.names_operations():
        mine = tally(seen.foreground, frozenset(one.id for one in asked), weigh)
        flows, off, notes = _Part(mine, Fraction(), ())
        doubt = ""
    elif op is not None and len(asked) < len(seen.history) and (seen.foreground or seen.raw):
        return Count(doubt=_no_names(seen, op))
    else:
        flows, off, notes = total(seen)
        doubt = seen.idle_doubt()
    per_op = float(max(Fraction(), sum(flows.values(), Fraction()) - off) / len(asked))
    return Count(
        value=None if doubt else per_op,
        doubt=doubt,
        most=per_op,
        flows={flow: float(weight / len(asked)) for flow, weight in flows.items()},
        notes=(*notes, *_share_note(seen)),
    )


def _no_names(seen: Observed, op: str) -> str:
    others = sorted({one.f for one in seen.history if one.f != op})
    return f"messages do not name their operation, and the window holds other operations too: {', '.join(others)}"


def _messages_in_total(seen: Observed) -> _Part:
    flows = tally(seen.foreground, None, lambda message: 1)
    return _Part(flows, *_idle_part(seen, Counter(m.link.port for m in seen.foreground), "messages"))


def _bytes_in_total(seen: Observed) -> _Part:
    """Ports that declare classes: foreground frames. Others: all bytes offered, less the idle rate."""
    whole = [t for t in seen.ledger.totals if t.protocol == "bytes" or seen.background_of(t.link.port) is None]
    by_totals = {t.link.port for t in whole}
    flows = tally([m for m in seen.foreground if m.link.port not in by_totals], None, lambda message: message.size_bytes)
    offered: Counter[str] = Counter()
    for t in whole:
        flow = Flow(t.sender, t.receiver, f":{t.link.port}")
        flows[flow] = flows.get(flow, Fraction()) + t.offered_bytes
        offered[t.link.port] += t.offered_bytes
    return _Part(flows, *_idle_part(seen, offered, "bytes"))


def _idle_part(seen: Observed, carried: Mapping[str, int], unit: str) -> tuple[Fraction, tuple[str, ...]]:
    """What the idle rate makes of the window's background, never more than a port carried."""
    if not seen.undeclared or seen.idle is None:
        return Fraction(), ()
    rates = seen.idle.messages_per_s if unit == "messages" else seen.idle.bytes_per_s
    seconds = Fraction(seen.ledger.seconds)
    off = sum((min(Fraction(carried.get(p, 0)), Fraction(rates.get(p, 0.0)) * seconds) for p in seen.undeclared), Fraction())
    return off, (idle_note(seen.idle, sum(rates.get(p, 0.0) for p in seen.undeclared), unit),)


def idle_note(idle: IdleRate, rate: float, unit: str) -> str:
    """How a background rate was found."""
    return (
        f"background taken from an idle window of {idle.seconds:.1f} s: {rate:.4g} {unit}/s;"
        " load suppresses heartbeats, so this undercounts"
    )


def _share_note(seen: Observed) -> tuple[str, ...]:
    share = seen.attributed_share
    if share is None:
        return ()
    return (f"attributed to an operation: {float(share):.0%} of {len(seen.foreground)} foreground messages",)


def _share(ledger: Ledger, ports: set[str]) -> Fraction | None:
    mine = [total for total in ledger.totals if total.link.port in ports]
    offered = sum(total.offered_bytes for total in mine)
    return min(Fraction(1), Fraction(sum(total.framed_bytes for total in mine), offered)) if offered else None
