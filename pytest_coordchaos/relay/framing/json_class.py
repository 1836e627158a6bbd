"""The class of one JSON line. Apart, because it loads msgspec, which a relay without such links need not wait for."""

from __future__ import annotations

from msgspec import DecodeError, Raw, Struct
from msgspec.json import Decoder

__all__ = ["DEFAULT_CLASS", "read_class"]

DEFAULT_CLASS = "line"


class _Body(Struct):
    type: object = None


class _Line(Struct):
    type: object = None
    body: Raw = Raw(b"null")


_decode_line = Decoder(_Line).decode
_decode_body = Decoder(_Body).decode


def read_class(line: bytes) -> str:
    """The string "type" of the line's object, or else of its "body"; `DEFAULT_CLASS` for anything else."""
    try:
        read = _decode_line(line)
        found = read.type if read.type is not None else _decode_body(read.body).type
    except (DecodeError, RecursionError, UnicodeDecodeError):
        return DEFAULT_CLASS
    return found if isinstance(found, str) and found else DEFAULT_CLASS
