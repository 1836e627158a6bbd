"""A group of pure members on a heap of events: no sockets, no loop, no bytes; fast enough for thousands."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from itertools import count

from reference_systems.gossip_ring.config import Config
from reference_systems.gossip_ring.members import Event
from reference_systems.gossip_ring.messages import Message, State, Update
from reference_systems.gossip_ring.swim import Exchange, Swim, Why

__all__ = ["Group"]


class Group:
    """n members, and links that take `delay_s`.

    Args:
        n: How many members; they are called n1, n2 …
        config: Of each.
        seed: Draws everything.
        delay_s: One way.
        make: Makes a member; a broken one, if you like.
        known: Everybody knows everybody at the start.
        together: Periods of all members begin at the same moments.
    """

    def __init__(
        self,
        n: int,
        *,
        config: Config | None = None,
        seed: int = 0,
        delay_s: float = 0.001,
        make: Callable[..., Swim] = Swim,
        known: bool = True,
        together: bool = False,
    ) -> None:
        self.config = config or Config()
        self.now = 0.0
        self.names = tuple(f"n{number}" for number in range(1, n + 1))
        self.down: set[str] = set()
        self.sent: Counter[str] = Counter()
        self.lost: Callable[[str, str], bool] = lambda sender, receiver: False
        self._rng = random.Random(seed)
        self._delay_s = delay_s
        self._make = make
        self._together = together
        self._numbers = count()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self.members: dict[str, Swim] = {name: self._new(name) for name in self.names}
        if known:
            self._introduce()
        for name in self.names:
            self._wake(name, self.members[name])

    def _new(self, name: str) -> Swim:
        rng = random.Random(self._rng.getrandbits(64))
        swim = self._make(name=name, seeds=self.names[: self.config.seeds], config=self.config, rng=rng, now=self.now)
        if self._together:
            swim._next_period = self.now + self.config.period_s
        return swim

    def _introduce(self) -> None:
        for member in self.members.values():
            for name in self.names:
                if name != member.name:
                    member.members.put(Update(name, 0, State.ALIVE), name, self.now)
            member.take_exchanges()
            for _ in range(self._rng.randrange(2 * len(self.names)) if self._together else 0):  # each is somewhere in its turn
                member.turn.next(lambda member=member: member.members.others(State.ALIVE))  # type: ignore[misc]  # bound at once

    # What happens

    def run(self, seconds: float) -> None:
        """Let time go on."""
        end = self.now + seconds
        while self._queue and self._queue[0][0] <= end:
            self.now, _, happen = heapq.heappop(self._queue)
            happen()
        self.now = end

    def periods_to_first_probe(self, name: str) -> int:
        """Crash one in the middle of a period of a group whose periods begin together: in which one is it first probed?

        What is seen is the suspicion, a period after the probe.
        """
        period_s = self.config.period_s
        self.run(1.5 * period_s)
        self.crash(name)
        crashed = self.now
        while not (suspected := self.events(name, State.SUSPECT)):
            self.run(period_s)
        return round((suspected[0][1].at - crashed) / period_s - 0.5)

    def crash(self, name: str) -> None:
        """It is gone."""
        self.down.add(name)

    def restart(self, name: str) -> None:
        """It is back, and knows nobody."""
        self.down.discard(name)
        self.members[name] = self._new(name)
        self._wake(name, self.members[name])

    def hear(self, name: str, update: Update, by: str) -> None:
        """Tell a member something."""
        self.members[name].hear(update, by, self.now)

    # What is seen

    def state(self, observer: str, subject: str) -> str:
        """What one believes of another."""
        known = self.members[observer].members.get(subject)
        return "unknown" if known is None else known.state.name.lower()

    def views(self) -> list[dict[str, Update]]:
        """What each living member believes of those who are present."""
        living = [self.members[name] for name in self.names if name not in self.down]
        return [{one.name: one for one in member.members.all() if one.state <= State.SUSPECT} for member in living]

    def events(self, subject: str, state: State) -> list[tuple[str, Event]]:
        """(observer, event) of all beliefs of that kind."""
        found = [
            (name, event)
            for name, member in self.members.items()
            if name not in self.down
            for event in member.members.events
            if event.update.name == subject and event.update.state is state
        ]
        return sorted(found, key=lambda one: one[1].at)

    # Inside

    def _at(self, time: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (time, next(self._numbers), happen))

    def _wake(self, name: str, member: Swim) -> None:
        def tick() -> None:
            if self.members[name] is member and name not in self.down:
                member.tick(self.now)
                self._settle(name)
                self._wake(name, member)

        self._at(self.now + min(max(member.deadline - self.now, 0.001), self.config.period_s / 2), tick)

    def _settle(self, name: str) -> None:
        member = self.members[name]
        for peer, message in member.take_messages():
            self.sent[type(message).__name__] += 1
            self._send(name, peer, message)
        for exchange in member.take_exchanges():
            self._exchange(name, exchange)

    def _send(self, sender: str, receiver: str, message: Message) -> None:
        def arrive() -> None:
            if receiver not in self.down:
                self.members[receiver].receive(sender, message, self.now)
                self._settle(receiver)

        if not self.lost(sender, receiver):
            self._at(self.now + self._delay_s, arrive)

    def _exchange(self, asker: str, exchange: Exchange) -> None:
        """Three one-way delays: to be connected, to ask, to be answered. One message each for question and answer."""
        peer, member = exchange.peer, self.members[asker]
        self.sent["exchange"] += 1

        def ask() -> None:
            if peer in self.down or asker in self.down or self.lost(asker, peer) or self.lost(peer, asker):
                return
            self.sent["exchange"] += 1
            answer: tuple[Update, ...] = ()
            if exchange.why is Why.SYNC:
                self.members[peer].learn(member.members.all(), asker, self.now)
                answer = self.members[peer].members.all()
                self._settle(peer)
            self._at(self.now + self._delay_s, lambda: told(answer))

        def told(answer: tuple[Update, ...]) -> None:
            if self.members[asker] is member and asker not in self.down:
                if exchange.why is Why.SYNC:
                    member.learn(answer, peer, self.now)
                else:
                    member.answered(exchange)
                self._settle(asker)

        self._at(self.now + 2 * self._delay_s, ask)
