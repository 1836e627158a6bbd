"""The links of a running cluster over Toxiproxy's API: toxics on them, beside the cluster's faults."""

from __future__ import annotations

import asyncio
import time

import pytest

from pytest_coordchaos.faults.model import DirectionState, LinkMode
from tests.relay.conformance.rig import Answer, Api
from tests.relay.rig import DROP, REFUSE, RelayProcess, Rig, end_of, frame, read_exactly, rigged, until


async def _call(rig: Rig, relay: RelayProcess, method: str, path: str, body: object = None) -> Answer:
    api = Api("relay", relay.address, relay.pid)
    return await asyncio.to_thread(api.call, method, path.replace("LINK", _name(rig)), body)


def _name(rig: Rig) -> str:
    return f"{rig.link.source}.{rig.link.target}.{rig.link.port}"


async def test_a_link_is_shown_as_a_proxy(relay: RelayProcess) -> None:
    async with rigged(relay, "frames") as rig:
        shown = (await _call(rig, relay, "GET", "/proxies/LINK")).json

        assert shown == {
            "name": _name(rig),
            "listen": f"{rig.address[0]}:{rig.address[1]}",
            "upstream": f"{rig.node[0]}:{rig.node[1]}",
            "enabled": True,
            "Logger": {},
            "toxics": [],
            "protocol": "frames",
        }
        assert (await _call(rig, relay, "GET", "/proxies")).json[_name(rig)] == shown


