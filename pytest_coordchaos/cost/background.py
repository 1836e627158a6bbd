"""What nodes say to each other by themselves: messages and bytes of background per second. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

from pytest_coordchaos.cost.counting import Count, IdleRate, Observed, idle_note, tally
from pytest_coordchaos.cost.ledger import Message

__all__ = ["background_bytes_per_s", "background_per_s"]


def background_per_s(seen: Observed, op: str | None) -> Count:
    """Background messages offered per second: declared classes as seen, others as in the idle window."""
    return _background(seen, lambda message: 1, lambda idle: idle.messages_per_s, "messages")


def background_bytes_per_s(seen: Observed, op: str | None) -> Count:
    """Bytes of background messages offered per second, counted as their messages are."""
    return _background(seen, lambda message: message.size_bytes, lambda idle: idle.bytes_per_s, "bytes")


def _background(
    seen: Observed, weigh: Callable[[Message], int], idle_of: Callable[[IdleRate], Mapping[str, float]], unit: str
) -> Count:
    doubt = seen.traffic_doubt() or seen.framing_doubt() or seen.idle_doubt()
    if doubt or seen.ledger.seconds <= 0:
        return Count(doubt=doubt or "the window has no length")
    background = [m for m in seen.ledger if m.message_class in (seen.background_of(m.link.port) or ())]
    flows = {flow: float(n / Fraction(seen.ledger.seconds)) for flow, n in tally(background, None, weigh).items()}
    measured = sum(map(weigh, background)) / seen.ledger.seconds
    if not seen.undeclared or seen.idle is None:
        return Count(value=measured, flows=flows)
    rate = sum(idle_of(seen.idle).get(port, 0.0) for port in seen.undeclared)
    return Count(value=measured + rate, flows=flows, notes=(idle_note(seen.idle, rate, unit),))
