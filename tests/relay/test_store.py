"""The store of messages: bounded, and honest about what it no longer has."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_coordchaos.relay.framing import Frame
from pytest_coordchaos.relay.store import BATCH_BIT, ROW, Store, Tally

SEGMENT = 32768


def test_a_full_store_forgets_the_oldest_and_says_how_many() -> None:
    store, tally = Store(max_messages=2 * SEGMENT), Tally(0)
    for row in range(3 * SEGMENT):
        store.add([("a", 1, (row + 1,))], tally, row, row)

    window = store.window(0, store.next_row)
    assert window.missing == SEGMENT
    assert [row[5] for row in ROW.iter_unpack(window.rows)] == list(range(SEGMENT + 1, 3 * SEGMENT + 1))
    assert store.window(SEGMENT, store.next_row).missing == 0
    assert store.window(0, 10).missing == 10
    assert tally.messages == 3 * SEGMENT, "counters lose nothing"


def test_noting_the_delivery_of_a_forgotten_message_is_harmless() -> None:
    store, tally = Store(max_messages=2 * SEGMENT), Tally(0)
    frames: list[Frame] = [("a", 1, ())] * SEGMENT
    first = store.add(frames, tally, 1, 0)
    for _ in range(2):
        store.add(frames, tally, 2, 2)
    store.deliver(first + SEGMENT - 2, 4, 9)

    assert [row[1] for row in ROW.iter_unpack(store.window(SEGMENT, SEGMENT + 3).rows)] == [9, 9, 2]


def test_classes_without_end_are_gathered_under_one_name() -> None:
    store, tally = Store(), Tally(0)
    store.add([(f"class {n}", 1, ()) for n in range(20_000)], tally, 1, 1)

    assert len(store.class_names) == 10_001
    assert store.class_names[-1] == "other"
    assert {row[3] for row in ROW.iter_unpack(store.window(15_000, 20_000).rows)} == {10_000}


batches = st.lists(st.integers(0, 2**64 - 1), max_size=4).map(tuple)


@given(st.lists(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2**40), batches), max_size=4), max_size=8), st.data())
def test_what_is_added_is_read_back(groups: list[list[tuple[str, int, tuple[int, ...]]]], data: st.DataObject) -> None:
    store, tally = Store(), Tally(6)
    firsts = [store.add(group, tally, number, 0) for number, group in enumerate(groups)]
    delivered = data.draw(st.sets(st.sampled_from(range(len(groups))) if groups else st.nothing()))
    for number in delivered:
        store.deliver(firsts[number], len(groups[number]), 1000 + number)
    window = store.window(0, store.next_row)

    read = [
        (
            store.class_names[row[3]],
            row[4],
            window.batches[row[5] & ~BATCH_BIT] if row[5] & BATCH_BIT else (row[5],) if row[5] else (),
        )
        for row in ROW.iter_unpack(window.rows)
    ]
    assert read == [(name, size, () if ids == (0,) else ids) for group in groups for name, size, ids in group]
    assert tally.framed == sum(size for group in groups for _, size, _ in group)
    times = [row[:3] for row in ROW.iter_unpack(window.rows)]
    assert times == [(n, 1000 + n if n in delivered else 0, 6) for n, group in enumerate(groups) for _ in group]
