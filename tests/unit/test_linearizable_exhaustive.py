"""The checker agrees with brute force on thousands of random histories; so does each of its parts."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from pytest_coordchaos.checkers.block_order import contradiction_of, order_of, stuck_mismatch
from pytest_coordchaos.checkers.blocks import blocks_of
from pytest_coordchaos.checkers.certificate import is_certificate
from pytest_coordchaos.checkers.counterexample import minimised
from pytest_coordchaos.checkers.frontier import Frontier
from pytest_coordchaos.checkers.linearizable import Budget, examine, objects_of
from pytest_coordchaos.checkers.locks_and_transactions import multi_register, mutex
from pytest_coordchaos.checkers.models import Model
from pytest_coordchaos.checkers.registers import cas_register, key_value
from pytest_coordchaos.history.model import Operation
from pytest_coordchaos.verdicts import Status
from tests.unit.histories import Draw, explained, in_order

KINDS: dict[str, list[Model]] = {
    "register": [cas_register(None), cas_register(0), cas_register(0, nil_reads_unknown=True)],
    "key-value": [key_value(), key_value(0)],
    "text": [key_value(""), key_value(None)],
    "list": [key_value(append="list")],
    "mutex": [mutex()],
    "transaction": [multi_register(0), multi_register({"x": 0, "y": 1}), multi_register(0, nil_reads_unknown=True)],
}
ROUNDS = 1500


def drawn(kind: str, rounds: int = ROUNDS, seed: str = "") -> list[tuple[Model, list[Operation]]]:
    """Random histories of a kind, each with a model of it; the same ones in every run."""
    histories = []
    for number in range(rounds):
        rng = random.Random(f"{seed}{kind}/{number}")
        model = rng.choice(KINDS[kind])
        histories.append((model, Draw(rng, kind, model).history()))
    return histories


def failure_of(operations: Sequence[Operation], model: Model) -> Frontier | None:
    """The frontier search when it failed; None when all was explained."""
    frontier = Frontier(operations, model)
    for _ in frontier.run():
        pass
    return frontier if frontier.failed_at else None


def bare(model: Model) -> Model:
    """The model as a user writes one: a step, and nothing that helps the search."""
    return Model(name="bare", initial=model.initial, step=model.step, partition=model.partition)


@pytest.mark.parametrize("kind", KINDS)
def test_verdict_is_that_of_brute_force(kind: str) -> None:
    """Every model, with crashed and failed operations, repeated values and equal timestamps."""
    seen: Counter[bool] = Counter()
    for model, operations in drawn(kind):
        expected = all(explained(of_key, model) for of_key in objects_of(operations, model).values())
        found = examine(operations, model, Budget())
        assert (found.status is Status.HELD) == expected, operations
        seen[expected] += 1
    assert min(seen[True], seen[False]) > ROUNDS // 10, "the histories must be of both sorts"


@pytest.mark.parametrize("kind", KINDS)
def test_frontier_alone_is_right_with_and_without_its_reductions(kind: str) -> None:
    """The search agrees with brute force for the model as it is, and for its bare step function."""
    for model, operations in drawn(kind, 700, "frontier/"):
        for of_key in objects_of(operations, model).values():
            expected = explained(of_key, model)
            assert (failure_of(of_key, model) is None) == expected, of_key
            assert (failure_of(of_key, bare(model)) is None) == expected, of_key


def test_blocks_prove_or_refute_and_are_never_wrong() -> None:
    """With unique values: an order that is a proof, or operations that contradict each other on their own."""
    seen: Counter[str] = Counter()
    for model, operations in [*drawn("register", 3000, "blocks/"), *drawn("key-value", 3000, "blocks/")]:
        for of_key in objects_of(operations, model).values():
            cut = blocks_of(of_key, model)
            if cut is None:
                continue
            contradiction = contradiction_of(cut)
            order = order_of(cut) if cut.whole and not contradiction else None
            if order is not None and is_certificate(order, model):
                assert explained(of_key, model), of_key
                seen["proven"] += 1
                continue
            contradiction = contradiction or stuck_mismatch(cut)
            if contradiction is None:
                seen["undecided" if cut.whole else "left out"] += 1
                continue
            assert not explained(of_key, model), of_key
            shown = in_order([*contradiction.operations, *contradiction.context])
            assert not explained(shown, model), "the operations shown must contradict each other on their own"
            assert 1 <= len(contradiction.operations) <= 4
            seen["refuted" if cut.whole else "refuted in part"] += 1
    assert seen["proven"] > 1500
    assert seen["refuted"] > 300
    assert seen["refuted in part"] > 100
    assert seen["undecided"] < 60, "only mismatches that fit nowhere at once are left to the search"


@pytest.mark.parametrize("kind", KINDS)
def test_a_minimised_sub_history_is_a_violation_on_its_own(kind: str) -> None:
    """What is shown contradicts the model without the operations that are not shown."""
    shown = 0
    for model, operations in drawn(kind, 700, "minimised/"):
        for of_key in objects_of(operations, model).values():
            failure = failure_of(of_key, model)
            if failure is None:
                continue
            part = minimised(of_key, failure.failed_by_ns, model)
            assert not explained(part, model), (of_key, part)
            assert {one.id for one in part} <= {one.id for one in of_key}
            shown += 1
    assert shown > 50


def test_time_shifted_and_scaled_histories_have_the_same_verdict() -> None:
    """Only the order of events counts, not their times."""
    for model, operations in drawn("register", 300, "scaled/"):
        scaled = [
            replace(
                one, invoke_ns=one.invoke_ns * 7 + 3, return_ns=one.return_ns if one.return_ns > 10**9 else one.return_ns * 7 + 3
            )
            for one in operations
        ]
        assert examine(scaled, model, Budget()).status is examine(operations, model, Budget()).status
