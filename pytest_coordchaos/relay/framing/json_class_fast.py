"""The class of one JSON line, read by msgspec."""

from __future__ import annotations

from msgspec import DecodeError, Raw, Struct
from msgspec.json import Decoder

from pytest_coordchaos.relay.framing.json_class_plain import DEFAULT_CLASS

__all__ = ["read_class"]


class _Body(Struct):
    type: object = None


class _Line(Struct):
    type: object = None
    body: Raw = Raw(b"null")


_decode_line = Decoder(_Line).decode
_decode_body = Decoder(_Body).decode


def read_class(line: bytes) -> str:
    """As `json_class` says."""
    try:
        read = _decode_line(line)
        found = read.type if read.type is not None else _decode_body(read.body).type
    except (DecodeError, RecursionError, UnicodeDecodeError):
        return DEFAULT_CLASS
    return found if isinstance(found, str) and found else DEFAULT_CLASS
