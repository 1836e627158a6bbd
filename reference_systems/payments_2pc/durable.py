"""A node's durable state on `env.disk`: a checksummed log of records.

One record of the log per sync holds a whole group of ours, so that a crash can only tear the last. A long log is replaced by
one that holds the state, written beside it, synced, and renamed over it. An error of the disk takes the node down.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from reference_systems.kit.env import Disk
from reference_systems.kit.storage import CorruptLog, RecordLog, encode_record
from reference_systems.payments_2pc.journal import Record
from reference_systems.payments_2pc.state import State

__all__ = ["LOG", "Durable"]

LOG = "log"
_NEW = LOG + ".new"


class Durable:
    """Makes records durable, in order.

    Args:
        disk: The node's directory.
        log: Opened.
        compact_bytes: A longer log is replaced by the state.
    """

    def __init__(self, disk: Disk, log: RecordLog, compact_bytes: int) -> None:
        self._disk = disk
        self._log = log
        self._compact_bytes = compact_bytes

    @classmethod
    async def open(cls, disk: Disk, state: State, *, compact_bytes: int) -> Durable:
        """Recover what was promised into `state`, and begin a new incarnation of the node.

        Raises:
            CorruptLog: The log is damaged where no crash can damage it.
            OSError: The disk refuses.
        """
        await disk.remove(_NEW)
        log, groups = await RecordLog.open(disk, LOG)
        for group in groups:
            for record in json.loads(group):
                _restore(state, record)
        durable = cls(disk, log, compact_bytes)
        boot = {"kind": "boot", "incarnation": state.incarnation + 1}
        state.apply(boot)
        await durable.write([boot])
        return durable

    async def write(self, records: Sequence[Record]) -> None:
        """Make the records durable: one forced write."""
        self._log.append(json.dumps(records, separators=(",", ":")).encode())
        await self._log.sync()

    @property
    def is_long(self) -> bool:
        """Whether the log is worth replacing."""
        return self._log.size > self._compact_bytes

    async def compact(self, state: bytes) -> None:
        """Replace the log by the state that its records made, `State.encode`d; nothing was written in between."""
        record = b'[{"kind":"state","state":' + state + b"}]"
        await self._disk.write(_NEW, encode_record(record))
        await self._disk.sync(_NEW)
        await self._disk.rename(_NEW, LOG)
        await self._disk.sync_dir()
        self._log.close()
        self._log, _ = await RecordLog.open(self._disk, LOG)
        self._compact_bytes = max(self._compact_bytes, 2 * self._log.size)


def _restore(state: State, record: Record) -> None:
    try:
        if record["kind"] == "state":
            state.load(record["state"])
        else:
            state.apply(record)
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptLog(f"a record does not fit although its checksum is right: {error!r}") from error
