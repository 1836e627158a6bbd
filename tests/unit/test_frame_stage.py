"""Frames meet what is drawn for them, whole and alone, however the stream is chopped; all else passes untouched."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_coordchaos.faults.model import FrameKind, FrameRule
from pytest_coordchaos.relay.frame_formats import (
    DATAGRAM_CLASS,
    DatagramFormat,
    FrameFormat,
    FramesFormat,
    LinesFormat,
    format_of,
)
from pytest_coordchaos.relay.frame_script import script_of
from pytest_coordchaos.relay.frame_stage import LATEST_NS, FrameStage, ReplyStage, draws_of
from pytest_coordchaos.relay.framing.frames import FramesFramer
from pytest_coordchaos.relay.framing.json_lines import JsonLinesFramer
from pytest_coordchaos.relay.toxics.base import ABORT, EOF, NEVER, RESET, Item
from tests.relay.rig import frame

CLASSES = {1: "vote", 2: "append"}
ALWAYS = {kind: (FrameRule(kind, (), 1.0),) for kind in FrameKind}
RATES = (0.3, 0.8, 1.0)
ONE, TWO, THREE = (frame(1, 0, body) for body in (b"one", b"two", b"three"))
frames = st.lists(st.builds(frame, st.integers(0, 3), st.just(0), st.binary(max_size=40)), max_size=8)
lines = st.lists(
    st.sampled_from((b"\n", b"  \n", b'{"type": "vote"}\n', b"no json\n", b'{"n": 1, "body": {"type": "append"}}\n')), max_size=8
)
cuts = st.lists(st.integers(1, 30), max_size=30)
some_rules = st.lists(
    st.builds(
        FrameRule,
        st.sampled_from(FrameKind),
        st.sampled_from(((), ("vote",), ("append", "vote"))),
        st.sampled_from((0.3, 0.8, 1.0)),
    ),
    max_size=4,
)


def stage(rules: Sequence[FrameRule] = (), seed: str = "1", form: FrameFormat | None = None, **begun: object) -> FrameStage:
    """A stage for the frames of this test."""
    return FrameStage(form or FramesFormat(CLASSES), draws_of(seed), tuple(rules), **begun)  # type: ignore[arg-type]  # head, rest


def given_out(one: FrameStage | ReplyStage, now_ns: int = 0) -> list[Item]:
    """What it gives out by now."""
    items = []
    while (item := one.take(now_ns)) is not None:
        items.append(item)
    return items


def data_of(items: list[Item]) -> bytes:
    """Its bytes."""
    return b"".join(item[1] for item in items)


def chopped(data: bytes, sizes: list[int]) -> list[bytes]:
    """The same bytes in pieces."""
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [piece for piece in (*pieces, data) if piece]


def through(one: FrameStage, pieces: list[bytes]) -> bytes:
    """All that comes out in no time, and at the end."""
    for piece in pieces:
        one.put((0, piece, 0, 0), 0)
    return data_of(given_out(one)) + data_of(one.flush())


@given(frames, cuts)
def test_without_rules_every_byte_passes_in_order(sent: list[bytes], sizes: list[int]) -> None:
    data = b"".join(sent)
    assert through(stage(), chopped(data, sizes)) == data


@given(st.binary(max_size=200), cuts, some_rules)
def test_garbage_passes_untouched(data: bytes, sizes: list[int], rules: list[FrameRule]) -> None:
    data = b"\xff\xff\xff\xff" + data
    assert through(stage(rules), chopped(data, sizes)) == data


@given(frames, cuts, cuts, some_rules)
def test_fates_do_not_depend_on_how_the_stream_is_chopped(
    sent: list[bytes], sizes: list[int], others: list[int], rules: list[FrameRule]
) -> None:
    data = b"".join(sent)
    assert through(stage(rules), chopped(data, sizes)) == through(stage(rules), chopped(data, others))


@given(lines, cuts, cuts, some_rules)
def test_lines_meet_their_fates_as_frames_do(
    sent: list[bytes], sizes: list[int], others: list[int], rules: list[FrameRule]
) -> None:
    data = b"".join(sent)
    assert through(stage(form=LinesFormat()), chopped(data, sizes)) == data
    first, second = (through(stage(rules, form=LinesFormat()), chopped(data, one)) for one in (sizes, others))
    assert first == second


@pytest.mark.parametrize(
    ("kind", "arrives"),
    [
        (FrameKind.LOSE, b""),
        (FrameKind.DUPLICATE, ONE + ONE + TWO + TWO + THREE + THREE),
        (FrameKind.REORDER, TWO + ONE + THREE),
    ],
)
def test_what_always_happens_happens_to_every_frame(kind: FrameKind, arrives: bytes) -> None:
    assert through(stage(ALWAYS[kind]), [ONE + TWO + THREE]) == arrives


@given(st.binary(min_size=1, max_size=40), st.text())
def test_one_bit_of_the_body_is_flipped_and_the_header_stays(body: bytes, seed: str) -> None:
    sent = frame(1, 7, body)
    came = through(stage(ALWAYS[FrameKind.CORRUPT], seed), [sent])
    assert came[:16] == sent[:16]
    assert (int.from_bytes(came, "big") ^ int.from_bytes(sent, "big")).bit_count() == 1


@given(st.binary(max_size=40).filter(lambda line: b"\n" not in line), st.floats(0, 1, exclude_max=True))
def test_no_newline_is_made_or_lost(line: bytes, place: float) -> None:
    came = LinesFormat().corrupt(line + b"\n", place)
    assert came.endswith(b"\n")
    assert came.count(b"\n") == 1
    assert (came != line + b"\n") is bool(line)


def test_a_frame_without_a_body_has_nothing_to_corrupt() -> None:
    assert through(stage(ALWAYS[FrameKind.CORRUPT]), [frame(1)]) == frame(1)


def test_only_the_classes_named_are_struck() -> None:
    rules = (FrameRule(FrameKind.LOSE, ("append",), 1.0),)
    vote, append, other = frame(1, 0, b"v"), frame(2, 0, b"a"), frame(9, 0, b"o")
    assert through(stage(rules), [vote + append + other]) == vote + other
    assert through(stage((FrameRule(FrameKind.LOSE, ("class-9",), 1.0),)), [vote + append + other]) == vote + append


def test_rates_are_kept_and_seeds_decide() -> None:
    rules = (FrameRule(FrameKind.LOSE, (), 0.2),)
    came = [through(stage(rules, seed), [frame(1, 0, b"x")] * 2000) for seed in ("1", "1", "2")]
    assert came[0] == came[1]
    assert came[0] != came[2] or len(came[0]) != len(came[2])
    assert 0.75 < len(came[0]) / len(frame(1, 0, b"x") * 2000) < 0.85


def test_other_rules_do_not_change_who_is_lost() -> None:
    """Draws belong to frames, not to rules."""
    sent = [frame(1, 0, bytes([number])) for number in range(200)]
    lose = FrameRule(FrameKind.LOSE, (), 0.3)
    alone = through(stage((lose,)), sent)
    both = through(stage((lose, FrameRule(FrameKind.DUPLICATE, (), 0.5))), sent)
    assert {body[16] for body in _split(alone)} == {body[16] for body in _split(both)}


def test_a_late_frame_does_not_wait_for_ever() -> None:
    one = stage(ALWAYS[FrameKind.REORDER])
    one.put((5, ONE, 0, 0), 5)
    assert given_out(one, 5 + LATEST_NS - 1) == []
    assert one.due_ns() == 5 + LATEST_NS
    assert data_of(given_out(one, 5 + LATEST_NS)) == ONE
    assert one.due_ns() == NEVER


@pytest.mark.parametrize("mark", [EOF, RESET])
def test_what_was_said_before_a_mark_goes_before_it(mark: bytes) -> None:
    one = stage(ALWAYS[FrameKind.REORDER])
    one.put((0, ONE + TWO[:9], 0, 0), 0)
    one.put((1, mark, 0, 0), 1)
    assert [item[1] for item in given_out(one, 1)] == [ONE, TWO[:9], mark]


def test_each_frame_keeps_its_row_in_the_ledger_and_a_copy_has_none() -> None:
    doubled = stage(ALWAYS[FrameKind.DUPLICATE])
    doubled.put((0, ONE + TWO[:5], 10, 1), 0)
    doubled.put((1, TWO[5:] + THREE, 11, 2), 1)
    assert [(item[1], *item[2:]) for item in given_out(doubled)] == [
        (ONE, 10, 1), (ONE, 0, 0), (TWO, 11, 1), (TWO, 0, 0), (THREE, 12, 1), (THREE, 0, 0)
    ]  # fmt: skip
    picky = stage((FrameRule(FrameKind.LOSE, ("append",), 1.0),))
    picky.put((0, ONE + frame(2) + THREE, 10, 3), 0)
    assert [item[2:] for item in given_out(picky)] == [(10, 1), (12, 1)]


def test_a_blank_line_is_no_message_and_has_no_row() -> None:
    one = stage(form=LinesFormat())
    one.put((0, b'\n{"type": "vote"}\n \n{"n": 1}\n', 10, 2), 0)
    assert [item[2:] for item in given_out(one)] == [(0, 0), (10, 1), (0, 0), (11, 1)]


@pytest.mark.parametrize("gone", range(len(ONE + TWO) + 1))
def test_a_frame_whose_beginning_went_on_before_goes_on_to_its_end(gone: int) -> None:
    """The stage comes in force in mid-stream: it must not cut a frame in two."""
    sent, framer = ONE + TWO + THREE, FramesFramer(CLASSES)
    before = sum(end <= gone for end in (len(ONE), len(ONE + TWO)))
    framer.feed(sent[:gone])
    head, rest = framer.unfinished()
    one = stage(ALWAYS[FrameKind.LOSE], head=head, rest=rest)
    ends = (0, len(ONE), len(ONE + TWO), len(sent))
    begun_to = gone if gone in ends else next(end for end in ends if end > gone)
    count = len((ONE, TWO, THREE)) - before
    one.put((0, sent[gone:], 10, count), 0)
    came = given_out(one)
    assert data_of(came) == sent[gone:begun_to]
    assert [item[2:] for item in came] == ([(10, 1)] if gone not in ends else [])


@pytest.mark.parametrize("gone", range(24))
def test_a_line_whose_beginning_went_on_before_goes_on_to_its_end(gone: int) -> None:
    sent, framer = b'{"n": 1}\n {"n": 2}\n\n{}\n', JsonLinesFramer()
    framer.feed(sent[:gone])
    head, rest = framer.unfinished()
    one = stage(ALWAYS[FrameKind.LOSE], form=LinesFormat(), head=head, rest=rest)
    came = through(one, [sent[gone:]])
    whole = not gone or sent[:gone].endswith(b"\n")
    begun = b"" if whole else sent[gone : sent.index(b"\n", gone) + 1]
    assert came.strip(b"\n") == begun.strip(b"\n")


def test_rules_may_change_in_mid_frame_and_the_last_ones_count() -> None:
    one = stage(ALWAYS[FrameKind.LOSE])
    one.put((0, ONE[:10], 0, 0), 0)
    one.set_rules(ALWAYS[FrameKind.DUPLICATE])
    one.put((1, ONE[10:], 0, 0), 1)
    assert data_of(given_out(one)) == ONE + ONE


def test_a_removed_stage_gives_up_the_beginning_of_a_frame() -> None:
    one = stage(ALWAYS[FrameKind.LOSE])
    one.put((0, ONE + TWO[:7], 0, 0), 0)
    assert data_of(one.remove(1)) == TWO[:7]


@pytest.mark.parametrize(
    ("datagram", "name"),
    [(ONE, "vote"), (ONE + TWO, DATAGRAM_CLASS), (ONE[:-1], DATAGRAM_CLASS), (b"", DATAGRAM_CLASS), (b"hi", DATAGRAM_CLASS)],
)
def test_a_datagram_is_one_message_of_the_class_that_it_holds(datagram: bytes, name: str) -> None:
    form = DatagramFormat(format_of("frames", CLASSES))
    assert form.class_of(datagram) == name
    assert form.end(bytearray(datagram), 0) == len(datagram)


def test_a_datagram_of_json_may_end_without_a_newline() -> None:
    form = DatagramFormat(LinesFormat())
    for text, name in ((b'{"type": "ping"}', "ping"), (b'{"type": "ping"}\n', "ping"), (b"{}\n{}", DATAGRAM_CLASS)):
        assert form.class_of(text) == name


@pytest.mark.parametrize("protocol", ["frames", "json-lines"])
@given(rules=some_rules)
def test_a_probe_is_passed_by_the_rules_it_was_made_for_and_by_no_others(protocol: str, rules: list[FrameRule]) -> None:
    form = format_of(protocol, CLASSES)
    assert form is not None
    unique = tuple({(rule.kind, rule.classes): rule for rule in rules}.values())
    script = script_of(protocol, CLASSES, unique)

    def came(in_force: Sequence[FrameRule]) -> bytes:
        return through(FrameStage(form, script.next_draws(), in_force), [b"".join(script.frames)])

    assert script.wrong(came(unique)) == ""
    assert len(came(unique)) == script.arriving_bytes
    for rule in unique:
        without = [one for one in unique if one is not rule]
        if any(one.kind is rule.kind for one in without):
            continue  # together they may do the same
        weaker = FrameRule(rule.kind, rule.classes, rule.rate / 2)
        assert script.wrong(came(without))
        assert script.wrong(came([*without, weaker]))


def test_the_first_reply_resets_and_nothing_follows_it() -> None:
    one = ReplyStage(greets=False)
    for item in ((0, b"reply", 3, 1), (1, b"more", 0, 0), (2, EOF, 0, 0)):
        one.put(item, 0)
    assert given_out(one, 2) == [(0, ABORT, 0, 0)]


def test_where_nodes_greet_the_first_whole_reply_resets() -> None:
    one = ReplyStage(greets=True)
    for item in ((0, b"hello", 0, 0), (1, b"reply", 3, 1)):
        one.put(item, 0)
    assert [item[1] for item in given_out(one, 2)] == [b"hello", ABORT]


def test_an_end_of_stream_is_no_reply() -> None:
    one = ReplyStage(greets=False)
    one.put((0, EOF, 0, 0), 0)
    assert [item[1] for item in given_out(one)] == [EOF]


def _split(data: bytes) -> list[bytes]:
    size = len(frame(1, 0, b"x"))
    return [data[at : at + size] for at in range(0, len(data), size)]
