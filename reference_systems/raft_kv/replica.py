"""What a Raft server is in every role: term, vote, log, commit index, and what must be durable before what. Pure.

The journal numbers all changes of durable state in one order. A reply leaves when everything written
before it is durable; so an acknowledgement or a vote is never a promise that a crash can break.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from reference_systems.raft_kv.log import RaftLog, Snapshot
from reference_systems.raft_kv.messages import Entry, Message
from reference_systems.raft_kv.voters import Voters

__all__ = ["Appended", "HardState", "Replica", "SaveSnapshot", "Stored", "Write"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HardState:
    """Term and vote changed. `vote` is a node's name or ""."""

    term: int
    vote: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """Entries stand at `first` …; whatever stood there and after is gone."""

    first: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveSnapshot:
    """A snapshot replaces the log up to the base; `entries` are all that follow the base now."""

    snapshot: Snapshot
    hard_state: HardState
    base_index: int
    base_term: int
    entries: tuple[Entry, ...]


Write = HardState | Appended | SaveSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a server finds on its disk when it starts."""

    hard_state: HardState = field(default_factory=lambda: HardState(term=0, vote=""))
    snapshot: Snapshot | None = None
    base_index: int = 0
    base_term: int = 0
    entries: tuple[Entry, ...] = ()


class Replica:
    """The state that all roles share, its pending writes and its outgoing messages."""

    def __init__(self, stored: Stored, voters: Voters) -> None:
        self._base_voters = Voters(stored.snapshot.members) if stored.snapshot else voters
        self.term = stored.hard_state.term
        self.vote = stored.hard_state.vote
        self.snapshot = stored.snapshot
        self.log = RaftLog(base_index=stored.base_index, base_term=stored.base_term, entries=stored.entries)
        self._changes: list[tuple[int, Voters]] = []
        self.voters = self._base_voters  # of the last entry, committed or not, that says who votes (thesis §4.1)
        self._note_members(self.log.base_index + 1, stored.entries)
        self.commit = stored.snapshot.index if stored.snapshot else 0
        self.written = 0
        self.durable = 0
        self.durable_index = self.log.last_index
        self.hard_written = 0
        self._writes: list[Write] = []
        self._appends: deque[tuple[int, int]] = deque()
        self._held: deque[tuple[int, str, Message]] = deque()
        self._messages: list[tuple[str, Message]] = []

    @property
    def voters_index(self) -> int:
        """The entry that says so; 0: a snapshot does, or they vote from the start."""
        return self._changes[-1][0] if self._changes else 0

    def voters_at(self, index: int) -> Voters:
        """Who votes as of that entry."""
        for at, voters in reversed(self._changes):
            if at <= index:
                return voters
        return self._base_voters

    def _note_members(self, first: int, entries: tuple[Entry, ...]) -> None:
        """Entries stand at `first` …, and nothing after them."""
        fresh = [(index, Voters(names)) for index, entry in enumerate(entries, start=first) if (names := entry.members)]
        if fresh or (self._changes and self._changes[-1][0] >= first):
            self._changes = [*(change for change in self._changes if change[0] < first), *fresh]
            self.voters = self.voters_at(self.log.last_index)

    def send(self, peer: str, message: Message) -> None:
        """Send at once."""
        self._messages.append((peer, message))

    def send_when_durable(self, peer: str, message: Message) -> None:
        """Send once all that is written by now is durable."""
        if self.durable >= self.written:
            self.send(peer, message)
        else:
            self._held.append((self.written, peer, message))

    def send_when_term_durable(self, peer: str, message: Message) -> None:
        """Send once term and vote are durable; entries may still be under way."""
        if self.durable >= self.hard_written:
            self.send(peer, message)
        else:
            self.send_when_durable(peer, message)

    def set_term(self, term: int, vote: str) -> None:
        """Change term or vote."""
        self.term, self.vote = term, vote
        self._write(self._hard_state())
        self.hard_written = self.written

    def _hard_state(self) -> HardState:
        return HardState(term=self.term, vote=self.vote)

    def append(self, first: int, entries: tuple[Entry, ...]) -> None:
        """Put entries at `first` …, in place of what stood there and after."""
        if first <= self.log.last_index:
            self._guard(first)
            self.log.truncate_from(first)
            self.durable_index = min(self.durable_index, first - 1)
            self._appends = deque((number, min(last, first - 1)) for number, last in self._appends)
        self.log.append(entries)
        self._note_members(first, entries)
        self._write(Appended(first=first, entries=entries))
        self._appends.append((self.written, self.log.last_index))

    def _guard(self, first: int) -> None:
        """What is committed stays: a leader that has something else there is none."""
        if first <= self.commit:
            raise AssertionError(f"entry {first} is committed here, but the leader of term {self.term} has another")

    def save_snapshot(self, snapshot: Snapshot, *, keep_entries: int) -> None:
        """Remember a snapshot of what was applied here, and forget all but `keep_entries` of what it covers."""
        self._base_voters = self.voters_at(snapshot.index)
        self.snapshot = snapshot
        self.log.forget_to(min(snapshot.index, max(self.log.base_index, snapshot.index - keep_entries)))
        self._write_snapshot(snapshot)

    def install_snapshot(self, snapshot: Snapshot) -> None:
        """Take a snapshot from the leader in place of the log it covers."""
        self.snapshot = snapshot
        self.log.install(snapshot.index, snapshot.term)
        self._base_voters = Voters(snapshot.members)
        self._changes = [change for change in self._changes if snapshot.index < change[0] <= self.log.last_index]
        self.voters = self.voters_at(self.log.last_index)
        self.commit = max(self.commit, snapshot.index)
        self._write_snapshot(snapshot)
        self._appends.clear()
        self.durable_index = min(self.durable_index, self.log.base_index)
        self._appends.append((self.written, self.log.last_index))

    def _write_snapshot(self, snapshot: Snapshot) -> None:
        log = self.log
        self._write(
            SaveSnapshot(
                snapshot=snapshot,
                hard_state=self._hard_state(),
                base_index=log.base_index,
                base_term=log.base_term,
                entries=log.between(log.base_index + 1, log.last_index),
            )
        )

    def _write(self, write: Write) -> None:
        self.written += 1
        self._writes.append(write)

    def became_durable(self, number: int) -> None:
        """All writes up to `number` are durable: release what waited for them."""
        self.durable = max(self.durable, number)
        while self._appends and self._appends[0][0] <= self.durable:
            self.durable_index = max(self.durable_index, self._appends.popleft()[1])
        while self._held and self._held[0][0] <= self.durable:
            _, peer, message = self._held.popleft()
            self.send(peer, message)

    @property
    def has_writes(self) -> bool:
        """Something waits to be made durable."""
        return bool(self._writes)

    def take_writes(self) -> tuple[int, list[Write]]:
        """Writes to make durable, in order, and the number to report when they are."""
        writes, self._writes = self._writes, []
        return self.written, writes

    def take_messages(self) -> list[tuple[str, Message]]:
        """Messages to send now: (peer, message)."""
        messages, self._messages = self._messages, []
        return messages
