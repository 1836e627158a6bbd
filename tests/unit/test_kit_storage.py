"""The checksummed log: a torn tail is cut, damage in the middle is refused, the disk's errors go up."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_systems.kit.disk import RealDisk
from reference_systems.kit.storage import CorruptLog, RecordLog, encode_record, scan

RECORDS = (b"one", b"", b"three" * 7)
WHOLE = b"".join(encode_record(record) for record in RECORDS)


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_what_was_appended_is_read_back(records: list[bytes]) -> None:
    """Empty records too."""
    found = scan(b"".join(encode_record(record) for record in records))
    assert found.records == tuple(records)
    assert found.next_valid is None


@pytest.mark.parametrize("cut", range(len(WHOLE)))
def test_a_log_torn_at_any_byte_loses_only_the_torn_record(cut: int) -> None:
    """The records that were whole before the cut are all there, and there is no talk of corruption."""
    ends = [len(b"".join(encode_record(r) for r in RECORDS[:n])) for n in range(len(RECORDS) + 1)]
    whole = max(n for n, end in enumerate(ends) if end <= cut)
    found = scan(WHOLE[:cut])
    assert found.records == RECORDS[:whole]
    assert (found.valid_bytes, found.next_valid) == (ends[whole], None)


@pytest.mark.parametrize("at", range(len(WHOLE) - len(encode_record(RECORDS[-1]))))
def test_damage_before_a_good_record_is_not_taken_for_a_torn_tail(at: int) -> None:
    """Any byte of an earlier record changed: what follows is still valid, so no crash did this."""
    damaged = bytearray(WHOLE)
    damaged[at] ^= 0x40
    assert scan(bytes(damaged)).next_valid is not None


def test_zeros_are_no_records() -> None:
    """A file system may leave zeros where a write was lost."""
    assert scan(WHOLE + bytes(64)).valid_bytes == len(WHOLE)


def test_a_torn_tail_is_cut_off_on_disk_and_the_log_goes_on(tmp_path: Path) -> None:
    """After recovery the next record stands where the torn one stood."""

    async def scenario() -> None:
        (tmp_path / "log").write_bytes(WHOLE[:-1])
        disk = RealDisk(tmp_path)
        log, records = await RecordLog.open(disk, "log")
        assert records == RECORDS[:2]
        log.append(b"new")
        await log.sync()
        log.close()
        again, records = await RecordLog.open(disk, "log")
        again.close()
        assert records == (*RECORDS[:2], b"new")

    asyncio.run(scenario())


def test_damage_in_the_middle_is_refused_loudly(tmp_path: Path) -> None:
    """The message says where, and the file is left as it was."""
    damaged = bytearray(WHOLE)
    damaged[9] ^= 1
    (tmp_path / "log").write_bytes(damaged)
    with pytest.raises(CorruptLog, match="log 'log' is damaged at byte 0, but holds a valid record at byte 11"):
        asyncio.run(RecordLog.open(RealDisk(tmp_path), "log"))
    assert (tmp_path / "log").read_bytes() == damaged


@pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_an_error_of_the_disk_goes_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    """Never swallowed, never retried."""

    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    async def scenario() -> None:
        log, _ = await RecordLog.open(RealDisk(tmp_path), "log")
        monkeypatch.setattr(os, call, fail)
        try:
            log.append(b"x")
            await log.sync()
        finally:
            log.close()

    with pytest.raises(OSError, match=os.strerror(number)):
        asyncio.run(scenario())


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd"])
def test_a_node_cannot_leave_its_directory(tmp_path: Path, name: str) -> None:
    """Names are plain file names."""
    with pytest.raises(ValueError, match="is not allowed"):
        asyncio.run(RealDisk(tmp_path).read(name))
