"""Raft's durable state on `env.disk`: a checksummed log `wal` and a file `snapshot`.

One record per sync holds all writes of a group commit, so that a crash can only tear the last record.
A snapshot is written beside the old one, synced, and renamed over it; then the log is replaced the same
way. A crash between the two leaves a log that reaches further back than it must, which is harmless.
An error of the disk is never retried: it goes up and takes the node down.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from reference_systems.kit.env import Disk
from reference_systems.kit.storage import CorruptLog, RecordLog, encode_record, scan
from reference_systems.raft_kv.log import RaftLog, Snapshot
from reference_systems.raft_kv.replica import Appended, HardState, SaveSnapshot, Stored, Write
from reference_systems.raft_kv.wire import decode_entries, encode_entries

__all__ = ["SNAPSHOT", "WAL", "Durable", "decode_writes", "encode_writes"]

WAL = "wal"
SNAPSHOT = "snapshot"
_NEW = ".new"
_SECTION = struct.Struct(">BQQI")  # kind, two numbers, length of what follows
_TERM, _ENTRIES, _BASE = 1, 2, 3
_SNAPSHOT_HEAD = struct.Struct(">QQ")


def encode_writes(writes: Iterable[HardState | Appended]) -> bytes:
    """The payload of one record."""
    parts = []
    for write in writes:
        if isinstance(write, HardState):
            parts.append(_section(_TERM, write.term, 0, write.vote.encode()))
        else:
            parts.append(_section(_ENTRIES, write.first, len(write.entries), encode_entries(write.entries)))
    return b"".join(parts)


def _section(kind: int, first: int, second: int, data: bytes = b"") -> bytes:
    return _SECTION.pack(kind, first, second, len(data)) + data


def decode_writes(payload: bytes) -> list[tuple[int, int, int, bytes]]:
    """The sections of a record: (kind, number, number, data). Raises CorruptLog."""
    sections, offset = [], 0
    while offset < len(payload):
        if len(payload) - offset < _SECTION.size:
            raise CorruptLog("a record's section is cut off although its checksum is right")
        kind, first, second, length = _SECTION.unpack_from(payload, offset)
        offset += _SECTION.size
        sections.append((kind, first, second, payload[offset : offset + length]))
        offset += length
    return sections


class Durable:
    """Makes writes durable, in order."""

    def __init__(self, disk: Disk, wal: RecordLog) -> None:
        self._disk = disk
        self._wal = wal

    @classmethod
    async def open(cls, disk: Disk) -> tuple[Durable, Stored]:
        """Recover what was promised before.

        Raises:
            CorruptLog: The files are damaged where no crash can damage them.
            OSError: The disk refuses.
        """
        for name in (WAL + _NEW, SNAPSHOT + _NEW):
            await disk.remove(name)
        snapshot = _read_snapshot(await disk.read(SNAPSHOT))
        wal, records = await RecordLog.open(disk, WAL)
        hard_state, log = _replay(records)
        if snapshot:
            if log.base_index > snapshot.index:
                raise CorruptLog(f"the log begins after entry {log.base_index}, but the snapshot ends at {snapshot.index}")
            if log.term_at(snapshot.index) != snapshot.term:
                log = RaftLog(base_index=snapshot.index, base_term=snapshot.term)
        elif log.base_index:
            raise CorruptLog(f"the log begins after entry {log.base_index}, but there is no snapshot")
        durable = cls(disk, wal)
        stored = Stored(
            hard_state=hard_state,
            snapshot=snapshot,
            base_index=log.base_index,
            base_term=log.base_term,
            entries=log.between(log.base_index + 1, log.last_index),
        )
        return durable, stored

    async def write(self, writes: Sequence[Write]) -> None:
        """Make the writes durable: one forced write, and some more for each snapshot among them."""
        group: list[HardState | Appended] = []
        for write in writes:
            if isinstance(write, SaveSnapshot):
                await self._append(group)
                group = []
                await self._save(write)
            else:
                group.append(write)
        await self._append(group)

    async def _append(self, group: Sequence[HardState | Appended]) -> None:
        if group:
            self._wal.append(encode_writes(group))
            await self._wal.sync()

    async def _save(self, write: SaveSnapshot) -> None:
        snapshot = write.snapshot
        head = _SNAPSHOT_HEAD.pack(snapshot.index, snapshot.term)
        await self._replace(SNAPSHOT, encode_record(head + snapshot.data))
        payload = _section(_BASE, write.base_index, write.base_term) + encode_writes(
            (write.hard_state, Appended(first=write.base_index + 1, entries=write.entries))
        )
        await self._replace(WAL, encode_record(payload))
        self._wal.close()
        self._wal, _ = await RecordLog.open(self._disk, WAL)

    async def _replace(self, name: str, data: bytes) -> None:
        await self._disk.write(name + _NEW, data)
        await self._disk.sync(name + _NEW)
        await self._disk.rename(name + _NEW, name)
        await self._disk.sync_dir()


def _read_snapshot(data: bytes | None) -> Snapshot | None:
    if data is None:
        return None
    found = scan(data)
    if len(found.records) != 1 or found.valid_bytes != len(data):
        raise CorruptLog(f"file {SNAPSHOT!r} is damaged; it was synced before it got its name, so no crash does this")
    payload = found.records[0]
    index, term = _SNAPSHOT_HEAD.unpack_from(payload)
    return Snapshot(index=index, term=term, data=payload[_SNAPSHOT_HEAD.size :])


def _replay(records: Sequence[bytes]) -> tuple[HardState, RaftLog]:
    hard_state, log = HardState(term=0, vote=""), RaftLog()
    for kind, first, second, data in (section for record in records for section in decode_writes(record)):
        if kind == _TERM:
            hard_state = HardState(term=first, vote=data.decode())
        elif kind == _BASE:
            log = RaftLog(base_index=first, base_term=second)
        elif kind == _ENTRIES and log.base_index < first <= log.last_index + 1:
            if first <= log.last_index:
                log.truncate_from(first)
            log.append(decode_entries(data))
        else:
            raise CorruptLog(f"section {kind} at entry {first} does not fit a log of {log.base_index} to {log.last_index}")
    return hard_state, log
