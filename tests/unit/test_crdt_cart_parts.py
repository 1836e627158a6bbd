"""The cart's disk, messages, requests, options and workload, each by itself."""

from __future__ import annotations

import asyncio
import json
import random
from itertools import islice
from pathlib import Path

import pytest

from pytest_coordchaos import UsageError
from reference_systems.crdt_cart.cart import Cart
from reference_systems.crdt_cart.core import Replica, Stored
from reference_systems.crdt_cart.durable import WAL, Durable
from reference_systems.crdt_cart.messages import DELTA, Ack, Interval, packed
from reference_systems.crdt_cart.requests import BadRequest, Request, parse
from reference_systems.crdt_cart.system import system
from reference_systems.crdt_cart.workload import carts
from reference_systems.kit.disk import RealDisk
from reference_systems.kit.frames import Frame, FrameError
from reference_systems.kit.storage import CorruptLog


async def _life(directory: Path, operations: range, *, replace: bool = False) -> Stored:
    """A node's disk in one life: what it finds, then one add an operation; returns what it found."""
    durable, found = await Durable.open(RealDisk(directory), lambda: f"n1.{operations.start}", Cart)
    replica = Replica(found, neighbours=(), life=1, max_deltas=4, max_operations=3)
    for operation in operations:
        write = replica.add(operation, f"item{operation}", operation)
        await durable.write([write])
        replica.became_durable(write)
    if replace:
        await durable.replace(replica.stored())
    return found


@pytest.mark.parametrize("replace", [False, True])
def test_a_new_life_finds_identity_cart_and_answers(tmp_path: Path, replace: bool) -> None:
    first = asyncio.run(_life(tmp_path, range(1, 6), replace=replace))
    second = asyncio.run(_life(tmp_path, range(6, 8)))
    third = asyncio.run(_life(tmp_path, range(8, 8)))

    assert (first.identity, second.identity, third.identity) == ("n1.1",) * 3
    assert (first.cart, second.cart.quantities()) == (Cart(), {f"item{number}": number for number in range(1, 6)})
    assert sorted(third.cart.quantities().values()) == [1, 2, 3, 4, 5, 6, 7]
    assert set(third.answers) >= {5, 6, 7}


def test_a_torn_last_record_is_cut_off_and_damage_before_it_is_refused(tmp_path: Path) -> None:
    asyncio.run(_life(tmp_path, range(1, 4)))
    whole = (tmp_path / WAL).read_bytes()
    (tmp_path / WAL).write_bytes(whole[:-3])
    assert sorted(asyncio.run(_life(tmp_path, range(4, 4))).cart.quantities()) == ["item1", "item2"]

    (tmp_path / WAL).write_bytes(whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])
    with pytest.raises(CorruptLog):
        asyncio.run(_life(tmp_path, range(4, 4)))


def test_a_long_log_is_replaced_by_less(tmp_path: Path) -> None:
    async def sizes() -> tuple[int, int]:
        durable, found = await Durable.open(RealDisk(tmp_path), lambda: "n1", Cart)
        replica = Replica(found, neighbours=(), life=1, max_deltas=4, max_operations=3)
        for operation in range(1, 101):
            change = replica.add(operation, "pen", 1) if operation % 2 else replica.remove(operation, "pen")
            await durable.write([change])
            replica.became_durable(change)
        before = durable.size
        await durable.replace(replica.stored())
        return before, durable.size

    before, after = asyncio.run(sizes())
    assert after < before / 20


def test_messages_go_through_their_bytes_and_garbage_is_refused() -> None:
    interval = Interval(question=1, life=2, first=3, last=4, cart=Cart().add("n1.a", "pen", 2, 7))
    ack = Ack(question=1, life=5, reached=4)

    assert Interval.of(interval.frame(1), Cart) == interval
    assert Ack.of(ack.frame(2)) == ack
    for body in (b"", b"[]", b"[1,2,3,4,5]", b"{", b'{"a":1}', packed([1, 2, 3, 4, [[["pen", [[1]]]], [[], []]]])):
        with pytest.raises(FrameError):
            Interval.of(Frame(kind=DELTA, body=body), Cart)
    with pytest.raises(FrameError):
        Ack.of(Frame(kind=DELTA, body=b"[1]"))


@pytest.mark.parametrize(
    "document",
    [
        "no object",
        {},
        {"f": "pay"},
        {"f": "add"},
        {"f": "add", "item": ""},
        {"f": "add", "item": "x" * 201},
        {"f": "add", "item": "pen", "quantity": 0},
        {"f": "add", "item": "pen", "quantity": True},
        {"f": "remove", "item": 7},
    ],
)
def test_bad_requests_are_refused_with_what_is_allowed(document: object) -> None:
    with pytest.raises(BadRequest):
        parse(Frame(kind=1, operations=(3,), body=json.dumps(document).encode()))


def test_a_request_carries_its_operation() -> None:
    body = json.dumps({"f": "add", "item": "pen", "quantity": 2}).encode()

    assert parse(Frame(kind=1, operations=(3,), body=body)) == Request(f="add", item="pen", quantity=2, operation=3)


def test_options_that_are_off_are_refused() -> None:
    with pytest.raises(ValueError, match="crdt_cart has no option colour; it has: sync_ms"):
        system(colour=1)
    with pytest.raises(ValueError, match="sync_ms=0 is not allowed: a number from 1"):
        system(sync_ms=0)


def test_the_workload_draws_what_was_asked_for_and_the_same_for_a_seed() -> None:
    drawn = list(islice(carts(items=2, remove_share=0.5, read_share=0.1).requests(random.Random(4)), 2000))
    again = list(islice(carts(items=2, remove_share=0.5, read_share=0.1).requests(random.Random(4)), 2000))
    shares = {f: sum(request.f == f for request in drawn) / 2000 for f in ("add", "remove", "read")}

    assert drawn == again
    assert shares == pytest.approx({"add": 0.4, "remove": 0.5, "read": 0.1}, abs=0.05)
    assert {request.key for request in drawn} == {"item1", "item2", None}
    with pytest.raises(UsageError, match="at most 1 together"):
        carts(remove_share=0.8, read_share=0.3)
    with pytest.raises(UsageError, match="items=0"):
        carts(items=0)
