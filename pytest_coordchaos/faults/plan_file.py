"""Plans as JSON files: versioned, readable, never overwritten."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.faults.plan import Plan, PlanEvent
from pytest_coordchaos.faults.resolve import in_order
from pytest_coordchaos.faults.words import Aim, parse

__all__ = ["VERSION", "from_json", "load", "save", "to_json"]

VERSION = 1
"""Version of the file format; readers refuse others."""

_NUMBERS = ("one_way_ms", "rate", "offset_s", "clock_rate", "sync_ms")
"""Fields of an aim that are numbers."""


def to_json(plan: Plan) -> str:
    """The plan as text; equal plans give equal text."""
    document = {
        "coordchaos_plan": VERSION,
        "seed": plan.seed,
        "seconds": plan.seconds,
        "nodes": list(plan.nodes),
        "events": [_event_out(event) for event in plan.events],
    }
    return json.dumps(document, indent=2) + "\n"


def from_json(text: str, *, where: str = "plan") -> Plan:
    """The plan that `to_json` wrote.

    Raises:
        UsageError: The text is no plan; says what is wrong, and `where`.
    """
    try:
        document = json.loads(text)
        if not isinstance(document, dict) or "coordchaos_plan" not in document:
            raise UsageError(f"{where} is not a fault plan: it has no 'coordchaos_plan'")
        if document["coordchaos_plan"] != VERSION:
            raise UsageError(f"{where} is a fault plan of version {document['coordchaos_plan']!r}; allowed: {VERSION}")
        return Plan(
            seed=document["seed"],
            seconds=float(document["seconds"]),
            nodes=tuple(document["nodes"]),
            events=tuple(_event_in(event) for event in document["events"]),
        )
    except UsageError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{where} is not a readable fault plan: {type(error).__name__}: {error}") from None


def save(plan: Plan, path: Path) -> None:
    """Write the plan; it appears whole or not at all.

    Raises:
        UsageError: The file exists already.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        draft.write_text(to_json(plan), encoding="utf-8")
        os.link(draft, path)  # unlike a rename, this refuses to replace a file
    except FileExistsError:
        raise UsageError(f"Plan file {path} exists already; plans are never overwritten, give another path") from None
    finally:
        draft.unlink(missing_ok=True)


def load(path: Path) -> Plan:
    """Read a plan that `save` wrote.

    Raises:
        UsageError: There is no such file, or it is no plan.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Plan file {path} cannot be read: {error}") from None
    return from_json(text, where=str(path))


def _event_out(event: PlanEvent) -> dict[str, object]:
    target: dict[str, object] = {
        "nodes": list(event.aim.nodes),
        "role": event.aim.role,
        "groups": [in_order(group) for group in event.aim.groups],
        **{name: getattr(event.aim, name) for name in _NUMBERS},
    }
    given = {name: value for name, value in target.items() if value not in (None, [])}
    waits = {"wait_s": event.wait_s} if event.wait_s else {}
    return {"id": event.id, "word": event.word, "start_s": event.start_s, "duration_s": event.duration_s, **waits, "aim": given}


def _event_in(event: Mapping[str, object]) -> PlanEvent:
    target = event["aim"]
    if not isinstance(target, dict):
        raise TypeError(f"aim of event {event['id']!r} is not an object")
    numbers = {name: float(target[name]) for name in _NUMBERS if target.get(name) is not None}
    return PlanEvent(
        id=str(event["id"]),
        word=parse(str(event["word"])).text,
        start_s=_seconds(event, "start_s"),
        duration_s=_seconds(event, "duration_s"),
        wait_s=_seconds(event, "wait_s") if "wait_s" in event else 0.0,
        aim=Aim(
            nodes=tuple(target.get("nodes", ())),
            role=target.get("role"),
            groups=tuple(frozenset(group) for group in target.get("groups", ())),
            **numbers,
        ),
    )


def _seconds(event: Mapping[str, object], name: str) -> float:
    value = event[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ValueError(f"{name}={value!r} of event {event['id']!r} is not a number of seconds")
    return float(value)
