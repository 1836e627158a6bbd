"""A reader of EDN, the data notation of Jepsen's histories. Pure.

Source: the EDN format, github.com/edn-format/edn. Keywords and symbols become strings without the
colon, lists and vectors lists, sets frozensets; tagged literals lose their tag, but for
`#jepsen.independent/tuple`, which becomes `IndependentTuple`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

__all__ = ["EdnError", "IndependentTuple", "hashable", "top_level"]

_TOKEN = re.compile(
    r"""(?P<space>[\s,]+|;[^\n]*)
      | (?P<open>\#\{|[\[({])
      | (?P<close>[\])}])
      | (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<discard>\#_)
      | (?P<meta>\^)
      | (?P<tag>\#(?=")|\#:?[A-Za-z:][^\s,;()\[\]{}"]*)
      | (?P<char>\\(?:newline|return|space|tab|u[0-9A-Fa-f]{4}|.))
      | (?P<atom>[^\s,;()\[\]{}"^\\]+)""",
    re.VERBOSE | re.DOTALL,
)
_INTEGER = re.compile(r"[+-]?\d+N?")
_OTHER_BASE = re.compile(r"([+-]?)(?:0[xX]([0-9A-Fa-f]+)|(\d{1,2})[rR]([0-9A-Za-z]+))N?")
_RATIO = re.compile(r"[+-]?\d+/\d*[1-9]\d*")
_FLOAT = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?M?")
_CLOSERS = {"[": "]", "(": ")", "{": "}", "#{": "}"}
_WORDS = {"nil": None, "true": True, "false": False}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_CHARACTERS = {"newline": "\n", "return": "\r", "space": " ", "tab": "\t"}
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)


class EdnError(ValueError):
    """Text that is not EDN. `line` counts from 1."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


class IndependentTuple(list[Any]):
    """A `[key value]` pair of `jepsen.independent`."""


@dataclass(slots=True)
class _Open:
    """A collection whose closing bracket has not come yet."""

    kind: str
    line: int
    items: list[Any]
    lines: list[int]
    prefixes: list[str]


def hashable(value: Any) -> Any:
    """The value with lists as tuples and maps as frozensets of pairs, so that it can be a key."""
    if isinstance(value, list | tuple):
        return tuple(hashable(item) for item in value)
    if isinstance(value, dict):
        return frozenset((hashable(key), hashable(item)) for key, item in value.items())
    return value


def top_level(text: str) -> Iterator[tuple[int, Any]]:
    """The top-level forms with their line numbers; one top-level list or vector gives its elements.

    Raises:
        EdnError: Where and why the text is not EDN.
    """
    root, last_closed = _read(text)
    if len(root.items) == 1 and last_closed is not None and root.items[0] is last_closed.items:
        return zip(last_closed.lines, last_closed.items, strict=True)
    return zip(root.lines, root.items, strict=True)


def _read(text: str) -> tuple[_Open, _Open | None]:
    """The top level as a collection, and the collection that was closed last."""
    stack, last_closed = [_Open("", 1, [], [], [])], None
    line, position = 1, 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise EdnError(line, f"unreadable text at {text[position : position + 20]!r}")
        token, position = match.group(), match.end()
        match match.lastgroup:
            case "open":
                stack.append(_Open(token, line, [], [], []))
            case "tag" | "discard" | "meta":
                stack[-1].prefixes.append(token)
            case "close":
                last_closed = _closed(stack, token, line)
                _put(stack[-1], _collection(last_closed), last_closed.line)
            case "space":
                line += token.count("\n")
            case group:
                _put(stack[-1], _scalar(str(group), token, line), line)
                line += token.count("\n")
    if len(stack) > 1:
        raise EdnError(stack[-1].line, f"{stack[-1].kind!r} is never closed")
    return stack[0], last_closed


def _put(target: _Open, form: Any, line: int) -> None:
    """Add a form where it belongs, unless a discard or metadata mark stood before it."""
    while target.prefixes:
        prefix = target.prefixes.pop()
        if prefix in ("#_", "^"):
            return
        if prefix == "#jepsen.independent/tuple" and isinstance(form, list):
            form = IndependentTuple(form)
    target.items.append(form)
    target.lines.append(line)


def _closed(stack: list[_Open], token: str, line: int) -> _Open:
    if len(stack) == 1 or _CLOSERS[stack[-1].kind] != token:
        raise EdnError(line, f"{token!r} closes nothing")
    return stack.pop()


def _collection(opened: _Open) -> Any:
    if opened.kind in "[(":
        return opened.items
    if opened.kind == "#{":
        return frozenset(hashable(item) for item in opened.items)
    if len(opened.items) % 2:
        raise EdnError(opened.line, "a map needs an even number of forms")
    return {hashable(key): value for key, value in zip(opened.items[::2], opened.items[1::2], strict=True)}


def _scalar(group: str, token: str, line: int) -> Any:
    if group == "string":
        return _ESCAPE.sub(_unescaped, token[1:-1]) if "\\" in token else token[1:-1]
    if group == "char":
        name = token[1:]
        return chr(int(name[1:], 16)) if len(name) == 5 and name[0] == "u" else _CHARACTERS.get(name, name)
    if token in _WORDS:
        return _WORDS[token]
    if _INTEGER.fullmatch(token):
        return int(token.rstrip("N"))
    if _FLOAT.fullmatch(token):
        return float(token.rstrip("M"))
    if token.lstrip("+-")[:1].isdigit() or token.startswith("##"):
        return _unusual_number(token, line)
    return token.removeprefix(":")


def _unusual_number(token: str, line: int) -> Any:
    """Numbers as Clojure prints them now and then: hexadecimal (addresses of objects), of any base, ratios, ##Inf."""
    other = _OTHER_BASE.fullmatch(token)
    if other:
        sign, hexadecimal, base, digits = other.groups()
        try:
            return int(sign + (hexadecimal or digits), 16 if hexadecimal else int(base))
        except ValueError:
            raise EdnError(line, f"{token!r} is no number this reader knows") from None
    if _RATIO.fullmatch(token):
        return Fraction(token)
    if token in ("##Inf", "##-Inf", "##NaN"):
        return float(token[2:])
    raise EdnError(line, f"{token!r} is no number this reader knows")


def _unescaped(match: re.Match[str]) -> str:
    name = match.group(1)
    return chr(int(name[1:], 16)) if len(name) == 5 else _ESCAPES.get(name, name)
