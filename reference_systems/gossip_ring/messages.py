"""The messages of the membership and their bytes. Pure.

Names follow Das, Gupta, Motivala, "SWIM: Scalable Weakly-consistent Infection-style Process Group Membership Protocol"
(2002). Ping, ack and ping_req travel as datagrams and carry updates; the rest travels on connections.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

from reference_systems.kit.datagrams import MAX_DATAGRAM_BYTES
from reference_systems.kit.frames import Frame, FrameError, encode

__all__ = [
    "CLIENT_BACKGROUND",
    "CLIENT_CLASSES",
    "GOSSIP_CLASSES",
    "HANDED_OFF",
    "HAND_OFF",
    "PEER_BACKGROUND",
    "PEER_CLASSES",
    "PROBE",
    "PROBE_OK",
    "REQUEST",
    "RESPONSE",
    "ROOM_BYTES",
    "STATUS",
    "STATUS_OK",
    "SYNC",
    "SYNC_OK",
    "Ack",
    "Message",
    "Ping",
    "PingReq",
    "State",
    "Update",
    "decode",
    "decode_updates",
    "encode_updates",
    "size_of",
    "to_frame",
]

PING, ACK, PING_REQ = 1, 2, 3
GOSSIP_CLASSES = MappingProxyType({PING: "ping", ACK: "ack", PING_REQ: "ping_req"})
"""Classes of the UDP port `gossip`; no client operation causes any of them."""

SYNC, SYNC_OK, PROBE, PROBE_OK, HAND_OFF, HANDED_OFF = 1, 2, 3, 4, 5, 6
PEER_CLASSES = MappingProxyType(
    {SYNC: "sync", SYNC_OK: "sync_ok", PROBE: "probe", PROBE_OK: "probe_ok", HAND_OFF: "hand_off", HANDED_OFF: "handed_off"}
)
PEER_BACKGROUND = frozenset({"sync", "sync_ok", "probe", "probe_ok"})

REQUEST, RESPONSE, STATUS, STATUS_OK = 1, 2, 3, 4
CLIENT_CLASSES = MappingProxyType({REQUEST: "request", RESPONSE: "response", STATUS: "status", STATUS_OK: "status_ok"})
CLIENT_BACKGROUND = frozenset({"status", "status_ok"})


class State(IntEnum):
    """What is believed of a member. Of two beliefs about one incarnation the greater counts."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3


@dataclass(frozen=True, slots=True, order=True)
class Update:
    """One belief about one member.

    Args:
        name: Whom it is about.
        incarnation: The member's own number; it alone raises it, to refute.
        state: What is believed.
    """

    name: str
    incarnation: int
    state: State

    @property
    def rank(self) -> tuple[int, int]:
        """The greater rank overrides: beliefs about one member are totally ordered, so that views can only converge."""
        return self.incarnation, self.state


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """Are you there?"""

    seq: int
    updates: tuple[Update, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """The member that was asked for under `seq` is there."""

    seq: int
    updates: tuple[Update, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PingReq:
    """Ping `target` for me, and acknowledge under `seq` if it is there."""

    seq: int
    target: str
    updates: tuple[Update, ...] = ()


Message = Ping | Ack | PingReq

_SEQ = struct.Struct(">Q")
_TAIL = struct.Struct(">IB")
ROOM_BYTES = MAX_DATAGRAM_BYTES - len(encode(Frame(kind=0))) - _SEQ.size - 256
"""Bytes for updates in one datagram: what is left beside the head and a target's name."""


def size_of(update: Update) -> int:
    """Bytes of an update."""
    return 1 + len(update.name.encode()) + _TAIL.size


def encode_updates(updates: Iterable[Update]) -> bytes:
    """Updates one after the other."""
    return b"".join(_name(one.name) + _TAIL.pack(one.incarnation, one.state) for one in updates)


def decode_updates(data: bytes) -> tuple[Update, ...]:
    """The updates that `data` is made of. Raises FrameError when it is made of anything else."""
    updates, offset = [], 0
    while offset < len(data):
        name, offset = _read_name(data, offset)
        if len(data) - offset < _TAIL.size:
            raise FrameError(f"an update is cut off at byte {offset}")
        incarnation, state = _TAIL.unpack_from(data, offset)
        if state > max(State):
            raise FrameError(f"state {state} is not known")
        updates.append(Update(name, incarnation, State(state)))
        offset += _TAIL.size
    return tuple(updates)


def to_frame(message: Message, sender: int) -> Frame:
    """The message as a frame of the gossip port."""
    body = _SEQ.pack(message.seq)
    kind = {Ping: PING, Ack: ACK, PingReq: PING_REQ}[type(message)]
    if isinstance(message, PingReq):
        body += _name(message.target)
    return Frame(kind=kind, sender=sender, body=body + encode_updates(message.updates))


def decode(frame: Frame) -> Message:
    """The message in a frame of the gossip port.

    Raises:
        FrameError: An unknown class, or a body that does not fit it.
    """
    if frame.kind not in GOSSIP_CLASSES or len(frame.body) < _SEQ.size:
        raise FrameError(f"class {frame.kind} with a body of {len(frame.body)} bytes is no message of the gossip port")
    (seq,) = _SEQ.unpack_from(frame.body)
    if frame.kind == PING_REQ:
        target, offset = _read_name(frame.body, _SEQ.size)
        return PingReq(seq=seq, target=target, updates=decode_updates(frame.body[offset:]))
    updates = decode_updates(frame.body[_SEQ.size :])
    return Ping(seq=seq, updates=updates) if frame.kind == PING else Ack(seq=seq, updates=updates)


def _name(name: str) -> bytes:
    raw = name.encode()
    return bytes((len(raw),)) + raw


def _read_name(data: bytes, offset: int) -> tuple[str, int]:
    end = offset + 1 + data[offset] if offset < len(data) else offset + 1
    if end > len(data):
        raise FrameError(f"a name is cut off at byte {offset}")
    try:
        return data[offset + 1 : end].decode(), end
    except UnicodeDecodeError as error:
        raise FrameError(f"a name at byte {offset} is no text") from error
