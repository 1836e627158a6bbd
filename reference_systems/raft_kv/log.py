"""The replicated log in memory: entries after a base that snapshots move forward. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reference_systems.raft_kv.messages import Entry

__all__ = ["RaftLog", "Snapshot"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The state after applying the log up to `index`, whose entry has `term`.

    Args:
        data: Who votes, a line, and the state.
    """

    index: int
    term: int
    data: bytes

    @classmethod
    def of(cls, *, index: int, term: int, members: Sequence[str], state: bytes) -> Snapshot:
        """Of its parts."""
        return cls(index=index, term=term, data=",".join(members).encode() + b"\n" + state)

    @property
    def members(self) -> tuple[str, ...]:
        """Who votes after entry `index`."""
        return tuple(self.data.partition(b"\n")[0].decode().split(","))

    @property
    def state(self) -> bytes:
        """What the state machine loads."""
        return self.data.partition(b"\n")[2]


class RaftLog:
    """Entries `base_index + 1` … `last_index`. Everything up to the base is committed and forgotten."""

    def __init__(self, *, base_index: int = 0, base_term: int = 0, entries: Sequence[Entry] = ()) -> None:
        self.base_index = base_index
        self.base_term = base_term
        self._entries = list(entries)

    @property
    def last_index(self) -> int:
        """Index of the last entry; the base when there is none."""
        return self.base_index + len(self._entries)

    @property
    def last_term(self) -> int:
        """Term of the last entry."""
        return self._entries[-1].term if self._entries else self.base_term

    def term_at(self, index: int) -> int | None:
        """Term of the entry at `index`; None when it is not here (forgotten, or beyond the end)."""
        if index == self.base_index:
            return self.base_term
        if not self.base_index < index <= self.last_index:
            return None
        return self._entries[index - self.base_index - 1].term

    def entry(self, index: int) -> Entry:
        """The entry at `index`. Raises IndexError when it is not here."""
        if not self.base_index < index <= self.last_index:
            raise IndexError(f"entry {index} is not in the log ({self.base_index + 1} to {self.last_index})")
        return self._entries[index - self.base_index - 1]

    def between(self, first: int, last: int) -> tuple[Entry, ...]:
        """Entries `first` … `last`, both included; () when first > last."""
        if first > last:
            return ()
        return tuple(self._entries[first - self.base_index - 1 : last - self.base_index])

    def batch(self, first: int, *, entries: int, size_bytes: int) -> tuple[Entry, ...]:
        """Entries from `first` on: at most that many, at most so many bytes of data, but at least one if there is one."""
        chosen: list[Entry] = []
        total = 0
        start = first - self.base_index - 1
        for entry in self._entries[start : start + max(1, entries)]:
            total += len(entry.data)
            if chosen and total > size_bytes:
                break
            chosen.append(entry)
        return tuple(chosen)

    def append(self, entries: Sequence[Entry]) -> None:
        """Add at the end."""
        self._entries.extend(entries)

    def truncate_from(self, index: int) -> None:
        """Drop the entry at `index` and all after it."""
        if index <= self.base_index:
            raise ValueError(f"entry {index} cannot be dropped: the log is committed up to {self.base_index}")
        del self._entries[index - self.base_index - 1 :]

    def conflict_at(self, index: int) -> tuple[int, int]:
        """Why an append after `index` does not fit: (term here, first index of that term), or (0, next free index)."""
        term = self.term_at(index)
        if term is None:
            return 0, max(self.last_index, self.base_index) + 1
        first = index
        while first - 1 > self.base_index and self.term_at(first - 1) == term:
            first -= 1
        return term, first

    def last_of_term(self, term: int) -> int | None:
        """Last index whose entry has `term`; None when there is none. Terms never decrease along the log."""
        for index in range(self.last_index, self.base_index - 1, -1):
            at = self.term_at(index)
            if at == term:
                return index
            if at is not None and at < term:
                return None
        return None

    def forget_to(self, index: int) -> None:
        """Move the base to `index`, which must be here; nothing happens when the base is there or beyond."""
        if index <= self.base_index:
            return
        term = self.entry(index).term
        del self._entries[: index - self.base_index]
        self.base_index, self.base_term = index, term

    def install(self, index: int, term: int) -> None:
        """Make a snapshot the base, keeping what follows only if the log agrees with it (figure 13, steps 6 and 7)."""
        if self.term_at(index) == term:
            self.forget_to(index)
        else:
            self.base_index, self.base_term, self._entries = index, term, []
