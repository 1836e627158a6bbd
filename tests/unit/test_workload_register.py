"""The register workload: unique values, plausible compare-and-sets, the same stream for the same seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from itertools import islice, pairwise

import pytest

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.workloads.model import Request
from pytest_coordchaos.workloads.register import register


def first(count: int, seed: int = 1, **options: object) -> list[Request]:
    """The first requests of a register workload."""
    return list(islice(register(**options).requests(random.Random(seed)), count))  # type: ignore[arg-type]  # the tests' own options


def written(request: Request) -> int:
    """The value that a put or cas would leave."""
    value = request.value[1] if request.f == "cas" else request.value
    assert isinstance(value, int)
    return value


def test_every_written_value_is_new_and_larger() -> None:
    values = [written(request) for request in first(3000, cas_share=0.3) if request.f != "get"]
    assert all(one < two for one, two in pairwise(values))
    assert len(values) > 1000


def test_a_cas_expects_one_of_the_last_values_written_to_its_key() -> None:
    history: dict[str, list[int]] = {}
    expected_positions = Counter[int]()
    for request in first(3000, cas_share=0.4):
        if request.f == "cas":
            expected_positions[history[request.key][::-1].index(request.value[0])] += 1
        if request.f != "get":
            history.setdefault(request.key, []).append(written(request))
    assert set(expected_positions) == {0, 1, 2}


def test_the_first_write_of_a_key_is_a_put() -> None:
    seen: set[str] = set()
    for request in first(200, keys=20, read_share=0.0, cas_share=1.0):
        assert (request.f == "cas") == (request.key in seen)
        seen.add(request.key)


def test_shares_and_keys_are_as_asked() -> None:
    kinds = Counter(request.f for request in first(10_000, read_share=0.5, cas_share=0.1))
    assert abs(kinds["get"] - 5000) < 250
    assert abs(kinds["cas"] - 1000) < 150
    assert {request.key for request in first(100)} == {"x", "y", "z"}
    assert {request.key for request in first(100, keys=2)} == {"k1", "k2"}
    assert {request.f for request in first(100, read_share=1.0, cas_share=0.0)} == {"get"}


def test_the_same_seed_asks_the_same_and_another_seed_writes_other_values() -> None:
    assert first(500, seed=7) == first(500, seed=7)
    one, two = ({written(request) for request in first(500, seed=seed) if request.f != "get"} for seed in (7, 8))
    assert not one & two


def test_the_stream_is_the_same_on_every_python_version() -> None:
    assert [(request.f, request.key, request.value) for request in first(6, seed=3, cas_share=0.3)] == GOLDEN


def test_it_brings_its_invariant_and_model() -> None:
    workload = register(clients=7, rate_per_s=50, operations=9, timeout_s=2.0)
    assert (workload.invariants, workload.model, workload.clients) == (("linearizable",), "key-value", 7)
    assert (workload.rate_per_s, workload.operations, workload.timeout_s) == (50, 9, 2.0)


@pytest.mark.parametrize(
    "options",
    [
        {"keys": 0},
        {"keys": ()},
        {"keys": "xyz"},
        {"keys": ("x", "x")},
        {"clients": 0},
        {"clients": True},
        {"rate_per_s": 0},
        {"read_share": 1.1},
        {"cas_share": -0.1},
        {"read_share": 0.7, "cas_share": 0.4},
        {"operations": 0},
        {"timeout_s": 0},
    ],
)
def test_a_wrong_option_is_refused_by_name(options: Mapping[str, object]) -> None:
    with pytest.raises(UsageError, match=rf"^register\(.*{next(iter(options))}.*\) is not allowed; allowed: "):
        register(**options)  # type: ignore[arg-type]  # wrong on purpose


GOLDEN: list[tuple[str, str, object]] = [
    ("get", "y", None),
    ("get", "y", None),
    ("get", "z", None),
    ("get", "z", None),
    ("put", "y", 237000001),
    ("put", "y", 237000002),
]
