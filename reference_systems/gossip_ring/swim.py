"""The membership protocol as a pure state machine: events and the time in; datagrams and exchanges out.

Das, Gupta, Motivala 2002, with what HashiCorp's memberlist added: the whole view exchanged now and then, also with
the dead (so that two islands find each other again), and a probe on a connection before a member is suspected.
Whoever drives it, after each event: sends `take_messages` as datagrams, carries out `take_exchanges` on connections
and reports what came back. All times are monotonic seconds.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from reference_systems.gossip_ring.config import Config
from reference_systems.gossip_ring.members import Members
from reference_systems.gossip_ring.messages import ROOM_BYTES, Ack, Message, Ping, PingReq, State, Update
from reference_systems.gossip_ring.probing import Probe, Turn
from reference_systems.gossip_ring.rumours import Rumours

__all__ = ["Exchange", "Swim", "Why"]


class Why(StrEnum):
    """What an exchange on a connection is for."""

    SYNC = "sync"
    PROBE = "probe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """Ask a member on a connection. A sync that is answered goes to `learn`; a probe that is, to `answered`."""

    peer: str
    why: Why
    seq: int = 0


class Swim:
    """One member.

    Args:
        name: This member.
        seeds: Whom it asks to be let in.
        config: Times and factors.
        rng: Draws targets, helpers and the phase of its periods.
        now: Monotonic seconds, as in every call.
    """

    def __init__(self, *, name: str, seeds: Sequence[str], config: Config, rng: random.Random, now: float) -> None:
        self.name = name
        self.config = config
        self.rng = rng
        self.members = self.make_members()
        self.turn = self.make_turn()
        self.rumours = self.make_rumours()
        self.left = False
        self.periods = rng.randrange(config.sync_periods)  # not everybody syncs in the same period
        self.seeds = tuple(seeds)
        self._next_period = now + rng.uniform(0, config.period_s)
        self._last_tick = now
        self._seq = rng.randrange(1 << 32)  # what answers a life before this one answers nothing in this one
        self.probe: Probe | None = None
        self._relayed: dict[int, tuple[str, int, float]] = {}
        self._suspicions: dict[str, float] = {}
        self._messages: list[tuple[str, Message]] = []
        self._exchanges: list[Exchange] = []
        self.join()

    # What a variant may do otherwise

    def make_members(self) -> Members:
        """Its view of the group."""
        return Members(self.name, self.config.events)

    def make_turn(self) -> Turn:
        """The order in which it probes."""
        return Turn(self.rng)

    def make_rumours(self) -> Rumours:
        """What rides on its messages."""
        return Rumours(self.retransmissions, ROOM_BYTES)

    def retransmissions(self) -> int:
        """On how many messages an update rides."""
        return self.config.retransmissions(len(self.members.present()))

    def suspicion_s(self) -> float:
        """How long a suspect has to refute."""
        return self.config.suspicion_s(len(self.members.present()))

    def tombstone_s(self) -> float:
        """How long the dead are remembered."""
        return self.config.tombstone_periods * self.config.period_s

    def helpers(self, target: str) -> list[str]:
        """Who is asked to probe too."""
        others = [name for name in self.members.others(State.ALIVE, State.SUSPECT) if name != target]
        return self.rng.sample(others, min(self.config.helpers, len(others)))

    def refute(self, claim: Update, now: float) -> None:
        """Somebody takes this member for suspect or dead: only a greater incarnation of its own says otherwise."""
        self._announce(Update(self.name, claim.incarnation + 1, State.ALIVE), now)

    def fits(self, probe: Probe, seq: int, peer: str) -> bool:
        """Whether an acknowledgement belongs to the probe."""
        return probe.seq == seq

    def failed(self, target: str, now: float) -> None:
        """A probe had no acknowledgement."""
        self.believe_worse(target, State.SUSPECT, now)

    def begin_probe(self, now: float) -> None:
        """Whom it asks in this period."""
        target = self.turn.next(lambda: self.members.others(State.ALIVE, State.SUSPECT))
        if target is not None:
            self.probe = Probe(target=target, seq=self.next_seq(), help_at=now + self.config.probe_timeout_s)
            self.send(target, Ping(seq=self.probe.seq), tell=target)

    def keep_views_together(self) -> None:
        """The whole view is exchanged: with one present, one of the dead, a seed never heard of; alone, with seeds only."""
        present = self.members.others(State.ALIVE, State.SUSPECT)
        if not present:
            self.join()
        elif self.periods % self.config.sync_periods == 0:
            self._sync_with(present)
        if self.periods % self.config.reconnect_periods == 0:
            self._sync_with(self.members.others(State.DEAD))
            if present:
                self.look_for_islands()

    def look_for_islands(self) -> None:
        """Members that found each other before they found a seed are an island until somebody asks across."""
        self._sync_with([seed for seed in self.seeds if self.members.get(seed) is None])

    # What happens

    @property
    def deadline(self) -> float:
        """When `tick` has something to do, as far as known now."""
        due = [self._next_period, *self._suspicions.values()]
        if self.probe and not self.probe.asked and not self.probe.acked:
            due.append(self.probe.help_at)
        return min(due)

    def tick(self, now: float) -> None:
        """Time has passed. Call at `deadline`, and at least twice a period."""
        self._make_up_for(now)
        probe = self.probe
        if probe and not probe.asked and not probe.acked and now >= probe.help_at:
            self._ask_for_help(probe)
        if now >= self._next_period:
            self._end_period(now)
        for name, until in list(self._suspicions.items()):
            if now >= until:
                del self._suspicions[name]
                self.believe_worse(name, State.DEAD, now)

    def receive(self, peer: str, message: Message, now: float) -> None:
        """A datagram came from a peer."""
        for update in message.updates:
            self.hear(update, peer, now)
        if isinstance(message, Ping):
            self.send(peer, Ack(seq=message.seq), tell=peer)
        elif isinstance(message, PingReq):
            seq = self.next_seq()
            self._relayed[seq] = (peer, message.seq, now + self.config.period_s)
            self.send(message.target, Ping(seq=seq), tell=message.target)
        else:
            self._acknowledged(message.seq, peer)

    def learn(self, updates: Sequence[Update], peer: str, now: float) -> None:
        """A peer's whole view. Whom it takes for dead may have been cut off from it only: they are suspected, and can refute."""
        for update in updates:
            known = self.members.get(update.name)
            if update.state is State.DEAD and known is not None and known.state is State.ALIVE:
                update = Update(update.name, update.incarnation, State.SUSPECT)
            self.hear(update, peer, now)

    def answered(self, exchange: Exchange) -> None:
        """A probe on a connection was answered: the member is there, whatever its datagrams do."""
        if self.probe and self.probe.seq == exchange.seq:
            self.probe.acked = True

    def leave(self, now: float) -> None:
        """Go, and say so. It goes on telling what it knows as long as others ask, and probes nobody any more."""
        if not self.left:
            self.left = True
            self._announce(Update(self.name, self.members.own.incarnation, State.LEFT), now)
            for peer in self.members.others(State.ALIVE, State.SUSPECT)[: self.config.helpers]:
                self._exchanges.append(Exchange(peer=peer, why=Why.SYNC))

    def take_messages(self) -> list[tuple[str, Message]]:
        """Datagrams to send now: (peer, message)."""
        messages, self._messages = self._messages, []
        return messages

    def take_exchanges(self) -> list[Exchange]:
        """Exchanges to begin now."""
        exchanges, self._exchanges = self._exchanges, []
        return exchanges

    # Beliefs

    def hear(self, update: Update, peer: str, now: float) -> None:
        """Somebody's belief about somebody."""
        if update.name == self.name:
            self._hear_of_itself(update, now)
        elif self.members.accepts(update):
            self.believe(update, peer, now)

    def believe(self, update: Update, by: str, now: float) -> None:
        """Take it into the view, and tell it."""
        known = self.members.get(update.name)
        self.members.put(update, by, now)
        self.rumours.add(update)
        self._suspicions.pop(update.name, None)
        if update.state is State.SUSPECT:
            self._suspicions[update.name] = now + self.suspicion_s()
        if known is None or (known.state >= State.DEAD and update.state is State.ALIVE):
            self.turn.joined(update.name)

    def _hear_of_itself(self, update: Update, now: float) -> None:
        if self.left or update.rank <= self.members.own.rank:
            return
        if update.state is State.ALIVE:
            self._announce(update, now)  # from a life before this one
        else:
            self.refute(update, now)

    def _announce(self, update: Update, now: float) -> None:
        self.members.put(update, self.name, now)
        self.rumours.add(update)

    def believe_worse(self, name: str, state: State, now: float) -> None:
        """Take somebody for suspect or dead on one's own."""
        known = self.members.get(name)
        if known is not None and known.state < state:
            self.believe(Update(name, known.incarnation, state), self.name, now)

    # Periods

    def _make_up_for(self, now: float) -> None:
        """A member that did not run itself must not blame others for what it did not hear meanwhile."""
        lost_s = now - self._last_tick - self.config.period_s
        self._last_tick = now
        if lost_s > 0:
            self.probe = None
            self._suspicions = {name: until + lost_s for name, until in self._suspicions.items()}

    def _end_period(self, now: float) -> None:
        probe, self.probe = self.probe, None
        if probe and not probe.acked:
            self.failed(probe.target, now)
        self._next_period = max(self._next_period + self.config.period_s, now + self.config.period_s / 2)
        self._relayed = {seq: relay for seq, relay in self._relayed.items() if relay[2] >= now}
        self.periods += 1
        if not self.left:
            self.begin_probe(now)
            self.keep_views_together()
        self.members.forget_dead(now - self.tombstone_s())

    def _ask_for_help(self, probe: Probe) -> None:
        probe.asked = True
        for helper in self.helpers(probe.target):
            self.send(helper, PingReq(seq=probe.seq, target=probe.target), tell=helper)
        self._exchanges.append(Exchange(peer=probe.target, why=Why.PROBE, seq=probe.seq))

    def _sync_with(self, names: Sequence[str]) -> None:
        if names:
            self._exchanges.append(Exchange(peer=self.rng.choice(names), why=Why.SYNC))

    def join(self) -> None:
        """Ask a seed to be let in."""
        self._sync_with([seed for seed in self.seeds if seed != self.name])

    # Messages

    def _acknowledged(self, seq: int, peer: str) -> None:
        if self.probe and self.fits(self.probe, seq, peer):
            self.probe.acked = True
        relay = self._relayed.pop(seq, None)
        if relay:
            asker, asked, _ = relay
            self.send(asker, Ack(seq=asked), tell=asker)

    def send(self, peer: str, message: Message, *, tell: str) -> None:
        """Send with updates; who is taken for suspect or gone is told so in any case, that it can refute."""
        known = self.members.get(tell)
        first = (known,) if known is not None and known.state is not State.ALIVE else ()
        self._messages.append((peer, replace(message, updates=self.rumours.take(first))))

    def next_seq(self) -> int:
        """A number no other probe of this life has."""
        self._seq += 1
        return self._seq
