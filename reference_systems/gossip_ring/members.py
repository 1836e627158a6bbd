"""One member's view of the group: name -> state and incarnation, and the log of its changes. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from reference_systems.gossip_ring.messages import State, Update

__all__ = ["Event", "Members"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The view changed.

    Args:
        update: What is believed from now on.
        at: Monotonic seconds.
        by: Whose word it was; the member's own name: it found out itself.
    """

    update: Update
    at: float
    by: str


class Members:
    """The view. The member itself is in it from the start.

    Args:
        name: Whose view it is.
        remembered: Most events kept.
    """

    def __init__(self, name: str, remembered: int) -> None:
        self.name = name
        self.events: deque[Event] = deque(maxlen=remembered)
        self._records: dict[str, Update] = {name: Update(name, 0, State.ALIVE)}
        self._dead_since: dict[str, float] = {}

    @property
    def own(self) -> Update:
        """What it says of itself."""
        return self._records[self.name]

    def get(self, name: str) -> Update | None:
        """What is believed of a member; None: nothing."""
        return self._records.get(name)

    def all(self) -> tuple[Update, ...]:
        """Every belief, the dead included."""
        return tuple(self._records.values())

    def present(self) -> tuple[str, ...]:
        """Names of those that are alive, or still may be."""
        return tuple(name for name, record in self._records.items() if record.state <= State.SUSPECT)

    def others(self, *states: State) -> list[str]:
        """Names of the other members in these states."""
        return [name for name, record in self._records.items() if record.state in states and name != self.name]

    def accepts(self, update: Update) -> bool:
        """Whether a belief is news: it ranks above the present one. Strangers are not buried."""
        known = self._records.get(update.name)
        return update.state <= State.SUSPECT if known is None else self.overrides(update, known)

    def overrides(self, update: Update, known: Update) -> bool:
        """The order of beliefs."""
        return update.rank > known.rank

    def put(self, update: Update, by: str, now: float) -> None:
        """Believe it from now on."""
        self._records[update.name] = update
        self.events.append(Event(update=update, at=now, by=by))
        if update.state >= State.DEAD:
            self._dead_since.setdefault(update.name, now)
        else:
            self._dead_since.pop(update.name, None)

    def forget_dead(self, before: float) -> None:
        """Drop who has been dead since before that time."""
        gone = [name for name, since in self._dead_since.items() if since < before and name != self.name]
        for name in gone:
            del self._records[name], self._dead_since[name]