async def test_toxics_and_faults_add_up_and_each_goes_by_itself(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        client, node = await rig.pair()
        toxic = {"type": "latency", "stream": "upstream", "attributes": {"latency": 150}}
        assert (await _call(rig, relay, "POST", "/proxies/LINK/toxics", toxic)).status == 200
        await rig.apply(up=DirectionState(LinkMode.PASS, 150.0))
        assert await _took_s(client, node) >= 0.3
        await rig.apply()
        assert await _took_s(client, node) >= 0.15
        await _call(rig, relay, "DELETE", "/proxies/LINK/toxics/latency_upstream")

        assert min([await _took_s(client, node) for _ in range(5)]) < 0.15


async def test_a_toxic_survives_a_cut_which_loses_what_it_held(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        client, node = await rig.pair()
        await _call(
            rig, relay, "POST", "/proxies/LINK/toxics", {"type": "bandwidth", "stream": "upstream", "attributes": {"rate": 0}}
        )
        client[1].write(b"held")
        node[1].write(b"seen")
        assert await read_exactly(client[0], 4) == b"seen"
        await rig.apply(up=DROP)
        await rig.apply()

        assert await end_of(client[0]) is ConnectionResetError
        assert len((await _call(rig, relay, "GET", "/proxies/LINK/toxics")).json) == 1


async def test_a_toxic_closes_nothing_while_the_way_is_cut(relay: RelayProcess) -> None:
    """A black hole passes no end of a stream, whoever wants to close."""
    async with rigged(relay) as rig:
        client, node = await rig.pair()
        await rig.apply(up=DROP, down=DROP)
        await _call(rig, relay, "POST", "/proxies/LINK/toxics", {"type": "timeout", "attributes": {"timeout": 1}})
        await asyncio.sleep(0.2)
        assert not client[0].at_eof()
        assert not node[0].at_eof()


async def test_a_disabled_link_refuses_until_it_is_enabled_whatever_its_state(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        client, _ = await rig.pair()
        assert (await _call(rig, relay, "PATCH", "/proxies/LINK", {"enabled": False})).json["enabled"] is False
        assert await end_of(client[0]) == b""
        with pytest.raises(ConnectionRefusedError):
            await rig.dial()
        await rig.apply(up=REFUSE)
        await _call(rig, relay, "PATCH", "/proxies/LINK", {"enabled": True})
        with pytest.raises(ConnectionRefusedError):
            await rig.dial()
        await rig.apply()
        client, node = await rig.pair()
        client[1].write(b"x")

        assert await read_exactly(node[0], 1) == b"x"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/proxies/LINK", None),
        ("PATCH", "/proxies/LINK", {"upstream": "127.0.0.1:1"}),
        ("PATCH", "/proxies/LINK", {"listen": "127.0.0.1:0"}),
        ("POST", "/populate", [{"name": "LINK", "upstream": "127.0.0.1:1"}]),
    ],
)
async def test_where_a_link_leads_is_not_for_others_to_change(relay: RelayProcess, method: str, path: str, body: object) -> None:
    async with rigged(relay) as rig:
        if isinstance(body, list):
            body = [{**body[0], "name": _name(rig)}]
        answer = await _call(rig, relay, method, path, body)

        assert answer.status == 409
        assert f"{_name(rig)} is a link of a running cluster" in answer.json["error"]


async def test_a_proxy_may_not_take_a_links_name_nor_listen_beyond_this_machine(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        taken = await _call(rig, relay, "POST", "/proxies", {"name": _name(rig), "upstream": "127.0.0.1:1"})
        open_wide = await _call(
            rig, relay, "POST", "/proxies", {"name": "wide", "upstream": "127.0.0.1:1", "listen": "0.0.0.0:0"}
        )
        without = await _call(rig, relay, "POST", "/proxies", {"name": "mine", "upstream": "127.0.0.1:1"})
        await _call(rig, relay, "DELETE", "/proxies/mine")

        assert (taken.status, taken.error) == (409, "proxy already exists")
        assert open_wide.status == 500
        assert "loopback addresses only" in open_wide.error
        assert without.json["listen"].startswith("127.0.0.1:")


async def test_messages_of_a_link_are_counted_live(relay: RelayProcess) -> None:
    async with rigged(relay, "json-lines") as rig:
        client, node = await rig.pair()
        client[1].write(b'{"type":"a"}\n{"type":"b"}\n')
        await read_exactly(node[0], 26)
        text = (await _call(rig, relay, "GET", "/metrics")).body.decode()

        assert f'coordchaos_messages_total{{direction="upstream",protocol="json-lines",proxy="{_name(rig)}"}} 2' in text
        assert f'coordchaos_open_connections{{proxy="{_name(rig)}"}} 1' in text


@pytest.mark.parametrize(
    ("kind", "values", "delivered", "at_least_ms"),
    [
        ("latency", {"latency": 100}, 10, 100),
        ("slicer", {"average_size": 7, "size_variation": 3, "delay": 1000}, 10, 1),
        ("timeout", {"timeout": 0}, 0, 0),
        ("bandwidth", {"rate": 0}, 0, 0),
    ],
)
async def test_the_ledger_says_what_toxics_did_to_messages(
    relay: RelayProcess, kind: str, values: dict[str, int], delivered: int, at_least_ms: int
) -> None:
    """All are offered; what a toxic drops or holds is not delivered, what it delays is delivered when it went on."""
    async with rigged(relay, "frames") as rig:
        client, node = await rig.pair()
        await _call(rig, relay, "POST", "/proxies/LINK/toxics", {"type": kind, "stream": "upstream", "attributes": values})
        mark = await rig.control.mark()
        client[1].write(b"".join(frame(1, number, b"x" * 20) for number in range(1, 11)))
        await read_exactly(node[0], delivered * 36)

        async def offered() -> bool:
            return (await rig.control.live())[rig.link].upstream_messages == 10

        await until(offered, "all messages were offered")
        ledger = await rig.control.ledger(mark)
        messages = [m for m in ledger.messages if m.receiver == rig.link.target]

    took_ms = [(m.delivered_ns - m.offered_ns) / 1e6 for m in messages if m.delivered_ns is not None]
    assert len(messages) == 10
    assert len(took_ms) == delivered
    assert all(took >= at_least_ms for took in took_ms)


async def _took_s(
    client: tuple[asyncio.StreamReader, asyncio.StreamWriter], node: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> float:
    started = time.monotonic()
    client[1].write(b"ping")
    assert await read_exactly(node[0], 4) == b"ping"
    return time.monotonic() - started
