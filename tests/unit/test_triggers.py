"""Triggers: what may follow the `@` of a fault word, and whether it fits a system."""

from __future__ import annotations

import pytest

from pytest_coordchaos.errors import CapabilityError, UsageError
from pytest_coordchaos.faults.checks import check_event, check_machines
from pytest_coordchaos.faults.triggers import MessageTrigger, RoleTrigger, SyncTrigger, Trigger, parse_trigger
from pytest_coordchaos.faults.words import check_nodes, parse
from pytest_coordchaos.system.model import System
from pytest_coordchaos.system.port import Port
from tests.unit.test_fault_checks import Runtime

SYSTEM = System(
    name="s",
    nodes=2,
    entry="m:main",
    ports=[Port("peer", protocol="frames", classes={1: "vote"})],
    roles={"leader": lambda _: None},
)
ALL = Runtime("sim", ("message-events", "sync-events"))


@pytest.mark.parametrize(
    ("text", "trigger"),
    [
        ("append#3", MessageTrigger(message_class="append", count=3)),
        ("n1>vote_ok>#1", MessageTrigger(message_class="vote_ok", count=1, sender="n1")),
        (">vote>n2#1", MessageTrigger(message_class="vote", count=1, receiver="n2")),
        ("n1>vote>n2#12", MessageTrigger(message_class="vote", count=12, sender="n1", receiver="n2")),
        ("sync:n1#5", SyncTrigger(node="n1", count=5)),
        ("leader", RoleTrigger(role="leader")),
    ],
)
def test_a_trigger_is_read_and_said_again(text: str, trigger: Trigger) -> None:
    assert parse_trigger(text) == trigger
    assert str(trigger) == text
    word = parse(f"kill:n1@{text}")
    assert (word.verb, word.target, word.trigger, str(word)) == ("kill", "n1", trigger, f"kill:n1@{text}")


@pytest.mark.parametrize(
    "text", ["", "#1", "append#0", "append#-1", "append#x", "sync:n1", "sync:#1", "a>b>c>d#1", "lead er", "append#1@x"]
)
def test_what_is_no_trigger_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(UsageError, match="allowed: CLASS#K"):
        parse(f"kill:one@{text}")


def test_only_messages_that_fit_count() -> None:
    trigger = MessageTrigger(message_class="vote", count=1, sender="n1", receiver="n2")
    assert trigger.fits("vote", "n1", "n2")
    assert not any(trigger.fits(*other) for other in (("append", "n1", "n2"), ("vote", "n2", "n1"), ("vote", "n1", "n3")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n9>vote>#1", "names no node of the system 'n9'; allowed: n1, n2"),
        ("sync:n9#1", "names no node of the system 'n9'"),
        ("boss", "needs the role 'boss'; the system declares: leader"),
        ("append#1", "class 'append' is not declared; allowed: vote"),
    ],
)
def test_what_the_system_does_not_have_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_event(parse_trigger(text), SYSTEM, ALL)
    if "class" not in message:
        with pytest.raises(UsageError, match=message):
            check_nodes([f"kill:n1@{text}"], SYSTEM.node_names, SYSTEM.roles)


def test_a_runtime_that_cannot_tell_refuses_by_name() -> None:
    able = Runtime("process", ("message-events",))
    check_machines([parse("kill:n1@vote#1"), parse("kill:n1@leader")], SYSTEM, able)
    with pytest.raises(CapabilityError, match=r"^Trigger 'sync:n1#1': runtime process cannot tell; it does not"):
        check_machines([parse("kill:n1@sync:n1#1")], SYSTEM, able)
