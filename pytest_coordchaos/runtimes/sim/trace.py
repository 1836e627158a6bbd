"""What happened, as one hash: two runs are the same run exactly when their traces are equal.

A record is (virtual time, what ran, which task): steps of tasks by their task number, callbacks by name, packets by
length and digest. Recording every step is the main cost of a simulator, so a run keeps the hash and its last
records; the whole trace is kept only when it is asked for, which a replay of a failed seed does.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from hashlib import blake2b

__all__ = ["Record", "Trace"]

Record = tuple[int, str, int]
"""(virtual nanoseconds, name of what ran, number): the task's number, the packet's digest, or 0."""

_AT_ONCE = 3 * 4096
_LAST = 64


class Trace:
    """The trace of one simulation.

    Args:
        keep: Keep every record, for `records`; otherwise only the hash and the last few.
    """

    __slots__ = ("_buffer", "_hash", "_keep", "_names", "_old", "put")

    def __init__(self, *, keep: bool = False) -> None:
        self._buffer = array("q")
        self._hash = blake2b(digest_size=16)
        self._keep = keep
        self._names: dict[str, int] = {}
        self._old = array("q")
        self.put = self._buffer.extend

    def name(self, text: str) -> int:
        """The number of a name; new names enter the hash themselves."""
        number = self._names.get(text)
        if number is None:
            number = self._names[text] = len(self._names)
            self._hash.update(f"{number}={text}\n".encode())
        return number

    def add(self, now_ns: int, name: str, number: int) -> None:
        """One record."""
        self.put((now_ns, self.name(name), number))
        if len(self._buffer) >= _AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Put what was recorded into the hash; keep all of it, or the last records."""
        buffer = self._buffer
        self._hash.update(buffer.tobytes())
        self._old = self._old + buffer if self._keep else (self._old + buffer)[-3 * _LAST :]
        del buffer[:]

    @property
    def pending(self) -> int:
        """Numbers that wait to be hashed."""
        return len(self._buffer)

    @property
    def digest(self) -> str:
        """The hash so far, hexadecimal."""
        self.flush()
        return self._hash.hexdigest()

    def records(self) -> Iterator[Record]:
        """The records that are kept, oldest first."""
        self.flush()
        names = list(self._names)
        old = self._old
        for at in range(0, len(old), 3):
            yield old[at], names[old[at + 1]], old[at + 2]
