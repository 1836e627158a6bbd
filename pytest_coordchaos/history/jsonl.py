"""Our own history file: JSON lines, one event a line, written as it happens. Pure.

The first line names the format and its version. Then, per operation, an `invoke` line and at most
one of `ok`, `fail`, `info` with the same id; an operation without one is open. A crash of the
writer can tear only the last line; the reader leaves a torn last line out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from pytest_coordchaos.history.events import EventError
from pytest_coordchaos.history.model import INFINITY_NS, History, Operation, Outcome

__all__ = ["HEADER", "VERSION", "encode_line", "ended", "parse_jsonl"]

VERSION = 1
HEADER: Mapping[str, object] = {"format": "coordchaos-jsonl", "version": VERSION}

_encoder = msgspec.json.Encoder(enc_hook=repr)
_decoder = msgspec.json.Decoder(dict[str, Any])


def encode_line(event: Mapping[str, object]) -> bytes:
    """One line, newline included. What JSON does not know is written as its `repr`."""
    try:
        return _encoder.encode(event) + b"\n"
    except (TypeError, ValueError, OverflowError):  # keys that are no strings, integers beyond 64 bits
        return _encoder.encode({key: _plain(value) for key, value in event.items()}) + b"\n"


def _plain(value: object) -> object:
    if value is None or isinstance(value, str | bool | float) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return repr(value)


def ended(op: Operation, outcome: Outcome, now_ns: int, result: Any = None, error: str | None = None) -> Operation:
    """The open operation, ended."""
    return_ns = INFINITY_NS if outcome is Outcome.INFO else now_ns
    return replace(op, outcome=outcome, result=result, error=error, return_ns=return_ns, ended_ns=now_ns)


def parse_jsonl(data: bytes) -> History:
    """The history in a file's bytes; operations without an end are info, given up at the last time seen.

    Raises:
        EventError: A line that is not an event, or an event that cannot stand where it stands.
    """
    lines = data.split(b"\n")
    lines.pop()  # empty after a whole last line, else torn
    operations: dict[int, Operation] = {}
    open_ids: set[int] = set()
    last_ns = 0
    for number, line in enumerate(lines, start=1):
        event = _decoded(line, number)
        if number == 1:
            _check_header(event)
            continue
        last_ns = max(last_ns, _field(event, "time", int, number))
        _take(event, operations, open_ids, number)
    for open_id in open_ids:
        operations[open_id] = replace(operations[open_id], ended_ns=max(last_ns, operations[open_id].invoke_ns))
    return History.of(operations.values())


def _decoded(line: bytes, number: int) -> dict[str, Any]:
    try:
        return _decoder.decode(line)
    except msgspec.DecodeError as error:
        raise EventError(number, f"not a JSON object: {error}") from None


def _check_header(event: Mapping[str, Any]) -> None:
    if event.get("format") != HEADER["format"] or event.get("version") != VERSION:
        raise EventError(1, f"the first line must be {_encoder.encode(HEADER).decode()}")


def _take(event: Mapping[str, Any], operations: dict[int, Operation], open_ids: set[int], number: int) -> None:
    kind, op_id = _field(event, "type", str, number), _field(event, "id", int, number)
    if kind == "invoke":
        if op_id in operations:
            raise EventError(number, f"operation {op_id} is invoked twice")
        operations[op_id] = _invoked(event, op_id, number)
        open_ids.add(op_id)
        return
    if kind not in ("ok", "fail", "info"):
        raise EventError(number, f"type {kind!r} is not known; allowed: invoke, ok, fail, info")
    if op_id not in open_ids:
        raise EventError(number, f"operation {op_id} ends ({kind}) but is not open")
    open_ids.remove(op_id)
    error = event.get("error")
    operations[op_id] = ended(operations[op_id], Outcome(kind), event["time"], event.get("result"), error)


def _invoked(event: Mapping[str, Any], op_id: int, number: int) -> Operation:
    time_ns = _field(event, "time", int, number)
    return Operation(
        id=op_id,
        process=_field(event, "process", int, number),
        f=_field(event, "f", str, number),
        key=event.get("key"),
        value=event.get("value"),
        outcome=Outcome.INFO,
        intended_ns=event.get("intended", time_ns),
        invoke_ns=time_ns,
        return_ns=INFINITY_NS,
        ended_ns=time_ns,
        node=event.get("node"),
    )


def _field(event: Mapping[str, Any], name: str, kind: type[Any], number: int) -> Any:
    value = event.get(name)
    if not isinstance(value, kind):
        raise EventError(number, f"field {name!r} is {value!r}; wanted: {kind.__name__}")
    return value
