"""States of a link's directions as JSON. Pure."""

from __future__ import annotations

from pytest_coordchaos.faults.model import DirectionState, FrameKind, FrameRule, LinkMode
from pytest_coordchaos.relay.reading import BadRequest, read_number, read_object

__all__ = ["state_from_json", "state_to_json"]

_MAX_DELAY_MS = 3_600_000.0


def state_to_json(state: DirectionState) -> dict[str, object]:
    """A direction's state as a JSON object; what it does not do is left out."""
    item: dict[str, object] = {"mode": state.mode.value, "delay_ms": state.delay_ms}
    if state.frames:
        item["frames"] = [{"kind": rule.kind.value, "rate": rule.rate, "classes": list(rule.classes)} for rule in state.frames]
    if state.replies_lost:
        item["replies_lost"] = True
    return item


def state_from_json(raw: object, where: str) -> DirectionState:
    """A direction's state from a JSON object.

    Raises:
        BadRequest: What is wrong with it, and where.
    """
    item = read_object(raw, where)
    mode, delay_ms = item.get("mode", "pass"), item.get("delay_ms", 0)
    if mode not in list(LinkMode):
        raise BadRequest(f"{where}.mode: {mode!r} is not known; allowed: {', '.join(LinkMode)}")
    number = read_number(delay_ms, f"{where}.delay_ms")
    if not 0 <= number <= _MAX_DELAY_MS:
        raise BadRequest(f"{where}.delay_ms: {number:g} is not allowed; 0 to {_MAX_DELAY_MS:.0f} are")
    rules, replies_lost = item.get("frames", []), item.get("replies_lost", False)
    if not isinstance(rules, list):
        raise BadRequest(f"{where}.frames: a list of rules is allowed, not {type(rules).__name__}")
    if not isinstance(replies_lost, bool):
        raise BadRequest(f"{where}.replies_lost: {replies_lost!r} is not allowed; true or false are")
    frames = [_rule(rule, f"{where}.frames[{number}]") for number, rule in enumerate(rules)]
    return DirectionState(LinkMode(str(mode)), number, tuple(sorted(frames)), replies_lost)


def _rule(raw: object, where: str) -> FrameRule:
    item = read_object(raw, where)
    kind, classes = item.get("kind"), item.get("classes", [])
    if kind not in list(FrameKind):
        raise BadRequest(f"{where}.kind: {kind!r} is not known; allowed: {', '.join(FrameKind)}")
    rate = read_number(item.get("rate"), f"{where}.rate")
    if not 0 < rate <= 1:
        raise BadRequest(f"{where}.rate: {rate:g} is not allowed; above 0, at most 1 is")
    if not isinstance(classes, list) or not all(isinstance(name, str) and name for name in classes):
        raise BadRequest(f"{where}.classes: {classes!r} is not allowed; a list of class names is")
    return FrameRule(FrameKind(str(kind)), tuple(sorted(classes)), rate)
