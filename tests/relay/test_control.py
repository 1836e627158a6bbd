"""The control API: clear refusals, nothing half-applied, deadlines, and the process around it."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_coordchaos.errors import RelayError
from pytest_coordchaos.faults.model import PASS, DirectionState, LinkMode
from pytest_coordchaos.relay.control_client import LinkSpec, RelayControl
from pytest_coordchaos.relay.ports import HeldPort, PortChooser
from tests.relay.rig import DROP, RelayProcess, end_of, link_name, rigged, spec

UNKNOWN = '{"links": [{"link": ["no", "such", "one"], "upstream": {}, "downstream": {}}]}'
WRONG_STATE = '{"links": [{"link": ["a", "b", "c"], "upstream": %s}]}'
NOWHERE = ("127.0.0.1", 1)
LINK = {"link": ["a", "b", "p"], "listen": ["127.0.0.1", 0], "upstream": ["127.0.0.1", 1], "upstream_source": "127.0.0.1"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("GET", "/coordchaos/nowhere", "", 404, "there is no /coordchaos/nowhere"),
        ("DELETE", "/coordchaos/links", "", 405, "takes POST, not DELETE"),
        ("POST", "/coordchaos/links", "", 400, "bad request body: EOF"),
        ("POST", "/coordchaos/links", "{", 400, "bad request body: "),
        ("POST", "/coordchaos/links", "[]", 400, "must be an object with 'links'"),
        ("POST", "/coordchaos/links", '{"links": 3}', 400, "links: a list is allowed, not int"),
        ("POST", "/coordchaos/links", {**LINK, "listen": ["0.0.0.0", 0]}, 400, "'0.0.0.0' is not a loopback address"),
        ("POST", "/coordchaos/links", {**LINK, "listen": ["127.0.0.1", 70000]}, 400, "port 70000 is not allowed; 0 to 65535 are"),
        ("POST", "/coordchaos/links", {**LINK, "upstream": ["example.org", 1]}, 400, "host 'example.org' is not allowed"),
        ("POST", "/coordchaos/links", {**LINK, "upstream": "127.0.0.1:1"}, 400, "allowed: [host, port]"),
        ("POST", "/coordchaos/links", {**LINK, "protocol": "grpc"}, 400, "allowed: bytes, frames, json-lines, http1, http2"),
        ("POST", "/coordchaos/links", {**LINK, "classes": {"x": "y"}}, 400, "class numbers 0 to 65535"),
        ("POST", "/coordchaos/links", {**LINK, "link": ["a", "b"]}, 400, "allowed: [source, target, port]"),
        ("POST", "/coordchaos/apply", UNKNOWN, 404, "there is no link"),
        ("POST", "/coordchaos/apply", WRONG_STATE % '{"mode": "slow"}', 400, "allowed: pass, hold, drop, refuse"),
        ("POST", "/coordchaos/apply", WRONG_STATE % '{"delay_ms": -1}', 400, "-1 is not allowed"),
        ("POST", "/coordchaos/apply", WRONG_STATE % '{"delay_ms": NaN}', 400, "nan is not a number"),
        ("POST", "/coordchaos/ledger", '{"since": [0]}', 400, "allowed: [row, time_ns]"),
    ],
)  # fmt: skip
async def test_a_bad_request_gets_one_clear_sentence(
    relay: RelayProcess, method: str, path: str, body: str | dict[str, object], status: int, text: str
) -> None:
    payload = body if isinstance(body, str) else json.dumps({"links": [body]})
    got, answer = await _http(relay.address, method, path, payload.encode())

    assert got == status
    assert answer["status"] == status
    assert text in answer["error"]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"POST /coordchaos/mark HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST /coordchaos/mark HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"POST /coordchaos/mark HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, 431),
    ],
)
async def test_what_is_no_http_is_refused_and_the_connection_closed(
    relay: RelayProcess, request_bytes: bytes, status: int
) -> None:
    reader, writer = await asyncio.open_connection(*relay.address)
    writer.write(request_bytes)
    answer = await reader.read(-1)
    writer.close()

    assert answer.startswith(f"HTTP/1.1 {status} ".encode())


async def test_pipelined_requests_are_answered_in_order(relay: RelayProcess) -> None:
    reader, writer = await asyncio.open_connection(*relay.address)
    writer.write(b"GET /coordchaos/version HTTP/1.1\r\n\r\nGET /nope HTTP/1.1\r\nConnection: close\r\n\r\n")
    answers = await reader.read(-1)
    writer.close()

    assert answers.index(b"200 OK") < answers.index(b"404 Not Found")


async def test_links_are_all_made_or_none(relay: RelayProcess) -> None:
    control = await RelayControl.connect(relay.address)
    good, also_good = link_name(), link_name()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        blocked = LinkSpec(link=also_good, listen=taken.getsockname(), upstream=NOWHERE, upstream_source="127.0.0.1")
        with pytest.raises(RelayError, match=r"cannot listen on .*ddress already in use"):
            await control.add_links([spec(good, NOWHERE), blocked])
    assert good not in await control.live()

    await control.add_links([spec(good, NOWHERE), spec(also_good, NOWHERE)])
    with pytest.raises(RelayError, match=f"link {good} exists already"):
        await control.add_links([spec(link_name(), NOWHERE), spec(good, NOWHERE)])
    await control.close()


async def test_a_link_to_itself_is_refused(relay: RelayProcess) -> None:
    control = await RelayControl.connect(relay.address)
    loop = LinkSpec(link=link_name(), listen=("127.0.0.1", 9999), upstream=("127.0.0.1", 9999), upstream_source="127.0.0.1")
    with pytest.raises(RelayError, match="would lead to itself"):
        await control.add_links([loop])
    await control.close()


async def test_two_hundred_links_work_and_are_cut_in_one_call(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        links = [link_name() for _ in range(200)]
        addresses = await rig.control.add_links([spec(link, rig.node) for link in links])
        assert len(set(addresses.values())) == 200
        probes = await rig.control.apply(dict.fromkeys(links, (DROP, PASS)))
        healed = await rig.control.apply(dict.fromkeys(links, (PASS, PASS)))
        for address in addresses.values():
            _, writer = await asyncio.open_connection(*address)
            rig.opened.append(writer)
        for _ in links:
            await rig.accepted.get()

    assert [probe.ok for probe in probes + healed] == [True] * 800


async def test_calls_run_side_by_side(relay: RelayProcess) -> None:
    """A call that waits for a delay holds up no other."""
    async with rigged(relay) as rig:
        slow = asyncio.create_task(rig.apply(up=_slow(600.0)))
        await rig.control.mark()
        await rig.control.live()
        assert not slow.done()
        await slow


async def test_a_relay_that_does_not_answer_is_an_error_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(RelayError, match=r"did not answer GET /coordchaos/version within 0\.05 s"):
            await RelayControl.connect(silent.getsockname(), deadline_s=0.05)
        address = silent.getsockname()
    with pytest.raises(RelayError, match="is gone"):
        await RelayControl.connect(address)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_relay_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    announce = tmp_path / "address"
    argv = [sys.executable, "-m", "pytest_coordchaos.relay", "--announce", str(announce), "--seed", "1"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        while not announce.exists():
            assert process.poll() is None, "the relay ended before it listened"
        host, port = announce.read_text().split()
        asyncio.run(_reached((host, int(port))))
        process.send_signal(number)
        output, _ = process.communicate(timeout=10)

    assert (process.returncode, output) == (0, b"")


def test_the_relay_listens_on_loopback_only() -> None:
    argv = [sys.executable, "-m", "pytest_coordchaos.relay", "--control-host", "0.0.0.0"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20)

    assert done.returncode == 2
    assert "0.0.0.0 is not a loopback address" in done.stderr


def test_ports_are_chosen_below_the_ephemeral_range_and_held() -> None:
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    held = PortChooser("seed").hold("127.0.0.1")

    assert low <= 11_000 or held.address[1] < low
    for options in ((), (socket.SO_REUSEADDR,), (socket.SO_REUSEPORT,), (socket.SO_REUSEADDR, socket.SO_REUSEPORT)):
        with socket.socket() as thief:
            for option in options:
                thief.setsockopt(socket.SOL_SOCKET, option, 1)
            with pytest.raises(OSError, match="in use"):
                thief.bind(held.address)
    held.close()


def test_a_held_port_refuses_and_listens_again_beside_its_old_connections() -> None:
    held = HeldPort("127.0.0.1", 0)
    for _ in range(3):
        with held.listener() as listener, socket.create_connection(held.address):
            kept, _ = listener.accept()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(held.address)
        with held.listener():
            pass
        kept.close()
    held.close()


def test_the_relay_loads_neither_pytest_nor_docker_nor_toxiproxy() -> None:
    code = "import sys, pytest_coordchaos.relay.__main__; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert not {"pytest", "_pytest", "docker", "toxiproxy", "numpy", "msgspec", "ssl"} & set(loaded) - _site_modules()


def _site_modules() -> set[str]:
    code = "import sys, asyncio; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def _slow(delay_ms: float) -> DirectionState:
    return DirectionState(LinkMode.PASS, delay_ms)


async def _reached(address: tuple[str, int]) -> None:
    await (await RelayControl.connect(address)).close()


async def _http(address: tuple[str, int], method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(f"{method} {path} HTTP/1.1\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
    head, _, answer = (await reader.read(-1)).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), json.loads(answer)


async def test_reset_node_resets_both_ends_of_its_connections_and_no_others(relay: RelayProcess) -> None:
    async with rigged(relay) as rig, rigged(relay) as other:
        client, node = await rig.pair()
        untouched, its_node = await other.pair()

        assert await rig.control.reset_node(rig.link.target) == 1
        assert [await end_of(client[0]), await end_of(node[0])] == [ConnectionResetError, ConnectionResetError]
        untouched[1].write(b"still here")
        assert await its_node[0].readexactly(10) == b"still here"
        assert await rig.control.reset_node("nobody") == 0
        again, at_node = await rig.pair()
        again[1].write(b"again")
        assert await at_node[0].readexactly(5) == b"again"
