"""Cuts, delays and refusals: what they do to bytes, to connections, and after they are lifted."""

from __future__ import annotations

import time

import pytest

from pytest_coordchaos.errors import RelayError
from pytest_coordchaos.faults.model import PASS, DirectionState, LinkMode
from tests.relay.rig import DROP, REFUSE, RelayProcess, Rig, end_of, link_name, nothing_came, read_exactly, rigged, until

DELAY_MS = 80.0
SLOW = DirectionState(LinkMode.PASS, DELAY_MS)


async def test_a_cut_direction_is_silent_while_the_other_flows(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        client, node = await rig.pair()
        await rig.apply(up=DROP)
        client[1].write(b"lost")
        await _offered(rig, 4)
        node[1].write(b"back")

        assert await read_exactly(client[0], 4) == b"back"
        assert (await rig.control.live())[rig.link].delivered_bytes == 4
        assert nothing_came(node[0])


async def test_lifting_a_cut_resets_only_connections_that_lost_something(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        quiet, quiet_node = await rig.pair()
        lossy, lossy_node = await rig.pair()
        await rig.apply(up=DROP)
        lossy[1].write(b"lost")
        await _offered(rig, 4)
        await rig.apply()

        assert await end_of(lossy[0]) is ConnectionResetError
        assert await end_of(lossy_node[0]) is ConnectionResetError
        quiet[1].write(b"kept")
        assert await read_exactly(quiet_node[0], 4) == b"kept"


async def test_an_end_of_stream_into_a_cut_is_swallowed_and_counts_as_lost(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        client, node = await rig.pair()
        await rig.apply(up=DROP)
        client[1].write_eof()
        node[1].write(b"unaware")
        assert await read_exactly(client[0], 7) == b"unaware"
        assert not node[0].at_eof()
        await rig.apply()

        assert await end_of(node[0]) is ConnectionResetError


async def test_a_reset_into_a_cut_is_swallowed_until_it_is_lifted(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        client, node = await rig.pair()
        await rig.apply(up=DROP, down=DROP)
        node[1].get_extra_info("socket").setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")
        node[1].transport.abort()
        client[1].write(b"x" * 10)
        await _offered(rig, 10)
        assert nothing_came(client[0])
        await rig.apply()

        assert await end_of(client[0]) is ConnectionResetError


async def test_a_dial_into_a_cut_reaches_no_node_and_is_reset_when_lifted(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        await rig.apply(up=DROP)
        client = await rig.dial()
        client[1].write(b"hello")
        await _offered(rig, 5)
        assert rig.accepted.empty()
        await rig.apply()

        assert await end_of(client[0]) is ConnectionResetError
        fresh, node = await rig.pair()
        fresh[1].write(b"again")
        assert await read_exactly(node[0], 5) == b"again"


async def test_lifting_one_way_of_a_two_way_cut_keeps_the_dialler_unaware(relay: RelayProcess) -> None:
    """The reset of a lossy connection travels like any byte: the direction that is still cut passes none."""
    async with rigged(relay) as rig:
        client, node = await rig.pair()
        await rig.apply(up=DROP, down=DROP)
        client[1].write(b"lost")
        await _offered(rig, 4)
        await rig.apply(up=PASS, down=DROP)
        assert await end_of(node[0]) is ConnectionResetError
        assert nothing_came(client[0])
        await rig.apply()

        assert await end_of(client[0]) is ConnectionResetError


async def test_bytes_in_flight_when_the_cut_begins_are_lost(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        client, node = await rig.pair()
        await rig.apply(up=DirectionState(LinkMode.PASS, 400.0))
        client[1].write(b"in flight")
        await _offered(rig, 9)
        await rig.apply(up=DROP)
        await rig.apply()

        assert await end_of(node[0]) is ConnectionResetError
        assert (await rig.control.live())[rig.link].delivered_bytes == 0


@pytest.mark.parametrize(("up", "down", "least_ms"), [(SLOW, PASS, DELAY_MS), (PASS, SLOW, DELAY_MS), (SLOW, SLOW, 2 * DELAY_MS)])
async def test_a_delay_is_never_shorter_than_asked(
    relay: RelayProcess, up: DirectionState, down: DirectionState, least_ms: float
) -> None:
    async with rigged(relay) as rig:
        client, node = await rig.pair()
        await rig.apply(up, down)
        started = time.monotonic()
        client[1].write(b"ping")
        node[1].write(await read_exactly(node[0], 4))
        await read_exactly(client[0], 4)

        assert (time.monotonic() - started) * 1e3 >= least_ms


async def test_delayed_bytes_keep_their_order_and_are_pipelined(relay: RelayProcess) -> None:
    """Twenty chunks in a row arrive in order in far less than twenty delays."""
    async with rigged(relay) as rig:
        client, node = await rig.pair()
        await rig.apply(up=SLOW)
        mark = await rig.control.mark()
        started = time.monotonic()
        for number in range(20):
            client[1].write(bytes([number]) * 100)
            await _offered(rig, 100 * (number + 1))
        client[1].write_eof()

        assert await end_of(node[0]) == b"".join(bytes([number]) * 100 for number in range(20))
        took_ms = (time.monotonic() - started) * 1e3
        assert DELAY_MS <= took_ms < 20 * DELAY_MS
        up = (await rig.control.ledger(mark)).totals
        assert sum(total.delivered_bytes for total in up) == 2000


async def test_the_end_of_a_stream_is_delayed_as_well(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        client, node = await rig.pair()
        await rig.apply(up=SLOW)
        started = time.monotonic()
        client[1].write_eof()

        assert await end_of(node[0]) == b""
        assert (time.monotonic() - started) * 1e3 >= DELAY_MS


async def test_taking_a_delay_away_sends_what_waits_at_once_and_in_order(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        client, node = await rig.pair()
        await rig.apply(up=DirectionState(LinkMode.PASS, 2000.0))
        client[1].write(b"first")
        await _offered(rig, 5)
        started = time.monotonic()
        await rig.apply()
        client[1].write(b"second")

        assert await read_exactly(node[0], 11) == b"firstsecond"
        assert (time.monotonic() - started) * 1e3 < 2000.0


async def test_refusing_resets_connections_and_is_undone_on_the_same_port(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        for _ in range(3):
            client, node = await rig.pair()
            await rig.apply(up=REFUSE)
            assert await end_of(client[0]) is ConnectionResetError
            assert await end_of(node[0]) is ConnectionResetError
            with pytest.raises(ConnectionRefusedError):
                await rig.dial()
            await rig.apply()
        client, node = await rig.pair()
        client[1].write(b"back")

        assert await read_exactly(node[0], 4) == b"back"


async def test_refusal_beats_a_cut(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        client, node = await rig.pair()
        await rig.apply(up=DROP, down=REFUSE)

        assert await end_of(client[0]) is ConnectionResetError
        assert await end_of(node[0]) is ConnectionResetError


async def test_states_of_an_unknown_link_change_nothing(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        unknown = link_name()
        with pytest.raises(RelayError, match=f"there is no link {unknown}"):
            await rig.control.apply({rig.link: (DROP, DROP), unknown: (DROP, DROP)})
        client, node = await rig.pair()
        client[1].write(b"passes")

        assert await read_exactly(node[0], 6) == b"passes"


async def _offered(rig: Rig, size: int) -> None:
    """Wait until the relay has taken so many bytes from the client."""

    async def taken() -> bool:
        return (await rig.control.live())[rig.link].upstream_bytes >= size

    await until(taken, f"{size} bytes received by the relay")


async def test_many_links_are_cut_and_healed_in_one_call(relay: RelayProcess) -> None:
    async with rigged(relay) as first, rigged(relay) as second, rigged(relay) as third:
        rigs = (first, second, third)
        cut = await first.control.apply({rig.link: (DROP, DROP) for rig in rigs})
        healed = await first.control.apply({rig.link: (PASS, PASS) for rig in rigs})

    assert [probe.ok for probe in cut + healed] == [True] * 12
    assert {probe.observed for probe in cut} == {"64 bytes were discarded, none arrived"}


async def test_a_state_holds_for_connections_made_before_and_after(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        before, before_node = await rig.pair()
        await rig.apply(down=DROP)
        after, after_node = await rig.pair()
        for node in (before_node, after_node):
            node[1].write(b"gone")
        before[1].write(b"1")
        after[1].write(b"2")

        assert await read_exactly(before_node[0], 1) == b"1"
        assert await read_exactly(after_node[0], 1) == b"2"

        async def received() -> bool:
            return (await rig.control.live())[rig.link].downstream_bytes == 8

        await until(received, "8 bytes received from the node")
        assert (await rig.control.live())[rig.link].delivered_bytes == 2


BEHIND = DirectionState(LinkMode.BEHIND)


async def test_before_what_discards_the_bytes_they_pass_but_no_end_does(relay: RelayProcess) -> None:
    """In front of a Toxiproxy that cuts: it must see the bytes, and would pass on the end of the stream."""
    async with rigged(relay) as rig:
        client, node = await rig.pair()
        await rig.apply(up=BEHIND, down=BEHIND)
        client[1].write(b"seen")
        assert await read_exactly(node[0], 4) == b"seen"
        client[1].write_eof()
        node[1].write(b"unaware")
        assert await read_exactly(client[0], 7) == b"unaware"
        assert nothing_came(node[0])
        await rig.apply()

        assert await end_of(client[0]) is ConnectionResetError
        assert await end_of(node[0]) is ConnectionResetError


async def test_before_what_discards_the_bytes_nobody_new_is_dialled(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        await rig.apply(up=BEHIND)
        client = await rig.dial()
        client[1].write(b"hello")
        await _offered(rig, 5)
        assert rig.accepted.empty()
        await rig.apply()

        assert await end_of(client[0]) is ConnectionResetError
