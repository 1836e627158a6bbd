"""Members with one known bug each. `node.main` knows nothing of them: `main` here is an entry of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from reference_systems.gossip_ring.config import Config
from reference_systems.gossip_ring.members import Members
from reference_systems.gossip_ring.messages import Ping, State, Update
from reference_systems.gossip_ring.node import GossipNode
from reference_systems.gossip_ring.probing import Probe, Turn
from reference_systems.gossip_ring.ring import Ring, place_of
from reference_systems.gossip_ring.rumours import Rumours
from reference_systems.gossip_ring.swim import Swim
from reference_systems.kit.env import Env

__all__ = ["main"]


class _LastWordCounts(Members):
    def overrides(self, update: Update, known: Update) -> bool:
        return update.state is not known.state


class NoIncarnations(Swim):
    """S1: whoever speaks last is believed."""

    def make_members(self) -> Members:
        """Without numbers there is no order."""
        return _LastWordCounts(self.name, self.config.events)

    def refute(self, claim: Update, now: float) -> None:
        """It says that it is alive, as often as it is asked."""
        self.believe(Update(self.name, 0, State.ALIVE), self.name, now)


class NoSuspicion(Swim):
    """S2: one failed probe is death."""

    def failed(self, target: str, now: float) -> None:
        """No second chance."""
        self.believe_worse(target, State.DEAD, now)


class NoIndirectProbe(Swim):
    """S3: what one member cannot reach is suspected."""

    def helpers(self, target: str) -> list[str]:
        """Nobody is asked."""
        return []


class _Mute(Rumours):
    def take(self, first: object = ()) -> tuple[Update, ...]:
        return ()


class NoPiggyback(Swim):
    """S4: messages carry no updates."""

    def make_rumours(self) -> Rumours:
        """Nothing is told."""
        return _Mute(self.retransmissions, 0)


class EndlessRumours(Swim):
    """S5: an update is told for ever."""

    def retransmissions(self) -> int:
        """No limit."""
        return 1 << 62


class FewRumours(Swim):
    """S6: an update is told twice, however many members there are."""

    def retransmissions(self) -> int:
        """A constant."""
        return 2


class _AnyTarget(Turn):
    def next(self, targets: Callable[[], Sequence[str]]) -> str | None:
        possible = targets()
        return self._rng.choice(possible) if possible else None


class RandomTargets(Swim):
    """S7: each period probes anybody, also the one of the period before."""

    def make_turn(self) -> Turn:
        """No turns."""
        return _AnyTarget(self.rng)


class SameIncarnation(Swim):
    """S8: a refutation has the incarnation that was suspected."""

    def refute(self, claim: Update, now: float) -> None:
        """Nobody hears it."""
        self.rumours.add(Update(self.name, claim.incarnation, State.ALIVE))


class NoReunion(Swim):
    """S9: the dead are never contacted again, and views are never exchanged."""

    def keep_views_together(self) -> None:
        """Only who is alone asks a seed."""
        if not self.members.others(State.ALIVE, State.SUSPECT):
            self.join()


class ShortSuspicion(Swim):
    """S10: the time to refute does not grow with the group."""

    def suspicion_s(self) -> float:
        """As in a group of one."""
        return self.config.suspicion_s(1)


class AllToAll(Swim):
    """S11: every period everybody is asked."""

    def begin_probe(self, now: float) -> None:
        """A heartbeat to each."""
        super().begin_probe(now)
        for name in self.members.others(State.ALIVE, State.SUSPECT):
            self.send(name, Ping(seq=self.next_seq()), tell=name)


class AnyAck(Swim):
    """S12: an acknowledgement has no number."""

    def fits(self, probe: Probe, seq: int, peer: str) -> bool:
        """Whatever comes is taken for the answer."""
        return True


class ShortMemory(Swim):
    """S14: the dead are forgotten after a period."""

    def tombstone_s(self) -> float:
        """Before everybody knows."""
        return self.config.period_s


class _DeadForEver(Members):
    def overrides(self, update: Update, known: Update) -> bool:
        return known.state is not State.DEAD and super().overrides(update, known)


class NoRejoin(Swim):
    """S15: who was declared dead stays dead, whatever it says."""

    def make_members(self) -> Members:
        """Nothing overrides death."""
        return _DeadForEver(self.name, self.config.events)


class QuietJoin(Swim):
    """S16: only seeds let somebody in, and they tell nobody."""

    def hear(self, update: Update, peer: str, now: float) -> None:
        """A stranger is ignored, unless it comes itself to a seed, or this member is new."""
        seed = self.name in self.seeds and peer == update.name
        if update.name == self.name or seed or self.joining or self.members.get(update.name) is not None:
            super().hear(update, peer, now)

    @property
    def joining(self) -> bool:
        """Nobody but the seed is known yet."""
        return len(self.members.present()) <= 2


class Islander(Swim):
    """S17: seeds are asked only by who is alone."""

    def look_for_islands(self) -> None:
        """Who has company looks for nobody else."""


class WallClock(GossipNode):
    """S13: timeouts count on the wall clock."""

    def now(self) -> float:
        """A clock that may jump."""
        return self.env.clock.wall()


class _Modulo(Ring):
    def owner(self, key: str) -> str | None:
        return self.members[place_of(key) % len(self.members)] if self.members else None


class ModuloRing(GossipNode):
    """H1: the owner is the hash modulo the number of members."""

    def make_ring(self) -> Ring:
        """Every change moves nearly every key."""
        return _Modulo(self.config.points)


class OnePoint(GossipNode):
    """H2: no virtual nodes."""

    def make_ring(self) -> Ring:
        """One place each."""
        return Ring(1)


class _Salted(Ring):
    salt = ""

    def owner(self, key: str) -> str | None:
        return super().owner(self.salt + key)


class OwnHash(GossipNode):
    """H3: each process hashes in its own way."""

    def make_ring(self) -> Ring:
        """As Python's `hash` of a text does."""
        ring = _Salted(self.config.points)
        ring.salt = self.env.name
        return ring


SWIMS: Mapping[str, type[Swim]] = MappingProxyType(
    {
        "S1": NoIncarnations,
        "S2": NoSuspicion,
        "S3": NoIndirectProbe,
        "S4": NoPiggyback,
        "S5": EndlessRumours,
        "S6": FewRumours,
        "S7": RandomTargets,
        "S8": SameIncarnation,
        "S9": NoReunion,
        "S10": ShortSuspicion,
        "S11": AllToAll,
        "S12": AnyAck,
        "S14": ShortMemory,
        "S15": NoRejoin,
        "S16": QuietJoin,
        "S17": Islander,
    }
)
NODES: Mapping[str, type[GossipNode]] = MappingProxyType({"S13": WallClock, "H1": ModuloRing, "H2": OnePoint, "H3": OwnHash})


async def main(env: Env) -> None:
    """The member that `options["mutant"]` names."""
    options = dict(env.options)
    mutant = str(options.pop("mutant"))
    config = Config.of(options)
    if mutant in NODES:
        await NODES[mutant](env, config).run()
    else:
        await _broken(mutant)(env, config).run()


def _broken(mutant: str) -> type[GossipNode]:
    class Broken(GossipNode):
        def make_swim(self, swim: type[Swim] = SWIMS[mutant]) -> Swim:
            return super().make_swim(swim)

    return Broken
