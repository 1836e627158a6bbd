"""Registers (Shapiro et al. 2011, §3.2). Pure. Values are plain JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from reference_systems.crdt.maps import ORMap

__all__ = ["LWWRegister", "MVRegister", "Stamp"]

_ONLY = 0


class Stamp(NamedTuple):
    """When a value was written, and by whom: two replicas never have the same one."""

    time: int = 0
    replica: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LWWRegister:
    """The value with the largest stamp: the last writer wins, whatever was written at the same time is lost."""

    stamp: Stamp = field(default_factory=Stamp)
    value: Any = None

    def write(self, replica: str, value: Any, time: int) -> LWWRegister:
        """Delta: the value, stamped with `time`, or with one more than the stamp that was seen if that is later."""
        return LWWRegister(stamp=Stamp(max(time, self.stamp.time + 1), replica), value=value)

    def merge(self, other: LWWRegister) -> LWWRegister:
        """The one with the larger stamp."""
        return self if other.stamp <= self.stamp else other

    def leq(self, other: LWWRegister) -> bool:
        """Written before the other, or the same."""
        return self.stamp <= other.stamp

    def to_json(self) -> list[Any]:
        """As a plain list."""
        return [*self.stamp, self.value]

    @classmethod
    def of_json(cls, data: Any) -> LWWRegister:
        """Back from `to_json`."""
        time, replica, value = data
        return cls(stamp=Stamp(time, replica), value=value)


@dataclass(frozen=True, slots=True, kw_only=True)
class MVRegister:
    """All values that no later write has seen: what was written at the same time is kept side by side."""

    map: ORMap[Any] = field(default_factory=ORMap)

    @property
    def values(self) -> tuple[Any, ...]:
        """The values; more than one after writes at the same time."""
        return self.map.values(_ONLY)

    def write(self, replica: str, value: Any) -> MVRegister:
        """Delta: the value in place of all that were seen."""
        return MVRegister(map=self.map.assign(replica, _ONLY, value))

    def merge(self, other: MVRegister) -> MVRegister:
        """Values that both hold, or that one holds and the other has never seen."""
        return MVRegister(map=self.map.merge(other.map))

    def leq(self, other: MVRegister) -> bool:
        """The other has seen all writes of this, and holds nothing that is overwritten here."""
        return self.map.leq(other.map)

    def to_json(self) -> list[Any]:
        """As plain lists."""
        return self.map.to_json()

    @classmethod
    def of_json(cls, data: Any) -> MVRegister:
        """Back from `to_json`."""
        return cls(map=ORMap.of_json(data))
