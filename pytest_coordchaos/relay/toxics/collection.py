"""The toxics of one proxy or link, and their doses: what each of them does to each connection.

For each connection and toxic one number is drawn, uniformly from [0, 1), from a seed and the names of both. The toxic
is in force while that number is less than its toxicity; it is never drawn again, whatever else is added or changed.
Every method returns without waiting for any connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from random import Random
from time import monotonic_ns
from typing import TYPE_CHECKING

from pytest_coordchaos.relay.toxics.registry import TYPES
from pytest_coordchaos.relay.toxics.toxic import ToxicStage

if TYPE_CHECKING:
    from pytest_coordchaos.relay.delivery import Delivery

__all__ = ["Dose", "Toxic", "Toxics"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Toxic:
    """A toxic as it was asked for.

    Args:
        name: Its name, one of its kind on its proxy.
        type: One of `registry.TYPES`.
        stream: "upstream" or "downstream", spelled as it was given.
        toxicity: Share of connections on which it is in force; less than 0 and more than 1 are allowed.
        values: Its attributes, all of them.
    """

    name: str
    type: str
    stream: str
    toxicity: float
    values: Mapping[str, int]

    @property
    def upstream(self) -> bool:
        """It is for what travels from dialler to node."""
        return self.stream.lower() == "upstream"


class Dose:
    """One toxic on one direction of one connection.

    Attributes:
        draw: The number that decides whether it is in force.
        stage: The stage, made when it first was.
        active: It is in force.
    """

    __slots__ = ("active", "draw", "seed", "stage")

    def __init__(self, seed: str) -> None:
        self.seed = seed
        self.draw = _uniform(seed)
        self.stage: ToxicStage | None = None
        self.active = False

    def chance(self) -> Random:
        """What its stage draws from."""
        return Random(self.seed)


class Toxics:
    """Toxics in order of addition, and the directions of open connections they act on.

    Args:
        seed: Seed of all draws; with the same one, the same connections (by number) are hit.

    Attributes:
        watchers: Who else is told of each connection that begins, by whom it was asked for.
    """

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._joined = 0
        self._toxics: dict[str, Toxic] = {}
        self._doses: dict[Delivery, dict[str, Dose]] = {}
        self._directions: dict[bool, dict[Delivery, int]] = {True: {}, False: {}}
        self.watchers: dict[object, Callable[[Delivery, Delivery], None]] = {}

    def __bool__(self) -> bool:
        return bool(self._toxics)

    def __contains__(self, name: str) -> bool:
        return name in self._toxics

    def get(self, name: str) -> Toxic | None:
        """The toxic of that name."""
        return self._toxics.get(name)

    def listed(self) -> list[Toxic]:
        """All of them: upstream ones first, each in order of addition."""
        return sorted(self._toxics.values(), key=lambda toxic: not toxic.upstream)

    def join(self, up: Delivery, down: Delivery) -> None:
        """A connection begins: the toxics act on its two directions."""
        number = self._joined = self._joined + 1
        self._directions[True][up] = self._directions[False][down] = number
        for toxic in self._toxics.values():
            self._dose(toxic, up if toxic.upstream else down, number)
        for watcher in self.watchers.values():
            watcher(up, down)

    def leave(self, up: Delivery, down: Delivery) -> None:
        """A connection is over. Idempotent."""
        for upstream, flow in ((True, up), (False, down)):
            self._directions[upstream].pop(flow, None)
            self._doses.pop(flow, None)

    def add(self, toxic: Toxic) -> None:
        """Put one more in force, behind the others, also on open connections. Its name must be free."""
        self._toxics[toxic.name] = toxic
        for flow, number in list(self._directions[toxic.upstream].items()):
            self._dose(toxic, flow, number)

    def update(self, name: str, values: Mapping[str, int], toxicity: float) -> Toxic:
        """Change one, also on open connections; what waits in it stays in order and is not lost."""
        toxic = self._toxics[name] = replace(self._toxics[name], values=values, toxicity=toxicity)
        for flow, dose in self._dosed(name):
            if dose.stage is not None:
                dose.stage.update(values, monotonic_ns())
            self._decide(toxic, flow, dose)
            if dose.active:
                flow.stage_changed()
        return toxic

    def remove(self, name: str) -> None:
        """Take one out; what it held on open connections goes on (or is closed: `timeout`)."""
        del self._toxics[name]
        for flow, dose in self._dosed(name):
            self._doses.get(flow, {}).pop(name, None)
            if dose.active and dose.stage is not None:
                flow.remove_stage(dose.stage)

    def clear(self) -> None:
        """Take out all of them."""
        for name in list(self._toxics):
            self.remove(name)

    def _dosed(self, name: str) -> list[tuple[Delivery, Dose]]:
        return [(flow, doses[name]) for flow, doses in self._doses.items() if name in doses]

    def _dose(self, toxic: Toxic, flow: Delivery, number: int) -> None:
        dose = Dose(f"{self._seed}/{number}/{toxic.upstream}/{toxic.name}")
        self._doses.setdefault(flow, {})[toxic.name] = dose
        self._decide(toxic, flow, dose)

    def _decide(self, toxic: Toxic, flow: Delivery, dose: Dose) -> None:
        active = dose.draw < toxic.toxicity
        if active is dose.active:
            return
        dose.active = active
        if not active:
            assert dose.stage is not None, "it was in force"
            flow.remove_stage(dose.stage, for_good=False)
            return
        if dose.stage is None:
            dose.stage = TYPES[toxic.type](toxic.values, dose.chance, monotonic_ns())
        flow.add_stage(dose.stage, self._place(toxic, flow))

    def _place(self, toxic: Toxic, flow: Delivery) -> int:
        """Before the stages of toxics that were added later. (Numbered from the first stage that is not of the chain's front.)"""
        stages, doses = flow.chain.stages, self._doses[flow]
        found = len(stages)
        for name in reversed(self._toxics):
            if name == toxic.name:
                break
            dose = doses.get(name)
            if dose is not None and dose.active and dose.stage is not None:
                found = stages.index(dose.stage)
        return found - flow.chain.front


def _uniform(seed: str) -> float:
    """A number from [0, 1) that the seed decides; ten times faster than seeding a generator for it."""
    return int.from_bytes(blake2b(seed.encode(), digest_size=7).digest()) / (1 << 56)
