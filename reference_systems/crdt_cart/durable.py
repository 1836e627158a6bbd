"""The replica's durable state on `env.disk`: a checksummed log `wal` of deltas that begins with a whole state.

One record per sync holds all writes of a group commit. When the log is long it is replaced by one record: written
beside it, synced, renamed. An error of the disk is never retried: it goes up and takes the node down.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from reference_systems.crdt_cart.cart import Cart
from reference_systems.crdt_cart.core import Stored, Write
from reference_systems.crdt_cart.messages import packed
from reference_systems.kit.env import Disk
from reference_systems.kit.storage import RecordLog, encode_record

__all__ = ["WAL", "Durable"]

WAL = "wal"
_NEW = WAL + ".new"


class Durable:
    """Makes writes durable, in order."""

    def __init__(self, disk: Disk, wal: RecordLog) -> None:
        self._disk = disk
        self._wal = wal

    @classmethod
    async def open(cls, disk: Disk, identity: Callable[[], str], cart: type[Cart]) -> tuple[Durable, Stored]:
        """Recover what was promised before; on an empty disk begin under a new identity.

        Raises:
            CorruptLog: The log is damaged where no crash can damage it.
            OSError: The disk refuses.
        """
        await disk.remove(_NEW)
        wal, records = await RecordLog.open(disk, WAL)
        durable = cls(disk, wal)
        if records:
            return durable, _replayed(records, cart)
        stored = Stored(identity=identity(), cart=cart())
        await durable.replace(stored)
        return durable, stored

    @property
    def size(self) -> int:
        """Bytes of the log."""
        return self._wal.size

    async def write(self, writes: Sequence[Write]) -> None:
        """Make the writes durable: one forced write, none when nothing changed."""
        changes = [[write.delta.to_json(), write.operation, _plain(write)] for write in writes if write.delta is not None]
        if changes:
            self._wal.append(packed(changes))
            await self._wal.sync()

    async def replace(self, stored: Stored) -> None:
        """One record of the whole state in place of the log."""
        record = packed([stored.identity, stored.cart.to_json(), list(stored.answers.items())])
        await self._disk.write(_NEW, encode_record(record))
        await self._disk.sync(_NEW)
        await self._disk.rename(_NEW, WAL)
        await self._disk.sync_dir()
        self._wal.close()
        self._wal, _ = await RecordLog.open(self._disk, WAL)


def _plain(write: Write) -> object:
    """The answer to a client, which a retry gets too."""
    return write.answer if write.operation else None


def _replayed(records: Sequence[bytes], kind: type[Cart]) -> Stored:
    identity, state, known = json.loads(records[0])
    cart, answers = kind.of_json(state), dict(known)
    for record in records[1:]:
        for delta, operation, answer in json.loads(record):
            cart = cart.merge(kind.of_json(delta))
            if operation:
                answers[operation] = answer
    return Stored(identity=identity, cart=cart, answers=answers)
