"""What a PostgreSQL statement is called: its first word, also where a statement is known by name only."""

from __future__ import annotations

import re

__all__ = ["STATEMENT_BYTES", "Statements", "first_word"]

STATEMENT_BYTES = 512
"""How much of a packet is read for its statement."""

_MAX_NAMES = 2000

_word = re.compile(rb"(?:[\s(;]|--[^\n]*\n|/\*.*?\*/)*([A-Za-z_]{1,32})", re.DOTALL).match


def first_word(statement: bytes) -> str:
    """The statement's first word in capitals, after spaces, parentheses and comments; "query" where there is none."""
    found = _word(statement[:STATEMENT_BYTES])
    return found[1].decode("ascii").upper() if found else "query"


class Statements:
    """The prepared statements of one connection: name -> word, of the latest 2000."""

    __slots__ = ("_words",)

    def __init__(self) -> None:
        self._words: dict[bytes, str] = {}

    def parsed(self, body: bytes) -> str:
        """A Parse packet: the statement's word; "" where its name is too long to be read."""
        name, ended, statement = body.partition(b"\0")
        if not ended:
            return ""
        word = self._words[name] = first_word(statement)
        if len(self._words) > _MAX_NAMES:
            del self._words[next(iter(self._words))]
        return word

    def bound(self, body: bytes) -> str:
        """A Bind packet: the word of the statement it names; "" where that is not known."""
        _, _, rest = body.partition(b"\0")  # the portal's name
        name, ended, _ = rest.partition(b"\0")
        return self._words.get(name, "") if ended else ""

    def closed(self, body: bytes) -> None:
        """A Close packet: a statement's name is free again."""
        if body[:1] == b"S":
            self._words.pop(body[1:].partition(b"\0")[0], None)
