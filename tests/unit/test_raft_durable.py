"""What a Raft node finds on its disk again, whatever moment it died at."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_systems.kit.disk import RealDisk
from reference_systems.kit.frames import Frame, FrameError
from reference_systems.kit.storage import CorruptLog
from reference_systems.raft_kv.durable import SNAPSHOT, WAL, Durable
from reference_systems.raft_kv.log import Snapshot
from reference_systems.raft_kv.messages import (
    Append,
    AppendOk,
    Entry,
    Heartbeat,
    HeartbeatOk,
    Message,
    PreVote,
    PreVoteOk,
    ReadIndex,
    ReadIndexOk,
    SnapshotChunk,
    SnapshotOk,
    TimeoutNow,
    Vote,
    VoteOk,
)
from reference_systems.raft_kv.replica import Appended, HardState, SaveSnapshot, Stored, Write
from reference_systems.raft_kv.wire import decode, to_frame

ABC = tuple(Entry(term=1, operation=number, data=bytes([96 + number])) for number in (1, 2, 3))
WRITES: list[Write] = [
    HardState(term=1, vote="n2"),
    Appended(first=1, entries=ABC),
    Appended(first=3, entries=(Entry(term=2, data=b"C"),)),
]
SAVED = SaveSnapshot(
    snapshot=Snapshot(index=2, term=1, data=b"{}"),
    hard_state=HardState(term=2, vote=""),
    base_index=1,
    base_term=1,
    entries=(ABC[1], Entry(term=2, data=b"C")),
)


async def written(directory: Path, *groups: list[Write]) -> None:
    durable, _ = await Durable.open(RealDisk(directory))
    for group in groups:
        await durable.write(group)


async def found(directory: Path) -> Stored:
    return (await Durable.open(RealDisk(directory)))[1]


def test_a_new_node_finds_nothing(tmp_path: Path) -> None:
    """Term 0, no vote, no entries."""
    assert asyncio.run(found(tmp_path)) == Stored()


def test_term_vote_and_log_are_found_again(tmp_path: Path) -> None:
    """Written in one group commit; a later append at an earlier index replaces the tail."""
    asyncio.run(written(tmp_path, WRITES))
    stored = asyncio.run(found(tmp_path))
    assert stored.hard_state == HardState(term=1, vote="n2")
    assert stored.entries == (*ABC[:2], Entry(term=2, data=b"C"))


def test_a_group_commit_is_all_or_nothing(tmp_path: Path) -> None:
    """A record torn at any byte leaves the state before it."""
    asyncio.run(written(tmp_path, WRITES))
    before = (tmp_path / WAL).read_bytes()
    asyncio.run(written(tmp_path, [HardState(term=9, vote="n3"), Appended(first=4, entries=ABC)]))
    after = (tmp_path / WAL).read_bytes()
    for cut in range(len(before), len(after)):
        (tmp_path / WAL).write_bytes(after[:cut])
        stored = asyncio.run(found(tmp_path))
        assert (stored.hard_state.term, len(stored.entries)) == (1, 3), f"cut at byte {cut}"


def test_a_snapshot_replaces_the_log_behind_it(tmp_path: Path) -> None:
    """And the log goes on after it."""
    asyncio.run(written(tmp_path, WRITES, [SAVED, Appended(first=4, entries=(Entry(term=2, data=b"D"),))]))
    stored = asyncio.run(found(tmp_path))
    assert stored.snapshot == SAVED.snapshot
    assert (stored.base_index, [entry.data for entry in stored.entries]) == (1, [b"b", b"C", b"D"])


def test_a_crash_between_snapshot_and_log_keeps_both(tmp_path: Path) -> None:
    """The snapshot has its name already, the log is still the old one."""
    asyncio.run(written(tmp_path, WRITES))
    old = (tmp_path / WAL).read_bytes()
    asyncio.run(written(tmp_path, [SAVED]))
    (tmp_path / WAL).write_bytes(old)
    stored = asyncio.run(found(tmp_path))
    assert stored.snapshot == SAVED.snapshot
    assert (stored.base_index, len(stored.entries)) == (0, 3)


def test_a_log_that_a_new_snapshot_contradicts_is_dropped(tmp_path: Path) -> None:
    """A snapshot from the leader was saved, the crash came before the log was replaced."""
    asyncio.run(written(tmp_path, WRITES))
    old = (tmp_path / WAL).read_bytes()
    foreign = Snapshot(index=7, term=5, data=b"{}")
    state = HardState(term=5, vote="")
    asyncio.run(written(tmp_path, [SaveSnapshot(snapshot=foreign, hard_state=state, base_index=7, base_term=5, entries=())]))
    (tmp_path / WAL).write_bytes(old)
    stored = asyncio.run(found(tmp_path))
    assert (stored.base_index, stored.base_term, stored.entries) == (7, 5, ())


def test_half_written_files_are_swept(tmp_path: Path) -> None:
    """What never got its name was never promised."""
    (tmp_path / "wal.new").write_bytes(b"x")
    (tmp_path / "snapshot.new").write_bytes(b"x")
    asyncio.run(found(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == [WAL]


def test_a_damaged_snapshot_is_refused(tmp_path: Path) -> None:
    """It was synced before it got its name: no crash damages it."""
    asyncio.run(written(tmp_path, WRITES, [SAVED]))
    data = bytearray((tmp_path / SNAPSHOT).read_bytes())
    data[-1] ^= 1
    (tmp_path / SNAPSHOT).write_bytes(data)
    with pytest.raises(CorruptLog, match="file 'snapshot' is damaged"):
        asyncio.run(found(tmp_path))


def test_a_log_without_the_snapshot_it_builds_on_is_refused(tmp_path: Path) -> None:
    """Starting from it would forget what was promised."""
    asyncio.run(written(tmp_path, WRITES, [SAVED]))
    (tmp_path / SNAPSHOT).unlink()
    with pytest.raises(CorruptLog, match="there is no snapshot"):
        asyncio.run(found(tmp_path))


numbers = st.integers(0, 2**64 - 1)
ids = st.lists(st.integers(1, 2**63 - 1), max_size=3, unique=True).map(tuple)
entries = st.builds(Entry, term=numbers, operation=st.integers(0, 2**63 - 1), data=st.binary(max_size=20))
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Vote, term=numbers, last_index=numbers, last_term=numbers, handed_over=st.booleans()),
    st.builds(PreVote, term=numbers, last_index=numbers, last_term=numbers),
    st.builds(PreVoteOk, term=numbers, granted=st.booleans()),
    st.builds(TimeoutNow, term=numbers, last_index=numbers),
    st.builds(VoteOk, term=numbers, granted=st.booleans()),
    st.builds(
        Append,
        term=numbers,
        seq=numbers,
        prev_index=numbers,
        prev_term=numbers,
        commit=numbers,
        entries=st.lists(entries, max_size=3).map(tuple),
    ),
    st.builds(
        AppendOk,
        term=numbers,
        seq=numbers,
        ok=st.booleans(),
        match=numbers,
        conflict_term=numbers,
        conflict_index=numbers,
        operations=ids,
    ),
    st.builds(Heartbeat, term=numbers, commit=numbers, round=numbers),
    st.builds(HeartbeatOk, term=numbers, round=numbers),
    st.builds(ReadIndex, term=numbers, round=numbers, operations=ids),
    st.builds(ReadIndexOk, term=numbers, round=numbers, operations=ids),
    st.builds(
        SnapshotChunk,
        term=numbers,
        seq=numbers,
        index=numbers,
        last_term=numbers,
        offset=numbers,
        total=numbers,
        data=st.binary(max_size=20),
    ),
    st.builds(SnapshotOk, term=numbers, seq=numbers, offset=numbers),
)


@given(messages)
def test_a_message_survives_the_wire(message: Message) -> None:
    """Every field of every message."""
    assert decode(to_frame(message, 3)) == message


@given(st.integers(0, 15), st.binary(max_size=80))
def test_any_body_is_a_message_or_an_error(kind: int, body: bytes) -> None:
    """Garbage on the peer port never raises anything but FrameError."""
    try:
        message = decode(Frame(kind=kind, sender=1, body=body))
    except FrameError:
        return
    assert to_frame(message, 1).body == body or isinstance(message, (Vote, VoteOk, PreVoteOk, AppendOk))
