"""What one node keeps: for each key the newest value it has heard of. Pure but for the log it is given."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reference_systems.kit.storage import RecordLog

__all__ = ["NEVER", "Replica", "Version", "Versioned"]

Version = tuple[int, str, int]
"""(number, node that chose it, a draw): no two writes have one version, also across a restart of the node."""

NEVER: Version = (0, "", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Versioned:
    """A value and when it was written."""

    version: Version = NEVER
    value: Any = None

    def as_plain(self) -> list[Any]:
        """For JSON."""
        return [list(self.version), self.value]

    @classmethod
    def of(cls, plain: list[Any]) -> Versioned:
        """What `as_plain` gave."""
        (number, node, draw), value = plain
        return cls(version=(number, node, draw), value=value)


class Replica:
    """The node's own copy of all registers, in a log.

    Args:
        log: A record is a list of `[key, [version, value]]`: what was offered while the one before it was written.
        records: What the log holds.
    """

    def __init__(self, log: RecordLog, records: tuple[bytes, ...]) -> None:
        self._log = log
        self._kept: dict[str, Versioned] = {}
        self._waiting: dict[str, Versioned] = {}
        self._turn = asyncio.Lock()
        for record in records:
            self._keep({key: Versioned.of(plain) for key, plain in json.loads(record)})

    def newest(self, key: str) -> Versioned:
        """What it has of a key, durably: what a read relies on must not go with the power."""
        return self._kept.get(key, Versioned())

    async def offer(self, key: str, new: Versioned) -> None:
        """When this returns, it or something newer is durable. One record a sync, so that a crash can only tear the last."""
        if new.version <= self.newest(key).version:
            return
        if new.version > self._waiting.get(key, Versioned()).version:
            self._waiting[key] = new
        async with self._turn:
            batch, self._waiting = self._waiting, {}
            if batch:
                self._log.append(json.dumps([[name, one.as_plain()] for name, one in batch.items()]).encode())
                await self.force()
                self._keep(batch)

    async def force(self) -> None:
        """What was appended is durable."""
        await self._log.sync()

    def _keep(self, batch: Mapping[str, Versioned]) -> None:
        for key, one in batch.items():
            if one.version > self.newest(key).version:
                self._kept[key] = one
