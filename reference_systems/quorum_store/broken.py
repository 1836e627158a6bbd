"""Quorum stores with one bug each, picked by `options["mutant"]`. An entry of its own: the healthy one never looks at it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from reference_systems.kit.env import Env
from reference_systems.kit.storage import RecordLog
from reference_systems.quorum_store.node import QUERY, NoQuorum, QuorumNode
from reference_systems.quorum_store.replica import Replica, Version, Versioned

__all__ = ["main"]


class NoWriteBack(QuorumNode):
    """R + W > N is enough, isn't it: a read answers what it found, although only a minority may have it."""

    async def write_back(self, key: str, newest: Versioned, operations: tuple[int, ...]) -> None:
        """Saved a round trip."""


class SaysFailed(QuorumNode):
    """A write that too few have stored is answered as failed; it is not undone, and may be seen later."""

    def half_written(self, error: NoQuorum) -> dict[str, Any]:
        """Surely not."""
        return {"status": "failed", "reason": str(error)}


class InOrder(QuorumNode):
    """Waits for the first node's answer before it looks at the second's: a slow first one holds up a full quorum."""

    async def gather(self, kind: int, question: Sequence[Any], enough: int, operations: tuple[int, ...]) -> list[Any]:
        """All are asked at once, and awaited one after the other."""
        arrived: dict[str, asyncio.Queue[Any]] = {node: asyncio.Queue() for node in self._env.nodes}
        for node in self._env.nodes:
            self._env.spawn(self._hand_in(arrived[node], node, kind, question, operations))
        found: list[Any] = []
        for node in self._env.nodes:
            if (answer := await arrived[node].get()) is not None:
                found.append(answer)
            if len(found) == enough:
                return found
        raise self.too_few(len(found), enough)


class WrongUnit(QuorumNode):
    """Milliseconds taken for seconds: without a majority nobody is told anything."""

    @property
    def patience_s(self) -> float:
        """300."""
        return 300.0


class OneByOne(QuorumNode):
    """Asks one replica after the other, always the same ones first: as many round trips as answers are needed."""

    async def gather(self, kind: int, question: Sequence[Any], enough: int, operations: tuple[int, ...]) -> list[Any]:
        """In order, for queries."""
        if kind != QUERY:
            return await super().gather(kind, question, enough, operations)
        found: list[Any] = []
        for node in self._env.nodes:
            if (answer := await self.one(node, kind, question, operations)) is not None:
                found.append(answer)
            if len(found) == enough:
                return found
        raise self.too_few(len(found), enough)


class NoTieBreak(QuorumNode):
    """Two writers can choose one version: which value wins differs from replica to replica."""

    async def next_version(self, key: str, operations: tuple[int, ...]) -> Version:
        """A number alone."""
        number, _, _ = await super().next_version(key, operations)
        return number, "", 0


class OwnVersions(QuorumNode):
    """The writer brings its own version: a write can be acknowledged and be older than what is there."""

    def __init__(self, env: Env, replica: Replica) -> None:
        super().__init__(env, replica)
        self._number = 0

    async def next_version(self, key: str, operations: tuple[int, ...]) -> Version:
        """Asks nobody."""
        self._number += 1
        return self._number, self._env.name, self._env.random.getrandbits(32)


class NothingIsNone(QuorumNode):
    """No majority and no value are the same answer."""

    def no_value(self, error: NoQuorum) -> dict[str, Any]:
        """There is none."""
        return {"status": "ok", "value": None}


class SmallQuorum(QuorumNode):
    """Nothing checks the sizes: a write quorum that a read quorum need not meet."""

    @property
    def write_quorum(self) -> int:
        """One fewer than a majority."""
        return len(self._env.nodes) // 2


class Unforced(Replica):
    """Acknowledges what is not on its disk."""

    async def force(self) -> None:
        """Leaves it to the page cache."""


_KINDS = (
    NoWriteBack,
    SaysFailed,
    InOrder,
    WrongUnit,
    OneByOne,
    NoTieBreak,
    OwnVersions,
    NothingIsNone,
    SmallQuorum,
)


async def main(env: Env) -> None:
    """The healthy `main`, with another class."""
    mutant = env.options["mutant"]
    node = next((kind for kind in _KINDS if kind.__name__ == mutant), QuorumNode)
    replica = Unforced if mutant == "Unforced" else Replica
    await node(env, replica(*await RecordLog.open(env.disk, "log"))).run()
