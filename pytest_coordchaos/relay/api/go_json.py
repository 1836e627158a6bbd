"""JSON as Toxiproxy's server reads and writes it, so that its clients meet no surprise. Pure.

Reading: only the first value of a body counts; keys are matched case-blind, unknown ones are ignored, `null` leaves a
field as it was; a whole number is written as one (`1.5`, `1e2` and `"1"` are none) and has 64 bits. Writing: no blanks,
and numbers without a fraction have no point.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping

__all__ = ["BadBody", "boolean", "float32", "int64", "read", "read_fields", "text", "write"]

_INT64 = range(-(1 << 63), 1 << 63)
_KINDS = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}
_MAX_DIGITS = 400


class BadBody(ValueError):
    """A body is not what it should be; the message goes after "bad request body: "."""


class _Number(float):
    """A number with a fraction or an exponent, as it was written."""

    written: str


def _number(written: str) -> _Number:
    number = _Number(written)
    number.written = written
    return number


def _whole(written: str) -> int | _Number:
    return int(written) if len(written) <= _MAX_DIGITS else _number(written)


def _no_number(word: str) -> None:
    raise BadBody(f"invalid character {word[0]!r} looking for beginning of value")


_DECODER = json.JSONDecoder(parse_float=_number, parse_int=_whole, parse_constant=_no_number)


def read(body: bytes) -> object:
    """The first JSON value of a body.

    Raises:
        BadBody: There is none.
    """
    words = body.decode(errors="replace").lstrip(" \t\r\n")
    if not words:
        raise BadBody("EOF")
    try:
        value: object = _DECODER.raw_decode(words)[0]
        return value
    except json.JSONDecodeError as error:
        at_end = error.pos >= len(words.rstrip()) or error.msg.startswith("Unterminated")
        raise BadBody("unexpected EOF" if at_end else f"{error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise BadBody("exceeded max depth") from None


def read_fields(raw: object, readers: Mapping[str, Callable[[object, str], object]]) -> dict[str, object]:
    """The known fields that are there and not null.

    Args:
        raw: What was read.
        readers: Field name (in lower case) -> what makes its value; it is given the value and the name.

    Raises:
        BadBody: It is no object, or a field is of the wrong type.
    """
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise BadBody(f"json: cannot unmarshal {_kind(raw)} where an object is wanted")
    found: dict[str, object] = {}
    for key, value in raw.items():
        name = key.lower()
        if name in readers and value is not None:
            found[name] = readers[name](value, name)
    return found


def text(value: object, name: str) -> str:
    """A string."""
    if not isinstance(value, str):
        raise _wrong(value, name, "string")
    return value


def boolean(value: object, name: str) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise _wrong(value, name, "bool")
    return value


def int64(value: object, name: str) -> int:
    """A whole number of 64 bits."""
    if type(value) is not int or value not in _INT64:
        raise _wrong(value, name, "int64")
    return value


def float32(value: object, name: str) -> float:
    """A number, as near as 32 bits come to it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(value, name, "float32")
    try:
        rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        raise _wrong(value, name, "float32") from None
    return _shortest(rounded)


def write(value: object) -> bytes:
    """A value as JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")


def _shortest(rounded: float) -> float:
    """The shortest decimal that is the same 32-bit number."""
    for digits in range(1, 10):
        short = float(f"{rounded:.{digits}g}")
        if struct.pack("<f", short) == struct.pack("<f", rounded):
            break
    return int(short) if short.is_integer() and abs(short) < 1e21 else short


def _wrong(value: object, name: str, wanted: str) -> BadBody:
    written = f" {value.written if isinstance(value, _Number) else value}" if _kind(value) == "number" else ""
    return BadBody(f"json: cannot unmarshal {_kind(value)}{written} into field {name} of type {wanted}")


def _kind(value: object) -> str:
    return _KINDS.get(next(kind for kind in type(value).__mro__ if kind in _KINDS), "value")
