"""The messages of anti-entropy and their bytes. Pure.

Nodes speak in the background only: no frame between nodes belongs to a client operation.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from reference_systems.crdt_cart.cart import Cart
from reference_systems.kit.frames import Frame, FrameError

__all__ = ["ACK", "BACKGROUND", "CLIENT_CLASSES", "DELTA", "PEER_CLASSES", "REQUEST", "RESPONSE", "Ack", "Interval", "packed"]

DELTA, ACK = 1, 2
PEER_CLASSES = MappingProxyType({DELTA: "delta", ACK: "ack"})
BACKGROUND = frozenset({"delta", "ack"})
REQUEST, RESPONSE = 1, 2
CLIENT_CLASSES = MappingProxyType({REQUEST: "request", RESPONSE: "response"})


def packed(data: Any) -> bytes:
    """Plain JSON in few bytes."""
    return json.dumps(data, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """All that the sender has learned after its delta number `first`, up to `last`, but for what the receiver told it.

    Args:
        question: The acknowledgement repeats it.
        life: Of the sender; numbers of deltas count from its beginning.
        first: 0: `cart` is the sender's whole state.
        last: The last delta in it.
        cart: The deltas, merged.
    """

    question: int
    life: int
    first: int
    last: int
    cart: Cart

    def frame(self, sender: int) -> Frame:
        """As a frame of the peer port."""
        body = packed([self.question, self.life, self.first, self.last, self.cart.to_json()])
        return Frame(kind=DELTA, sender=sender, body=body)

    @classmethod
    def of(cls, frame: Frame, cart: type[Cart]) -> Interval:
        """Back from a frame. Raises FrameError."""
        try:
            question, life, first, last, state = json.loads(frame.body)
            return cls(question=question, life=life, first=first, last=last, cart=cart.of_json(state))
        except (TypeError, ValueError, AttributeError) as error:
            raise FrameError(f"no interval of deltas: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """What the receiver has of the sender's deltas, durably.

    Args:
        question: That of the interval.
        life: Of the receiver; what an earlier life acknowledged may be lost.
        reached: The last delta it has without a gap; before the interval's `first`: there is a gap, send the whole state.
    """

    question: int
    life: int
    reached: int

    def frame(self, sender: int) -> Frame:
        """As a frame of the peer port."""
        return Frame(kind=ACK, sender=sender, body=packed([self.question, self.life, self.reached]))

    @classmethod
    def of(cls, frame: Frame) -> Ack:
        """Back from a frame. Raises FrameError."""
        try:
            question, life, reached = json.loads(frame.body)
            return cls(question=question, life=life, reached=reached)
        except (TypeError, ValueError) as error:
            raise FrameError(f"no acknowledgement: {error}") from error
