"""A checksummed append log with torn-tail recovery, on any `env.disk`.

A record is `u32` length, `u32` CRC-32, payload; the checksum covers the length field too, so that a run
of zeros is no record. What a crash can leave behind is a torn *last* record: it is cut off and the cut is
synced. A bad record with a good one after it cannot come from a crash as long as the caller appends one
record per sync (the next record is only written when the last one is durable), so it is refused loudly:
dropping records in the middle would un-promise what a node has promised.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from reference_systems.kit.env import Disk, LogFile

__all__ = ["MAX_RECORD_BYTES", "CorruptLog", "RecordLog", "Scan", "encode_record", "scan"]

MAX_RECORD_BYTES = 256 * 1024 * 1024
"""Largest payload; a length field above it is damage."""

_HEAD = struct.Struct(">II")


class CorruptLog(Exception):
    """The log is damaged where no crash can damage it; the node must not start from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What was found in the bytes of a log.

    Args:
        records: Payloads of the valid records from the start.
        valid_bytes: Where the last of them ends.
        next_valid: Offset of a valid record after the first bad one; None: there is none (a torn tail, or no damage).
    """

    records: tuple[bytes, ...]
    valid_bytes: int
    next_valid: int | None


def encode_record(payload: bytes) -> bytes:
    """One record's bytes."""
    if len(payload) > MAX_RECORD_BYTES:
        raise ValueError(f"a record of {len(payload)} bytes is too long; allowed: at most {MAX_RECORD_BYTES}")
    return _HEAD.pack(len(payload), _checksum(payload)) + payload


def _checksum(payload: bytes | memoryview) -> int:
    return zlib.crc32(payload, zlib.crc32(len(payload).to_bytes(4, "big")))


def scan(data: bytes) -> Scan:
    """Read records from the start up to the first bad one, and look whether a good one follows it."""
    view = memoryview(data)
    records: list[bytes] = []
    offset = 0
    while (end := _record_end(view, offset)) is not None:
        records.append(bytes(view[offset + _HEAD.size : end]))
        offset = end
    later = (at for at in range(offset + 1, len(view) - _HEAD.size + 1) if _record_end(view, at) is not None)
    return Scan(records=tuple(records), valid_bytes=offset, next_valid=next(later, None))


def _record_end(view: memoryview, offset: int) -> int | None:
    start = offset + _HEAD.size
    if start > len(view):
        return None
    length, checksum = _HEAD.unpack_from(view, offset)
    if length > MAX_RECORD_BYTES or start + length > len(view):
        return None
    return start + length if _checksum(view[start : start + length]) == checksum else None


class RecordLog:
    """The log of one file. Append, then `await sync()`: the record is durable when it returns."""

    def __init__(self, file: LogFile) -> None:
        self._file = file

    @classmethod
    async def open(cls, disk: Disk, name: str) -> tuple[RecordLog, tuple[bytes, ...]]:
        """Open or create the log; returns it with the payloads it holds.

        Raises:
            CorruptLog: Damage in the middle.
            OSError: The disk refuses.
        """
        data = await disk.read(name)
        found = scan(data or b"")
        if found.next_valid is not None:
            raise CorruptLog(
                f"log {name!r} is damaged at byte {found.valid_bytes}, but holds a valid record at byte {found.next_valid}: "
                "no crash does this; restore the node from its peers"
            )
        file = await disk.open_log(name)
        if data is None:
            await disk.sync_dir()
        if found.valid_bytes < file.size:
            await file.truncate(found.valid_bytes)
            await file.sync()
        return cls(file), found.records

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._file.size

    def append(self, payload: bytes) -> None:
        """Add a record; not durable before `sync`."""
        self._file.append(encode_record(payload))

    async def sync(self) -> None:
        """Make the appended record durable; one forced write."""
        await self._file.sync()

    def close(self) -> None:
        """Give the file back."""
        self._file.close()
