"""What a stage is: one step that the bytes of one direction of one connection go through. Pure.

A stage has no socket, no clock and no loop: it is told the time, so that the relay and the simulator use
the same ones, and what it draws comes from a seeded `random.Random` given to it. Times are nanoseconds of
one monotonic clock.

The bytes travel as *items*, in order. The host of a chain of stages

1. gives an item to the first stage with `put`, and stops its sender while that stage is `full`;
2. asks each stage with `take` for what is due, as long as the next one is not full, and gives it to that;
3. sleeps until the earliest `due_ns` of a stage that is not blocked by the next one.

`put` never refuses: who puts into a full stage (the flush of a removed neighbour, or what was read before the
sender could be stopped) exceeds its bound by that much, and nothing waits. So a stage can be added, changed or
removed at any moment, also while the receiver is stalled: none of these waits for the connection.

Marks travel among the data and are told apart by identity:

- `EOF`: the sender closed its side; the other direction goes on.
- `RESET`: the sender's connection was reset; the receiver's will be.
- `CLOSE`: a stage closes the connection. Both ends are closed, each after what still travels to it.
- `ABORT`: a stage resets both ends of the connection, at once.

Numbers of ledger rows travel with the data: a stage that cuts an item gives them to the last piece (a message is
delivered with its last byte), one that discards an item lets them go (never delivered).
"""

from __future__ import annotations

from collections import deque

__all__ = ["ABORT", "CLOSE", "EOF", "MARKS", "NEVER", "RESET", "Holding", "Item", "Stage", "cost", "queue_limit"]

Item = tuple[int, bytes, int, int]
"""(when it was received or left a delay, ns; data or a mark; number of its first ledger row; how many rows)."""

EOF = b"EOF"
RESET = b"RESET"
CLOSE = b"CLOSE"
ABORT = b"ABORT"
MARKS = frozenset(map(id, (EOF, RESET, CLOSE, ABORT)))
"""Identities of the marks: data may have the same bytes."""

NEVER = 1 << 62
"""A time that does not come."""

_CHUNK_COST = 256  # what a held chunk costs beside its bytes, so that many tiny ones are bounded too
_MIN_QUEUE = 1024 * 1024
_MAX_QUEUE = 64 * 1024 * 1024
_QUEUE_PER_S = 64 * 1024 * 1024
_SHORT_QUEUE = 64 * 1024


def queue_limit(delay_ns: int) -> int:
    """Bytes a delay queue may hold: 64 MiB/s times the delay, from 1 to 64 MiB."""
    return min(max(_MIN_QUEUE, _QUEUE_PER_S * delay_ns // 1_000_000_000), _MAX_QUEUE)


def cost(data: bytes) -> int:
    """What holding this counts towards a limit, in bytes; marks are free."""
    return 0 if id(data) in MARKS else len(data) + _CHUNK_COST


class Stage:
    """One step of one direction of one connection.

    Attributes:
        needs_room: It gives out data, so it must wait while the next stage is full; one that gives out marks only need not.
    """

    __slots__ = ()
    needs_room = True

    @property
    def full(self) -> bool:
        """It should be given nothing more for now."""
        return False

    def put(self, item: Item, now_ns: int) -> None:
        """Take an item in."""
        raise TypeError(f"{type(self).__name__} takes nothing in")

    def take(self, now_ns: int) -> Item | None:
        """Give out the next item if it is due; None: nothing is."""
        raise TypeError(f"{type(self).__name__} gives nothing out")

    def due_ns(self) -> int:
        """When `take` will have something; NEVER: not before something is put in."""
        return NEVER

    def flush(self) -> list[Item]:
        """Give out all that is held, in order, whatever its time; afterwards nothing is held."""
        return []

    def remove(self, now_ns: int) -> list[Item]:
        """What to pass on when the stage is taken out for good: what it holds."""
        return self.flush()


class Holding(Stage):
    """A stage that holds items in order, up to a limit; on its own it passes everything on at once.

    Attributes:
        queue: What is held.
        held: What that costs, in bytes.
        limit: How much may be held.
    """

    __slots__ = ("_choked", "held", "limit", "queue")

    def __init__(self, limit: int = _SHORT_QUEUE) -> None:
        self.queue: deque[Item] = deque()
        self.held = 0
        self.limit = limit
        self._choked = False

    @property
    def full(self) -> bool:
        """So much is held; not full again until half of it went."""
        self._choked = self.held >= (self.limit // 2 + 1 if self._choked else self.limit)
        return self._choked

    def put(self, item: Item, now_ns: int) -> None:
        """Hold an item."""
        self.queue.append(item)
        self.held += cost(item[1])

    def take(self, now_ns: int) -> Item | None:
        """The oldest item, if it is due."""
        return self.pop() if self.due_ns() <= now_ns else None

    def due_ns(self) -> int:
        """At once, if anything is held."""
        return 0 if self.queue else NEVER

    def pop(self) -> Item:
        """The oldest item, whatever its time."""
        item = self.queue.popleft()
        self.held -= cost(item[1])
        return item

    def flush(self) -> list[Item]:
        """Everything, in order."""
        items = list(self.queue)
        self.queue.clear()
        self.held = 0
        return items
