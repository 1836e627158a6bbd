"""What a framer is: bytes of one direction of one connection in, messages out. Sans-IO.

The relay and the simulator use the same ones. A framer never touches the bytes it is shown; when
they are not of its protocol it is *lost*: from then on it reports nothing, and the rest of that
direction counts as unframed bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

__all__ = ["MAX_MESSAGE_BYTES", "NONE", "Frame", "Framer", "Unframed"]

Frame = tuple[str, int, tuple[int, ...]]
"""(name of the message's class, its size in bytes with header, ids of the operations it serves).

A plain tuple, because one is made for every message of the hot path."""

NONE: tuple[Frame, ...] = ()
"""No message ended in these bytes."""

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""A longer message is taken for garbage, whatever the protocol."""


class Unframed(Exception):
    """These bytes are not of the protocol; never leaves a framer."""


class Framer(Protocol):
    """Cuts one direction of one connection into messages."""

    @property
    def lost(self) -> bool:
        """The bytes were not of this protocol; nothing is reported any more."""
        ...

    def feed(self, data: bytes) -> Sequence[Frame]:
        """The messages whose last byte is in `data`, in order. Never raises on any bytes."""
        ...

    def finish(self) -> Sequence[Frame]:
        """The sender closed its side: a message that only this ends, if there is one."""
        ...
