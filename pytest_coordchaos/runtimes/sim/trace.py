"""What happened, as one hash: two runs are the same run exactly when their traces are equal.

A record is (virtual time, what ran, which task): steps of tasks by their task number, callbacks by name, packets by
length and digest. Recording every step is the main cost of a simulator, so a run keeps the hash and its last
records; the whole trace is kept only when it is asked for, which a replay of a failed seed does.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from struct import Struct
from zlib import crc32

__all__ = ["PACK", "Record", "Trace"]

Record = tuple[int, str, int]
"""(virtual nanoseconds, name of what ran, number): the task's number, the packet's digest, or 0."""

_PACKED = Struct("=qqq")
PACK = _PACKED.pack
"""A record as bytes: virtual nanoseconds, the name's number, and the number."""

_LAST = 64


class Trace:
    """The trace of one simulation.

    Args:
        keep: Keep every record, for `records`; otherwise only the hash and the last few.

    Attributes:
        put: Takes one record that `PACK` made.
        pending: Records that wait for `flush`.
    """

    __slots__ = ("_hash", "_keep", "_kept", "_names", "pending", "put")

    def __init__(self, *, keep: bool = False) -> None:
        self.pending: list[bytes] = []
        self._hash = blake2b(digest_size=16)
        self._keep = keep
        self._names: dict[str, int] = {}
        self._kept = bytearray()
        self.put = self.pending.append

    def name(self, text: str) -> int:
        """The number of a name; new names enter the hash themselves."""
        number = self._names.get(text)
        if number is None:
            number = self._names[text] = len(self._names)
            self._hash.update(f"{number}={text}\n".encode())
        return number

    def add(self, now_ns: int, name: str, data: bytes) -> None:
        """One record of bytes that are sent: their digest and their length."""
        self.put(PACK(now_ns, self.name(name), crc32(data) << 16 | len(data) & 0xFFFF))

    def flush(self) -> None:
        """Put what was recorded into the hash."""
        data = b"".join(self.pending)
        self.pending.clear()
        self._hash.update(data)
        self._kept += data
        if not self._keep:
            del self._kept[: -_LAST * _PACKED.size]

    @property
    def digest(self) -> str:
        """The hash so far, hexadecimal."""
        self.flush()
        return self._hash.hexdigest()

    def records(self) -> Iterator[Record]:
        """The records that are kept, oldest first."""
        self.flush()
        names = list(self._names)
        for now_ns, name, number in _PACKED.iter_unpack(bytes(self._kept)):
            yield now_ns, names[name], number
