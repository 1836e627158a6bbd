"""States of a link told apart: what Toxiproxy applies, and what is left to the relay in front of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from pytest_coordchaos.faults.model import PASS, DirectionState, LinkMode
from pytest_coordchaos.relay.toxiproxy.model import Toxic

__all__ = ["BEHIND", "Change", "States", "before", "changes", "left_to_relay", "refuses", "relay_part", "toxics_of"]

States = tuple[DirectionState, DirectionState]
"""(upstream, downstream)."""

BEHIND = DirectionState(LinkMode.BEHIND)
"""What the relay does while Toxiproxy discards the bytes of a direction."""

_STREAMS = ("upstream", "downstream")


@dataclass(frozen=True, slots=True)
class Change:
    """One call: "add", "update" or "remove" this toxic."""

    do: str
    toxic: Toxic


def toxics_of(states: States) -> tuple[Toxic, ...]:
    """The toxics that express these states: `latency` for whole milliseconds of delay, `timeout` 0 for a cut."""
    toxics: list[Toxic] = []
    for stream, state in zip(_STREAMS, states, strict=True):
        if state.delay_ms >= 1:
            attributes = {"latency": int(state.delay_ms), "jitter": 0}
            toxics.append(Toxic(type="latency", stream=stream, name=f"latency_{stream}", attributes=attributes))
        if state.mode is LinkMode.DROP:
            toxics.append(Toxic(type="timeout", stream=stream, name=f"timeout_{stream}", attributes={"timeout": 0}))
    return tuple(toxics)


def relay_part(states: States) -> States:
    """What the relay does beside those toxics."""
    up, down = (_in_front(state) for state in states)
    return up, down


def before(old: States, new: States) -> States | None:
    """What the relay must do before Toxiproxy changes from `old` to `new`; None: nothing.

    Ends of streams must not get past a cut, so the relay swallows them from before it begins until after it is
    lifted; where one is lifted both ways do, for Toxiproxy then ends the connections. A refusal is the relay's
    first, so that who is connected sees a reset, and its last to be lifted.
    """
    if refuses(new) or refuses(old):
        return relay_part(new) if refuses(new) else None
    cut_old, cut_new = ([state.mode is LinkMode.DROP for state in states] for states in (old, new))
    if any(was and not is_ for was, is_ in zip(cut_old, cut_new, strict=True)):
        return BEHIND, BEHIND
    return relay_part(new) if any(cut_new) and cut_old != cut_new else None


def left_to_relay(states: States) -> Iterator[str]:
    """What of these states Toxiproxy cannot express, in words."""
    for state in states:
        if state.mode is LinkMode.REFUSE:
            yield "refusals (Toxiproxy's listener is closed too)"
        elif _rest(state) != PASS:
            yield "holds" if state.mode not in (LinkMode.PASS, LinkMode.DROP) else "faults on messages"
        if state.delay_ms % 1:
            yield "fractions of a millisecond"


def changes(old: Iterable[Toxic], new: Iterable[Toxic]) -> list[Change]:
    """What leads from one set of toxics to another: removals first, then updates, then additions."""
    was = {toxic.full_name: toxic for toxic in old}
    wanted = {toxic.full_name: toxic for toxic in new}
    removed = [Change("remove", toxic) for name, toxic in was.items() if name not in wanted]
    updated = [Change("update", toxic) for name, toxic in wanted.items() if name in was and was[name] != toxic]
    return removed + updated + [Change("add", toxic) for name, toxic in wanted.items() if name not in was]


def _in_front(state: DirectionState) -> DirectionState:
    mode = LinkMode.BEHIND if state.mode is LinkMode.DROP else state.mode
    return replace(state, mode=mode, delay_ms=state.delay_ms % 1)


def _rest(state: DirectionState) -> DirectionState:
    """The state without what toxics express."""
    return replace(state, mode=LinkMode.PASS if state.mode is LinkMode.DROP else state.mode, delay_ms=0.0)


def refuses(states: States) -> bool:
    """Whether connections are refused in these states."""
    return any(state.mode is LinkMode.REFUSE for state in states)
