"""Reads histories of the formats in use: ours, Jepsen's EDN, JSON and text logs, EDN maps line by line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_coordchaos.errors import UnreadableHistory, UsageError
from pytest_coordchaos.history.edn import EdnError, IndependentTuple, hashable, top_level
from pytest_coordchaos.history.events import Event, EventError, pair
from pytest_coordchaos.history.jsonl import parse_jsonl
from pytest_coordchaos.history.model import History

__all__ = ["FORMATS", "read_history"]

_TYPES = ("invoke", "ok", "fail", "info")
_LOG_LINE = re.compile(r"(?:^|\s)(\d+)\s+:(invoke|ok|fail|info)\s+:([\w-]+)(?:\s+(.*))?$")


def read_history(path: Path, format: str) -> History:
    """The history in a file. An empty file is an empty history.

    Args:
        path: The file.
        format: One of `FORMATS`.

    Raises:
        UsageError: The format is not known.
        UnreadableHistory: The file, the line and what was wrong.
    """
    if format not in FORMATS:
        raise UsageError(f"format {format!r} is not known; allowed: {', '.join(FORMATS)}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableHistory(f"{path}: cannot be read: {error.strerror}") from None
    if not data.strip():
        return History()
    try:
        return FORMATS[format](data)
    except (EdnError, EventError) as error:
        raise UnreadableHistory(f"{path}, line {error.line}: {error} (read as {format})") from None
    except UnicodeDecodeError as error:
        raise UnreadableHistory(f"{path}: not UTF-8 text at byte {error.start} (read as {format})") from None
    except RecursionError:
        raise UnreadableHistory(f"{path}: nested too deeply (read as {format})") from None


def _text(data: bytes) -> str:
    """UTF-8, with or without the mark that some editors put before it."""
    return data.decode("utf-8-sig")


def _jepsen_edn(data: bytes) -> History:
    """A vector of maps, or a map a line. Jepsen: `fail` did not happen, `info` stays open."""
    return pair(_events_of_maps(top_level(_text(data))))


def _jepsen_json(data: bytes) -> History:
    """An array of objects, or an object a line."""
    text = _text(data)
    if text.lstrip().startswith("["):
        try:
            elements = json.loads(text)
        except json.JSONDecodeError as error:
            raise EventError(error.lineno, f"not JSON: {error.msg}") from None
        return pair(_events_of_maps((number, element) for number, element in enumerate(elements, start=1)))
    return pair(_events_of_maps(_json_lines(text)))


def _json_lines(text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):  # splitlines() would cut at U+2028, which JSON allows in texts
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except json.JSONDecodeError as error:
            raise EventError(number, f"not JSON: {error.msg}") from None


def _events_of_maps(elements: Iterator[tuple[int, Any]]) -> Iterator[Event]:
    for line, element in elements:
        if not isinstance(element, Mapping):
            raise EventError(line, f"{element!r:.60} is not an operation; wanted: a map with process, type and f")
        if element.get("process") in ("nemesis", ":nemesis"):
            continue
        missing = [name for name in ("process", "type", "f") if element.get(name) is None]
        if missing:
            raise EventError(line, f"an operation without {' and '.join(missing)}")
        yield _event(line, element)


def _event(line: int, element: Mapping[Any, Any]) -> Event:
    kind = str(element["type"]).removeprefix(":")
    if kind not in _TYPES:
        raise EventError(line, f"type {kind!r} is not known; allowed: {', '.join(_TYPES)}")
    key, value = element.get("key"), element.get("value")
    if key is None and isinstance(value, IndependentTuple) and len(value) == 2:
        key, value = value
    time_ns, error = element.get("time"), element.get("error")
    return Event(
        line=line,
        process=hashable(element["process"]),
        type=kind,
        f=str(element["f"]).removeprefix(":"),
        key=key,
        value=value,
        time_ns=time_ns if isinstance(time_ns, int) else None,
        error=None if error is None else str(error),
        node=element["node"] if isinstance(element.get("node"), str) else None,
    )


def _jepsen_log_text(data: bytes) -> History:
    """A log with lines `process :type :f value`, as in the etcd runs of 2014. Other lines are passed over.

    There a failed compare-and-set is a completed mismatch (a result of False), and a read that failed
    by timing out is unknown.
    """
    events = [event for number, line in enumerate(_text(data).splitlines(), start=1) if (event := _log_event(number, line))]
    if not events:
        raise EventError(1, "no line reads `process :type :f value`")
    return pair(events)


def _log_event(number: int, line: str) -> Event | None:
    match = _LOG_LINE.search(line.rstrip())
    if match is None:
        return None
    process, kind, f, text = match.groups()
    value = _log_value(number, text or "nil")
    timed_out = value == "timed-out" or (isinstance(value, list) and "timed-out" in value)
    if kind == "fail" and timed_out:
        kind = "info"
    elif kind == "fail" and f == "cas":
        kind, value = "ok", False
    return Event(line=number, process=int(process), type=kind, f=f, value=value)


def _log_value(number: int, text: str) -> Any:
    try:
        _, *forms = top_level(f"nil {text}")  # with a form before it: a lone vector would come element by element
    except EdnError as error:
        raise EventError(number, str(error)) from None
    values = [form for _, form in forms]
    return values[0] if len(values) == 1 else values


FORMATS: Mapping[str, Callable[[bytes], History]] = {
    "coordchaos-jsonl": parse_jsonl,
    "jepsen-edn": _jepsen_edn,
    "jepsen-json": _jepsen_json,
    "jepsen-log-text": _jepsen_log_text,
    "edn-lines": _jepsen_edn,
}
"""Format name -> reader of a file's bytes."""
