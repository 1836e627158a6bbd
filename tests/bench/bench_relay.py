"""What the relay adds to no relay: round trips, requests per second and one-way throughput, counting on.

    python -m tests.bench.bench_relay [--repeat 5]

Direct and relayed rounds are interleaved; medians and ratios are printed, nothing is asserted.
Frames of our own protocol: "relay" counts every message, "relay, bytes" frames nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable

from pytest_coordchaos.cost.ledger import LinkId
from pytest_coordchaos.relay.control_client import LinkSpec, RelayControl

Address = tuple[str, int]
Round = dict[str, float]

NODE = """
import asyncio, struct
class Node(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.left = transport, None
    def data_received(self, data):
        if self.left is None:
            self.left = -1 if data[:1] == b'e' else struct.unpack('>Q', data[1:9])[0]
            data = data[9:]
        if self.left < 0:
            if data:
                self.transport.write(data)
            return
        self.left -= len(data)
        if not self.left:
            self.transport.write(b'.')
async def main():
    server = await asyncio.get_running_loop().create_server(Node, '127.0.0.1', 0)
    print(*server.sockets[0].getsockname(), flush=True)
    await asyncio.Event().wait()
try:
    import uvloop
    loop = uvloop.new_event_loop
except ImportError:
    loop = None
with asyncio.Runner(loop_factory=loop) as runner:
    runner.run(main())
"""

WARM_UP, PINGS, CONNECTIONS, SECONDS, TOTAL_BYTES = 200, 3000, 16, 1.0, 256 * 1024 * 1024


def frame(size: int) -> bytes:
    """One frame of that size on the wire."""
    return struct.pack(">IHQH", size - 4, 1, 7, 0) + bytes(size - 16)


def connect(address: Address, hello: bytes) -> socket.socket:
    """A connection to the node that says what is to come."""
    sock = socket.create_connection(address)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(hello.ljust(9, b"\0"))
    return sock


def pings(address: Address) -> Round:
    """64-byte round trips, one after the other."""
    message, took = frame(64), []
    with connect(address, b"e") as sock:
        for _ in range(WARM_UP + PINGS):
            started = time.perf_counter_ns()
            sock.sendall(message)
            left = 64
            while left:
                left -= len(sock.recv(left))
            took.append((time.perf_counter_ns() - started) / 1e3)
    took = sorted(took[WARM_UP:])
    return {"64 B round trip, p50 us": took[len(took) // 2], "64 B round trip, p99 us": took[len(took) * 99 // 100]}


def requests_per_s(address: Address) -> Round:
    """64-byte round trips per second of several connections together, each asking again when answered."""
    message, answered = frame(64), 0

    class Asker(asyncio.Protocol):
        def __init__(self) -> None:
            self.left = 64

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport
            self.transport.write(b"e".ljust(9, b"\0") + message)  # type: ignore[attr-defined]  # it is a stream's

        def data_received(self, data: bytes) -> None:
            nonlocal answered
            self.left -= len(data)
            if not self.left:
                answered += 1
                self.left = 64
                self.transport.write(message)  # type: ignore[attr-defined]  # it is a stream's

    async def ask() -> None:
        loop = asyncio.get_running_loop()
        transports = [(await loop.create_connection(Asker, *address))[0] for _ in range(CONNECTIONS)]
        await asyncio.sleep(SECONDS)
        for transport in transports:
            transport.abort()

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(ask())
    return {f"{CONNECTIONS} connections, requests/s": answered / SECONDS}


def throughput(address: Address) -> Round:
    """64 KiB frames one way, until the node has them all."""
    block = frame(64 * 1024) * 16
    with connect(address, b"s" + struct.pack(">Q", TOTAL_BYTES)) as sock:
        started = time.perf_counter()
        for _ in range(TOTAL_BYTES // len(block)):
            sock.sendall(block)
        sock.recv(1)
        took = time.perf_counter() - started
    return {"64 KiB frames, one-way MiB/s": TOTAL_BYTES / took / 2**20}


async def links(relay: Address, node: Address) -> dict[str, Address]:
    """The ways to the node that are compared."""
    control = await RelayControl.connect(relay)
    names = {"relay": "frames", "relay, bytes": "bytes"}
    specs = [
        LinkSpec(
            link=LinkId("clients", f"n{number}", "p"),
            listen=("127.0.0.1", 0),
            upstream=node,
            upstream_source="127.83.9.1",
            protocol=protocol,
        )
        for number, protocol in enumerate(names.values())
    ]
    made = await control.add_links(specs)
    await control.close()
    return {"direct": node, **dict(zip(names, made.values(), strict=True))}


def report(rounds: dict[str, list[Round]]) -> None:
    """Medians of all rounds, and their ratios to the direct way."""
    print(f"{'':32}" + "".join(f"{way:>16}" for way in rounds) + "".join(f"{way + ' / direct':>24}" for way in list(rounds)[1:]))
    for what in rounds["direct"][0]:
        medians = [statistics.median(one[what] for one in some) for some in rounds.values()]
        print(f"{what:32}" + "".join(f"{m:16,.1f}" for m in medians) + "".join(f"{m / medians[0]:24.2f}" for m in medians[1:]))


def main() -> None:
    """Run all measures on all ways, interleaved, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    measures: list[Callable[[Address], Round]] = [pings, requests_per_s, throughput]
    started = [subprocess.Popen([sys.executable, *argv], stdout=subprocess.PIPE, text=True) for argv in (["-c", NODE], _RELAY)]
    try:
        node, relay = (_address(process) for process in started)
        ways = asyncio.run(links(relay, node))
        rounds: dict[str, list[Round]] = {way: [] for way in ways}
        for _ in range(repeat):
            found: dict[str, Round] = {way: {} for way in ways}
            for measure in measures:
                for way, address in ways.items():
                    found[way] |= measure(address)
            for way, one in found.items():
                rounds[way].append(one)
        report(rounds)
    finally:
        for process in started:
            process.terminate()
            process.wait()


_RELAY = ["-m", "pytest_coordchaos.relay", "--seed", "1"]


def _address(process: subprocess.Popen[str]) -> Address:
    assert process.stdout is not None
    host, port = process.stdout.readline().split()
    return host, int(port)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


if __name__ == "__main__":
    main()
