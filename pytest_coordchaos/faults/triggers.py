"""Events at which a fault may begin, instead of at a time: the k-th message, the k-th forced write, a change of role. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.system.port import Port

__all__ = ["ALLOWED", "MessageTrigger", "RoleTrigger", "SyncTrigger", "Trigger", "check_trigger", "parse_trigger"]

ALLOWED = "CLASS#K, FROM>CLASS>TO#K (either name may be left out), sync:NODE#K, or a role such as leader"

_NODE = r"[a-z0-9][a-z0-9-]*"
_SYNC = re.compile(rf"sync:({_NODE})#([1-9]\d{{0,8}})")
_MESSAGE = re.compile(r"([\w./-]+)#([1-9]\d{0,8})")
_ON_LINK = re.compile(rf"({_NODE})?>([\w./-]+)>({_NODE})?#([1-9]\d{{0,8}})")
_ROLE = re.compile(r"[A-Za-z_][\w-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageTrigger:
    """The `count`-th message of a class that a node offers to another one, counted from when the event begins to wait.

    Args:
        message_class: Its class.
        count: From 1.
        sender, receiver: Only messages from, or to, this node; None: any.
    """

    message_class: str
    count: int
    sender: str | None = None
    receiver: str | None = None

    def fits(self, message_class: str, sender: str, receiver: str) -> bool:
        """Whether a message counts."""
        whom = self.sender in (None, sender) and self.receiver in (None, receiver)
        return whom and message_class == self.message_class

    def __str__(self) -> str:
        if self.sender is None and self.receiver is None:
            return f"{self.message_class}#{self.count}"
        return f"{self.sender or ''}>{self.message_class}>{self.receiver or ''}#{self.count}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncTrigger:
    """A node asks for its `count`-th forced write, counted from when the event begins to wait; nothing of it is durable yet."""

    node: str
    count: int

    def __str__(self) -> str:
        return f"sync:{self.node}#{self.count}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleTrigger:
    """Another node than before holds the role."""

    role: str

    def __str__(self) -> str:
        return self.role


Trigger = MessageTrigger | SyncTrigger | RoleTrigger


def parse_trigger(text: str) -> Trigger:
    """What follows the `@` of a fault word. UsageError: it is no trigger."""
    if found := _SYNC.fullmatch(text):
        return SyncTrigger(node=found[1], count=int(found[2]))
    if found := _MESSAGE.fullmatch(text):
        return MessageTrigger(message_class=found[1], count=int(found[2]))
    if found := _ON_LINK.fullmatch(text):
        return MessageTrigger(message_class=found[2], count=int(found[4]), sender=found[1], receiver=found[3])
    if _ROLE.fullmatch(text):
        return RoleTrigger(role=text)
    raise UsageError(f"Trigger {text!r} is not allowed; allowed: {ALLOWED}")


def check_trigger(
    trigger: Trigger, nodes: Sequence[str], roles: Collection[str] | None, ports: Iterable[Port] | None = None
) -> None:
    """Check a trigger against a system.

    Args:
        roles, ports: What it declares; None: not checked.

    Raises:
        UsageError: It names a node, role or class of message that is not there.
    """
    match trigger:
        case RoleTrigger():
            if roles is not None and trigger.role not in roles:
                declared = ", ".join(sorted(roles)) or "none"
                raise UsageError(f"Trigger '{trigger}' needs the role {trigger.role!r}; the system declares: {declared}")
            return
        case SyncTrigger():
            named = {trigger.node}
        case MessageTrigger():
            named = {name for name in (trigger.sender, trigger.receiver) if name}
            if ports is not None:
                _check_class(trigger, list(ports))
    for name in sorted(named - set(nodes)):
        raise UsageError(f"Trigger '{trigger}' names no node of the system {name!r}; allowed: {', '.join(nodes)}")


def _check_class(trigger: MessageTrigger, ports: Sequence[Port]) -> None:
    known = sorted({name for port in ports for name in port.classes.values()})
    if trigger.message_class not in known and all(port.protocol == "frames" for port in ports):
        raise UsageError(f"Trigger '{trigger}': class {trigger.message_class!r} is not declared; allowed: {', '.join(known)}")
