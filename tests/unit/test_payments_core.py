"""Two-phase commit as a pure machine: its promises under any order of messages, losses, doubles and crashes."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from reference_systems.kit.disk import RealDisk
from reference_systems.kit.frames import Frame, FrameError
from reference_systems.kit.storage import CorruptLog, encode_record
from reference_systems.payments_2pc.config import Config, Placement
from reference_systems.payments_2pc.durable import LOG, Durable
from reference_systems.payments_2pc.locks import Locks
from reference_systems.payments_2pc.messages import Decision, Prepare, decode
from reference_systems.payments_2pc.requests import BadRequest, Request, parse
from reference_systems.payments_2pc.state import State
from tests.unit.payments_model import NODES, Model, storm, transfer

EACH = {"coordinator": "each"}


@pytest.mark.parametrize(
    "options",
    [{}, EACH, {**EACH, "presumed": "commit"}, {"presumed": "commit", "read_only": True}, {**EACH, "remembered": 6}],
    ids=["presumed-abort", "each", "presumed-commit", "read-only", "short-memory"],
)
def test_any_order_of_events_leaves_everybody_agreed_and_the_money_whole(options: dict[str, Any]) -> None:
    """AC1, AC5, conservation, at most one charge a key, no lock left: after 25 storms of each kind."""
    for seed in range(25):
        model = Model(**options)
        storm(model, random.Random(seed), 400)
        model.settle()
        decided: dict[str, set[str]] = {}
        for said in model.report("decisions").values():
            for part in ("decided", "coordinated"):
                for tx, word in said[part].items():
                    decided.setdefault(tx, set()).add(word)
            assert said["in_doubt"] == {}, seed

        assert [tx for tx, words in decided.items() if len(words) > 1] == [], seed
        assert sum(model.money().values()) == 8 * 100, seed
        assert min(model.money().values()) >= 0, seed
        assert all(said["held"] == {} for said in model.report("locks").values()), seed
        if "remembered" not in options:
            assert {times for said in model.report("charges").values() for times in said["applied"].values()} <= {1}, seed


def _paid(model: Model, key: str = "k", amount: int = 5) -> int:
    """a1 at n2 pays a2 at n3; n1 coordinates."""
    return model.ask("n1", transfer(key, ("a1", -amount), ("a2", amount)))


def test_a_key_is_charged_once_however_often_it_is_asked_for() -> None:
    model = Model()
    first, second = _paid(model), _paid(model)  # the second while the first is under way
    model.settle()
    third = _paid(model)
    model.crash("n2")
    fourth = _paid(model)
    model.settle()

    assert [model.answers[token]["status"] for token in (first, second, third, fourth)] == ["ok"] * 4
    assert model.money()["a1"] == 95


def test_a_key_of_another_transfer_is_refused() -> None:
    model = Model()
    _paid(model)
    model.settle()
    token = _paid(model, amount=6)
    model.settle()

    assert model.answers[token]["status"] == "bad_request"
    assert model.money()["a1"] == 95


def test_nothing_is_said_before_it_is_durable() -> None:
    """No vote before the promise, no commit and no answer before the decision is on the disk."""
    model = Model()
    token = _paid(model)
    model.deliver()
    model.deliver()
    assert model.flying == []
    model.sync("n2")
    model.sync("n3")
    model.deliver()
    model.deliver()
    assert model.flying == []
    assert token not in model.answers
    assert model.report("decisions")["n1"]["coordinated"] == {}
    model.sync("n1")
    assert model.report("decisions")["n1"]["coordinated"] == {"n1.1.1": "commit"}

    assert [type(message) for _, _, message in model.flying] == [Decision, Decision]
    assert model.answers[token]["status"] == "ok"


def test_a_late_question_is_refused_after_its_abort() -> None:
    """The question to n3 is overtaken by the abort: it locks nothing when it comes."""
    model = Model(presumed="commit")
    model.ask("n1", transfer("k", ("a1", -500), ("a2", 500)))
    model.sync("n1")
    late = next(at for at, (_, receiver, _) in enumerate(model.flying) if receiver == "n3")
    question = model.flying.pop(late)
    model.settle()
    model.flying.append(question)
    model.settle()

    assert isinstance(question[2], Prepare)
    assert model.report("locks")["n3"]["held"] == {}
    assert sum(model.money().values()) == 800


def test_an_unreachable_participant_aborts_the_transaction_when_time_is_up() -> None:
    model = Model()
    token = _paid(model)
    model.flying = [one for one in model.flying if one[1] != "n3"]
    model.settle(rounds=3)
    assert token not in model.answers
    model.settle(rounds=4)

    assert model.answers[token] == {"status": "aborted", "reason": "no vote from n3 in time"}
    assert model.report("locks")["n2"]["held"] == {}


def test_a_participant_in_doubt_keeps_its_locks_over_a_crash_and_says_since_when() -> None:
    model = Model()
    _paid(model)
    model.deliver()
    model.sync("n2")
    model.crash("n2")
    tx = next(iter(model.report("decisions")["n2"]["in_doubt"]))
    model.flying = []
    model.now += 7.0

    assert model.report("locks")["n2"] == {"held": {"a1": [tx]}, "in_doubt": {tx: 7.0}}


def test_reads_share_their_locks_and_stand_in_the_way_of_writers() -> None:
    locks = Locks()
    locks.acquire("r1", writes=(), reads=("a",))
    locks.acquire("r2", writes=(), reads=("a",))

    assert locks.blocker(writes=(), reads=("a",)) is None
    assert locks.blocker(writes=("a",), reads=()) == "r1"
    locks.release("r1")
    assert locks.blocker(writes=("a",), reads=()) == "r2"
    locks.release("r2")
    locks.acquire("w", writes=("a",), reads=())
    assert locks.blocker(writes=(), reads=("a",)) == "w"
    assert locks.held() == {"a": ["w"]}


def test_a_node_that_does_not_coordinate_says_who_does() -> None:
    model = Model()
    token = model.ask("n2", Request(f="total"))

    assert model.answers[token] == {"status": "not_coordinator", "coordinator": "n1"}


def test_a_total_reads_all_accounts_and_an_unknown_account_is_refused() -> None:
    model = Model()
    total, unknown = model.ask("n1", Request(f="total")), model.ask("n1", Request(f="balance", reads=("zz",)))
    model.settle()

    assert model.answers[total]["value"] == {f"a{number}": 100 for number in range(1, 9)}
    assert model.answers[unknown]["status"] == "bad_request"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "not JSON"),
        (b"[]", "f=None"),
        (b'{"f": "pay"}', "f='pay' is not known"),
        (b'{"f": "transfer", "key": "", "value": [["a", -1], ["b", 1]]}', "idempotency key"),
        (b'{"f": "transfer", "key": "k", "value": [["a", -1], ["b", 2]]}', "sum to 0"),
        (b'{"f": "transfer", "key": "k", "value": [["a", -1], ["a", 1]]}', "each once"),
        (b'{"f": "transfer", "key": "k", "value": [["a", true], ["b", -1]]}', "whole amounts"),
        (b'{"f": "transfer", "key": "k", "value": {"from": "a", "to": "b", "amount": "1"}}', "whole amounts"),
        (b'{"f": "balance"}', "name of an account"),
        (b'{"f": "total", "x": "' + b"x" * 2000 + b'"}', "too long"),
    ],
)
def test_a_bad_request_gets_one_clear_sentence(body: bytes, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        parse(body, longest_bytes=1000)


def test_both_forms_of_a_transfer_mean_the_same() -> None:
    pairs = parse(b'{"f": "transfer", "key": "k", "value": [["a", -1], ["b", 1]]}', longest_bytes=1000)

    assert parse(b'{"f": "transfer", "key": "k", "value": {"from": "a", "to": "b", "amount": 1}}', longest_bytes=1000) == pairs


@pytest.mark.parametrize("body", [b"", b"[]", b'["t"]', b'["n1.1.x"]', b'["n1.1.1", 2]', b"{}", b"null"])
@pytest.mark.parametrize("kind", range(9))
def test_garbage_on_the_peer_port_is_no_message(kind: int, body: bytes) -> None:
    if kind in (5, 6) and body == b'["n1.1.1"]':
        return
    with pytest.raises(FrameError):
        decode(Frame(kind=kind, body=body))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"account": 3}, "has no option account"),
        ({"presumed": "nothing"}, "abort or commit"),
        ({"accounts": 0}, "a number from 1"),
        ({"read_only": 1}, "true or false"),
        ({"coordinator": ""}, "a name"),
    ],
)
def test_an_option_that_is_off_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Config.of(options)


def test_a_coordinator_that_is_no_node_is_refused() -> None:
    with pytest.raises(ValueError, match="each, or one of n1, n2, n3"):
        Placement(NODES, Config(coordinator="n9"))


async def _open(directory: Path) -> tuple[Durable, State]:
    state = State(balances={"a": 100})
    return await Durable.open(RealDisk(directory), state, compact_bytes=100), state


PROMISE = {"kind": "prepared", "tx": "n1.1.1", "operation": 1, "key": "k", "legs": [["a", -5]], "reads": []}
DECIDED = {"kind": "decided", "tx": "n1.1.1", "commit": True}


def test_what_was_written_is_found_again_in_each_life_and_after_compaction(tmp_path: Path) -> None:
    async def story() -> list[dict[str, Any]]:
        durable, state = await _open(tmp_path)
        for record in (PROMISE, DECIDED):
            state.apply(record)
        await durable.write([PROMISE, DECIDED])
        assert durable.is_long
        _, second = await _open(tmp_path)
        await durable.compact(state.encode())
        _, third = await _open(tmp_path)
        return [second.dump(), third.dump()]

    for life, found in enumerate(asyncio.run(story()), start=2):
        assert found["incarnation"] == 2, life  # the second's boot went with the log that was replaced
        assert found["balances"] == {"a": 95}
        assert found["charges"] == {"k": (1, (("a", -5),))}


def test_a_record_that_does_not_fit_is_no_crash_and_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        await RealDisk(tmp_path).write(LOG, encode_record(b'[{"kind": "prepared"}]'))
        await _open(tmp_path)

    with pytest.raises(CorruptLog, match="does not fit"):
        asyncio.run(story())
