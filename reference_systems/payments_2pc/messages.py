"""The messages of two-phase commit and their bytes. Pure.

Names follow Bernstein, Hadzilacos, Goodman: Concurrency Control and Recovery in Database Systems (1987), chapter 7.
Frames carry the id of the client operation they serve; those of the inquiry, which a fault causes, carry none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from reference_systems.kit.frames import Frame, FrameError

__all__ = [
    "ANSWERS",
    "BACKGROUND",
    "CLIENT_CLASSES",
    "PEER_CLASSES",
    "REQUEST",
    "RESPONSE",
    "STATUS",
    "STATUS_OK",
    "Ack",
    "Decision",
    "Inquire",
    "Leg",
    "Message",
    "Outcome",
    "Prepare",
    "Vote",
    "coordinator_of",
    "decode",
    "place_of",
    "to_frame",
]

REQUEST, RESPONSE, STATUS, STATUS_OK = 1, 2, 3, 4
CLIENT_CLASSES = MappingProxyType({REQUEST: "request", RESPONSE: "response", STATUS: "status", STATUS_OK: "status_ok"})
PREPARE, VOTE, COMMIT, ABORT, ACK, INQUIRE, OUTCOME = range(1, 8)
PEER_CLASSES = MappingProxyType(
    {
        PREPARE: "prepare",
        VOTE: "vote",
        COMMIT: "commit",
        ABORT: "abort",
        ACK: "ack",
        INQUIRE: "inquire",
        OUTCOME: "outcome",
    }
)
BACKGROUND = frozenset({"inquire", "outcome"})
"""Classes of the peer port that no client operation causes."""
ANSWERS = frozenset({VOTE, ACK, OUTCOME})
"""They go back the way the question came."""

Leg = tuple[str, int]
"""An account and what is added to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepare:
    """Can you do your share? The work travels with the question.

    Args:
        tx: The transaction.
        operation: The client operation it serves.
        key: The idempotency key; None for reads.
        legs: What to change here; an amount of 0 only asks that the account exists.
        reads: What to read here.
        sole: Nobody else is enlisted.
    """

    tx: str
    operation: int = 0
    key: str | None = None
    legs: tuple[Leg, ...] = ()
    reads: tuple[str, ...] = ()
    sole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """The answer to Prepare.

    Args:
        tx, operation: Those of the Prepare.
        says: "yes" (durable, and bound by it), "no", "read-only" (nothing to decide here), or "done" (this key was
            charged by another transaction).
        reason: Why not: "busy", "insufficient" …
        values: What was read.
    """

    tx: str
    operation: int = 0
    says: str = "yes"
    reason: str = ""
    values: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the coordinator decided: COMMIT or ABORT."""

    tx: str
    operation: int = 0
    commit: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """The decision is durable here: the coordinator need not remember it for us."""

    tx: str
    operation: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquire:
    """A participant in doubt asks."""

    tx: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The answer to Inquire; `commit` None: not decided yet."""

    tx: str
    commit: bool | None


Message = Prepare | Vote | Decision | Ack | Inquire | Outcome


def place_of(tx: str) -> tuple[int, int]:
    """When its coordinator began it: (incarnation, number). Ids are `coordinator.incarnation.number`."""
    _, incarnation, number = tx.rsplit(".", 2)
    return int(incarnation), int(number)


def coordinator_of(tx: str) -> str:
    """The node that coordinates the transaction."""
    return tx.rsplit(".", 2)[0]


def to_frame(message: Message, sender: int) -> Frame:
    """The message as a frame of the peer port."""
    operation = getattr(message, "operation", 0)
    kind, body = _parts(message)
    text = json.dumps(body, separators=(",", ":")).encode()
    return Frame(kind=kind, operations=(operation,) if operation else (), sender=sender, body=text)


def _parts(message: Message) -> tuple[int, list[Any]]:
    match message:
        case Prepare():
            return PREPARE, [message.tx, message.key, message.legs, message.reads, message.sole]
        case Vote():
            return VOTE, [message.tx, message.says, message.reason, dict(message.values)]
        case Decision():
            return (COMMIT if message.commit else ABORT), [message.tx]
        case Ack():
            return ACK, [message.tx]
        case Inquire():
            return INQUIRE, [message.tx]
        case Outcome():
            return OUTCOME, [message.tx, message.commit]


def decode(frame: Frame) -> Message:
    """The message in a frame of the peer port.

    Raises:
        FrameError: An unknown class, or a body that does not fit it.
    """
    try:
        return _make(frame.kind, json.loads(frame.body), frame.operations[0] if frame.operations else 0)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        name = PEER_CLASSES.get(frame.kind, "unknown")
        raise FrameError(f"class {frame.kind} ({name}) does not have this body on the peer port: {error}") from error


def _make(kind: int, body: Any, operation: int) -> Message:
    place_of(body[0])  # whose transaction is this? ValueError: nobody's
    if kind == PREPARE:
        tx, key, legs, reads, sole = body
        pairs = tuple((account, amount) for account, amount in legs)
        return Prepare(tx=tx, operation=operation, key=key, legs=pairs, reads=tuple(reads), sole=sole)
    if kind == VOTE:
        tx, says, reason, values = body
        return Vote(tx=tx, operation=operation, says=says, reason=reason, values=dict(values))
    if kind == OUTCOME:
        tx, commit = body
        if not isinstance(commit, bool | None):
            raise ValueError(f"{commit!r} is no outcome")
        return Outcome(tx=tx, commit=commit)
    (tx,) = body
    if kind in (COMMIT, ABORT):
        return Decision(tx=tx, operation=operation, commit=kind == COMMIT)
    if kind == ACK:
        return Ack(tx=tx, operation=operation)
    if kind == INQUIRE:
        return Inquire(tx=tx)
    raise ValueError("no such class")
