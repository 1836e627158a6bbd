"""Locks on accounts, shared for reading and exclusive for writing. Pure.

Nobody waits for a lock: whoever does not get all of his at once is refused ("no-wait"), so there is no deadlock. The
client tries again with the same key.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["Locks"]


class Locks:
    """Who holds what."""

    def __init__(self) -> None:
        self._writer: dict[str, str] = {}
        self._readers: dict[str, list[str]] = {}

    def blocker(self, *, writes: Iterable[str], reads: Iterable[str]) -> str | None:
        """A transaction that stands in the way; None: all are free."""
        for account in (*writes, *reads):
            if account in self._writer:
                return self._writer[account]
        return next((self._readers[account][0] for account in writes if account in self._readers), None)

    def acquire(self, tx: str, *, writes: Iterable[str], reads: Iterable[str]) -> None:
        """Take them; the caller has asked `blocker`."""
        for account in writes:
            self._writer[account] = tx
        for account in reads:
            self._readers.setdefault(account, []).append(tx)

    def release(self, tx: str) -> None:
        """Give back all that the transaction holds."""
        self._writer = {account: holder for account, holder in self._writer.items() if holder != tx}
        left = {account: [holder for holder in holders if holder != tx] for account, holders in self._readers.items()}
        self._readers = {account: holders for account, holders in left.items() if holders}

    def held(self) -> dict[str, list[str]]:
        """Account -> transactions that hold it."""
        return {account: [holder] for account, holder in self._writer.items()} | {
            account: list(holders) for account, holders in self._readers.items()
        }
