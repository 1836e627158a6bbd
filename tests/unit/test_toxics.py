"""Stages of toxics in a chain, in a time of the test's own: nothing is lost, nothing waits for a stalled receiver."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import pytest

from pytest_coordchaos.relay.toxics.base import ABORT, CLOSE, EOF, MARKS, NEVER, Item
from pytest_coordchaos.relay.toxics.chain import Chain
from pytest_coordchaos.relay.toxics.collection import Toxic, Toxics
from pytest_coordchaos.relay.toxics.registry import TYPES
from pytest_coordchaos.relay.toxics.toxic import MS, ToxicStage

Out = list[tuple[float, bytes]]
LOSSLESS: dict[str, Mapping[str, int]] = {
    "latency": {"latency": 30, "jitter": 20},
    "bandwidth": {"rate": 50},
    "slow_close": {"delay": 40},
    "slicer": {"average_size": 90, "size_variation": 30, "delay": 300},
    "noop": {},
}


class Host:
    """A chain, its receiver, and a clock that runs when it is told to.

    Attributes:
        out: (milliseconds, data or mark) of everything that came out.
        open: The receiver takes something.
    """

    def __init__(self, *stages: ToxicStage) -> None:
        self.now_ns = 0
        self.chain = Chain()
        self.out: Out = []
        self.open = True
        for stage in stages:
            self.chain.insert(len(self.chain.stages), stage)

    def put(self, *parts: bytes) -> None:
        for data in parts:
            self.chain.put((self.now_ns, data, 0, 0), self.now_ns)
            self.advance()

    def advance(self) -> None:
        self.chain.advance(self.now_ns, lambda: self.open, self._out)

    def run(self, until_ms: float) -> None:
        """Go from wake-up to wake-up."""
        self.advance()
        while (due := self.chain.due_ns(self.open)) <= until_ms * MS:
            assert due >= 0
            self.now_ns = max(self.now_ns, due)
            self.advance()
        self.now_ns = round(until_ms * MS)

    @property
    def data(self) -> bytes:
        return b"".join(data for _, data in self.out if id(data) not in MARKS)

    def _out(self, item: Item) -> None:
        self.out.append((self.now_ns / MS, item[1]))


def stage(kind: str, now_ns: int = 0, seed: int = 1, **values: int) -> ToxicStage:
    return TYPES[kind](values, lambda: Random(seed), now_ns)


def test_latency_counts_from_the_time_of_receipt_and_is_pipelined() -> None:
    host = Host(stage("latency", latency=100, jitter=0))
    for number in range(10):
        host.run(number * 10)
        host.put(b"%d" % number)
    host.run(1000)

    assert host.out == [(100.0 + 10 * n, b"%d" % n) for n in range(10)]


def test_jitter_is_a_whole_number_of_milliseconds_within_its_bounds_and_keeps_order() -> None:
    host = Host(stage("latency", latency=50, jitter=20))
    for number in range(300):
        host.run(number * 1000)
        host.put(b"x")
    host.run(400_000)
    delays = [at % 1000 for at, _ in host.out]

    assert {delay % 1 for delay in delays} == {0}
    assert min(delays) >= 30
    assert max(delays) < 70
    assert len(set(delays)) > 30


def test_two_latencies_add_up_and_a_negative_one_is_none() -> None:
    host = Host(
        stage("latency", latency=100, jitter=0), stage("latency", latency=50, jitter=0), stage("latency", latency=-10, jitter=0)
    )
    host.put(b"a")
    host.run(5)
    host.put(b"b")
    host.run(1000)

    assert host.out == [(150.0, b"a"), (155.0, b"b")]


def test_the_end_of_a_stream_waits_behind_data_but_is_not_delayed_by_itself() -> None:
    host, idle = Host(stage("latency", latency=100, jitter=0)), Host(stage("latency", latency=100, jitter=0))
    host.put(b"a", EOF)
    idle.put(EOF)
    host.run(1000)

    assert host.out == [(100.0, b"a"), (100.0, EOF)]
    assert idle.out == [(0.0, EOF)]


def test_bandwidth_gives_each_byte_its_time_in_pieces_of_a_tenth_of_a_second() -> None:
    host = Host(stage("bandwidth", rate=10))
    host.put(bytes(2500))
    host.run(10_000)

    assert [(at, len(data)) for at, data in host.out] == [(100.0, 1000), (200.0, 1000), (250.0, 500)]


def test_bandwidth_0_holds_everything_until_it_is_lifted() -> None:
    toxic = stage("bandwidth", rate=0)
    host = Host(toxic)
    host.put(b"held", EOF)
    host.run(60_000)
    assert host.out == []
    toxic.update({"rate": 1}, host.now_ns)
    host.run(61_000)

    assert host.out == [(60_004.0, b"held"), (60_004.0, EOF)]


def test_bandwidth_makes_up_for_no_stall_of_the_receiver() -> None:
    host = Host(stage("bandwidth", rate=10))
    host.put(bytes(3000))
    host.run(99)
    host.open = False
    host.chain.line.limit = 1  # holds one piece
    host.run(5000)
    host.open = True
    host.run(5000)
    host.run(9000)

    assert [(at, len(data)) for at, data in host.out] == [(5000.0, 1000), (5000.0, 1000), (5100.0, 1000)]


def test_slow_close_delays_the_end_alone() -> None:
    host = Host(stage("slow_close", delay=400))
    host.put(b"a", EOF)
    host.run(1000)

    assert host.out == [(0.0, b"a"), (400.0, EOF)]


def test_timeout_closes_after_so_long_without_data_and_lets_nothing_through() -> None:
    host = Host(stage("timeout", timeout=300))
    for at in (150, 300, 450):
        host.run(at)
        host.put(b"lost")
    host.run(10_000)
    host.put(b"late")

    assert host.out == [(750.0, CLOSE)]
    assert host.chain.line.closing


def test_timeout_0_closes_only_when_it_is_removed() -> None:
    toxic = stage("timeout", timeout=0)
    host = Host(toxic)
    host.put(b"lost")
    host.run(10_000)
    assert host.out == []
    host.chain.remove(toxic, host.now_ns)
    host.run(10_001)

    assert host.out == [(10_000.0, CLOSE)]


def test_a_timeout_closes_behind_a_receiver_that_takes_nothing() -> None:
    host = Host(stage("timeout", timeout=300))
    host.open = False
    host.run(1000)

    assert host.chain.line.closing


def test_reset_peer_waits_for_the_first_data_and_then_its_time() -> None:
    host = Host(stage("reset_peer", timeout=500))
    host.run(1000)
    host.put(b"a", b"b")
    host.run(9000)
    host.put(b"c")

    assert host.out == [(1500.0, ABORT)]


def test_reset_peer_removed_before_its_time_passes_on_what_it_held() -> None:
    toxic = stage("reset_peer", timeout=500)
    host = Host(toxic)
    host.put(b"a", b"b")
    host.chain.remove(toxic, host.now_ns)
    host.run(9000)

    assert host.data == b"ab"


def test_slicer_cuts_evenly_and_pauses_between_pieces() -> None:
    host = Host(stage("slicer", average_size=100, size_variation=0, delay=2000))
    host.put(bytes(1600))
    host.run(1000)

    assert [(at, len(data)) for at, data in host.out] == [(2.0 * n, 100) for n in range(16)]


@pytest.mark.parametrize(("average", "variation"), [(0, 0), (1, 0), (10, 100), (-5, -5), (64, 32)])
def test_slicer_keeps_every_byte_whatever_it_is_told(average: int, variation: int) -> None:
    host = Host(stage("slicer", average_size=average, size_variation=variation, delay=0))
    data = Random(3).randbytes(1000)
    host.put(data, EOF)
    host.run(1000)

    assert host.data == data
    assert host.out[-1][1] is EOF


@pytest.mark.parametrize("limit", [0, 1, 7, 10, 11])
def test_limit_data_passes_exactly_so_many_bytes_then_closes(limit: int) -> None:
    host = Host(stage("limit_data", bytes=limit))
    host.put(b"hello", b"world", b"!", b"more")
    host.run(10)

    assert host.data == b"helloworld!more"[:limit]
    assert host.out[-1][1] is CLOSE


def test_limit_data_counts_on_through_changes() -> None:
    toxic = stage("limit_data", bytes=100)
    host = Host(toxic)
    host.put(b"12345")
    toxic.update({"bytes": 8}, 0)
    host.put(b"67890")

    assert host.data == b"12345678"


@pytest.mark.parametrize("kind", sorted(LOSSLESS))
def test_removal_gives_out_what_is_held_at_once_even_to_a_stalled_receiver(kind: str) -> None:
    toxic = stage(kind, **LOSSLESS[kind])
    host = Host(toxic)
    host.open = False
    host.chain.line.limit = 1
    data = Random(5).randbytes(5000)
    host.put(data[:2000], data[2000:], EOF)
    host.chain.remove(toxic, host.now_ns)
    host.open = True
    host.advance()

    assert host.data == data
    assert host.out[-1] == (0.0, EOF)


@pytest.mark.parametrize("seed", range(40))
def test_no_byte_is_lost_or_moved_whatever_is_added_changed_and_removed_while_the_receiver_stalls(seed: int) -> None:
    rng, host, sent = Random(seed), Host(), bytearray()
    host.chain.line.limit = rng.choice([1, 500, 10_000])
    for _ in range(300):
        action = rng.randrange(6)
        if action == 0:
            kind = rng.choice(sorted(LOSSLESS))
            host.chain.insert(rng.randrange(8), TYPES[kind](LOSSLESS[kind], lambda: Random(seed), host.now_ns))
        elif action == 1 and len(host.chain.stages) > 1:
            host.chain.remove(rng.choice(host.chain.stages[:-1]), host.now_ns, for_good=rng.random() < 0.5)
        elif action == 2 and len(host.chain.stages) > 1:
            toxic = rng.choice(host.chain.stages[:-1])
            assert isinstance(toxic, ToxicStage)
            toxic.update({key: rng.randrange(-1, 50) for key in toxic.attributes}, host.now_ns)
        elif action == 3:
            host.open = rng.random() < 0.6
        else:
            data = rng.randbytes(rng.randrange(1, 400))
            sent += data
            host.put(data)
        host.run(host.now_ns / MS + rng.choice([0, 0.1, 5]))
        assert bytes(sent).startswith(host.data)
    host.open = True
    for toxic in host.chain.stages[:-1]:
        host.chain.remove(toxic, host.now_ns)
    host.put(EOF)
    host.run(host.now_ns / MS + 1)

    assert host.data == bytes(sent)
    assert host.out[-1][1] is EOF
    assert host.chain.due_ns(room=True) == NEVER
    assert host.chain.idle


def test_what_a_chain_holds_before_its_sender_is_stopped_is_bounded() -> None:
    for kind, values in LOSSLESS.items():
        host = Host(stage(kind, **values))
        host.open = False
        put = 0
        while not host.chain.full and put < 64 * 1024 * 1024:
            host.put(bytes(256_000))
            put += 256_000

        assert put <= (40 if kind == "latency" else 4) * 1024 * 1024, kind


class Direction:
    """What a collection of toxics acts on, without sockets."""

    def __init__(self) -> None:
        self.chain = Chain()

    def add_stage(self, stage: ToxicStage, index: int) -> None:
        self.chain.insert(index, stage)

    def remove_stage(self, stage: ToxicStage, *, for_good: bool = True) -> None:
        self.chain.remove(stage, 0, for_good=for_good)

    def stage_changed(self) -> None:
        pass

    @property
    def kinds(self) -> list[str]:
        return [stage.type for stage in self.chain.stages if isinstance(stage, ToxicStage)]


def toxic(name: str, kind: str = "noop", toxicity: float = 1.0, **values: int) -> Toxic:
    return Toxic(name=name, type=kind, stream="downstream", toxicity=toxicity, values=values)


def test_a_toxic_whose_toxicity_returns_takes_its_old_place_and_remembers() -> None:
    toxics, up, down = Toxics("seed"), Direction(), Direction()
    down.chain.insert_front(TYPES["noop"]({}, Random, 0))
    for one in (toxic("a", "slicer", average_size=1, size_variation=0, delay=0), toxic("b", "limit_data", bytes=9), toxic("c")):
        toxics.add(one)
    toxics.join(up, down)  # type: ignore[arg-type]  # all of a Delivery that is needed
    limit = down.chain.stages[2]
    toxics.update("b", {"bytes": 9}, 0.0)
    assert down.kinds == ["noop", "slicer", "noop"]
    toxics.update("b", {"bytes": 9}, 1.0)

    assert down.kinds == ["noop", "slicer", "limit_data", "noop"]
    assert down.chain.stages[2] is limit
    assert up.kinds == []


def test_draws_depend_on_the_seed_the_connection_and_the_toxic_alone() -> None:
    def hit(seed: str, *names: str) -> list[bool]:
        toxics = Toxics(seed)
        for name in names:
            toxics.add(toxic(name, toxicity=0.5 if name == "half" else 1.0))
        found = []
        for _ in range(200):
            up, down = Direction(), Direction()
            toxics.join(up, down)  # type: ignore[arg-type]  # the same
            found.append(len(down.kinds) == len(names))
        return found

    assert hit("1", "half") == hit("1", "other", "half")
    assert hit("1", "half") != hit("2", "half")
    assert 60 < sum(hit("1", "half")) < 140
