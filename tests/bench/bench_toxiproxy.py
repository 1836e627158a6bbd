"""The relay, counting, beside a real Toxiproxy: the same measures on both, interleaved.

    python -m tests.bench.bench_toxiproxy [--repeat 5] [--idle 10000]

The server is found on PATH or by COORDCHAOS_TOXIPROXY. Medians and ratios are printed, nothing is asserted.
Frames of our own protocol; the relay is told so and counts every message, Toxiproxy counts nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import psutil

from tests.bench.bench_relay import NODE, Address, Round, connect, frame, pings, requests_per_s, throughput
from tests.relay.conformance.rig import SERVERS, Api, running
from tests.relay.conformance.test_deviations import ALL_TOXICS

CONNECTIONS, AT_ONCE, OPEN, PROXIES, GIVE_UP_S = 2000, 4, 200, 200, 5.0


def listen_of(api: Api, name: str) -> Address:
    """Where a proxy listens."""
    host, _, port = api.call("GET", f"/proxies/{name}").json["listen"].rpartition(":")
    return host, int(port)


def make(api: Api, name: str, node: Address) -> Address:
    """A proxy to the node; on the relay one that counts."""
    more = {"protocol": "frames"} if api.kind == "relay" else {}
    api.proxy(name, node, **more)
    return listen_of(api, name)


def cpu_per_message(api: Api, address: Address) -> Round:
    """CPU of the server for each message it passes on, 16 connections asking at once."""
    process = psutil.Process(api.pid)
    before = process.cpu_times()
    asked = requests_per_s(address)
    after = process.cpu_times()
    per_s = next(iter(asked.values()))
    used_us = (after.user + after.system - before.user - before.system) * 1e6
    return {**asked, "CPU per message, us": used_us / (2 * per_s)}


def connections(address: Address) -> Round:
    """Connections made, used for one round trip and closed, by four threads."""

    def worker() -> None:
        for _ in range(CONNECTIONS // AT_ONCE):
            with connect(address, b"e") as sock:
                sock.sendall(frame(64))
                left = 64
                while left:
                    left -= len(sock.recv(left))

    threads = [threading.Thread(target=worker) for _ in range(AT_ONCE)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"new connections/s": CONNECTIONS / (time.perf_counter() - started)}


def control(api: Api, name: str) -> Round:
    """Control calls while so many connections are open."""
    address = listen_of(api, name)
    open_now = [socket.create_connection(address) for _ in range(OPEN)]
    for sock in open_now:
        sock.sendall(b"e".ljust(9, b"\0") + frame(64))
    for sock in open_now:
        sock.recv(64)
    took = control_calls(api, name)
    for sock in open_now:
        sock.close()
    return {f"{what}, {OPEN} connections, ms": value for what, value in took.items()}


def control_calls(api: Api, name: str) -> dict[str, float]:
    """Medians of some control calls, milliseconds."""
    body = {"type": "latency", "name": "t", "attributes": {"latency": 1}}
    calls: dict[str, tuple[str, str, object]] = {
        "add a toxic": ("POST", f"/proxies/{name}/toxics", body),
        "update it": ("PATCH", f"/proxies/{name}/toxics/t", {"attributes": {"latency": 2}}),
        "remove it": ("DELETE", f"/proxies/{name}/toxics/t", None),
        "show a proxy": ("GET", f"/proxies/{name}", None),
        "list all": ("GET", "/proxies", None),
    }
    took: dict[str, list[float]] = {what: [] for what in calls}
    for _ in range(7):
        for what, call in calls.items():
            started = time.perf_counter()
            api.call(*call)
            took[what].append((time.perf_counter() - started) * 1e3)
    return {what: statistics.median(some) for what, some in took.items()}


def stalled(kind: str) -> None:
    """The longest control call of each toxic's coming and going while the receiver takes nothing."""
    for toxic, values in ALL_TOXICS:
        with running(kind) as api, socket.create_server(("127.0.0.1", 0)) as deaf:
            make(api, "p", deaf.getsockname())
            with socket.create_connection(listen_of(api, "p")) as sender:
                sender.settimeout(0.3)
                with contextlib.suppress(TimeoutError):
                    while True:
                        sender.sendall(bytes(1_000_000))
                body = {"name": "t", "type": toxic, "stream": "upstream", "attributes": values}
                calls = (("POST", "/proxies/p/toxics", body), ("DELETE", "/proxies/p/toxics/t", None))
                longest = max(_took_s(api, *call) for call in calls)
        print(f"  {kind:10} {toxic:12} {'over ' if longest >= GIVE_UP_S else ''}{longest * 1e3:9.1f} ms")


def _took_s(api: Api, method: str, path: str, body: object) -> float:
    started = time.perf_counter()
    with contextlib.suppress(OSError):
        api.call(method, path, body, timeout_s=GIVE_UP_S)
    return time.perf_counter() - started


def idle(kind: str, node: Address, count: int) -> None:
    """Memory and control calls with many idle connections over many proxies."""
    with running(kind) as api:
        empty = psutil.Process(api.pid).memory_info().rss
        addresses = [make(api, f"p{number}", node) for number in range(PROXIES)]
        with_proxies = psutil.Process(api.pid).memory_info().rss
        socks = []
        for number in range(count):
            sock = socket.create_connection(addresses[number % PROXIES])
            sock.sendall(b"e".ljust(9, b"\0") + frame(64))
            sock.recv(64)
            socks.append(sock)
        full = psutil.Process(api.pid).memory_info().rss
        took = control_calls(api, "p0")
        for sock in socks:
            sock.close()
    figures = ", ".join(f"{what} {value:.2f} ms" for what, value in took.items())
    print(f"  {kind:10} {empty / 2**20:.0f} MiB empty, {with_proxies / 2**20:.0f} with {PROXIES} proxies,", end=" ")
    print(f"{full / 2**20:.0f} with {count} connections ({(full - with_proxies) / 1024 / count:.1f} KiB each); {figures}")


def report(rounds: dict[str, list[Round]]) -> None:
    """Medians of all rounds, and the relay's over Toxiproxy's."""
    print(f"{'':44}{'direct':>12}{'relay':>12}{'toxiproxy':>12}{'relay / toxiproxy':>20}")
    for what in rounds["relay"][0]:
        medians = {way: statistics.median(one[what] for one in some) for way, some in rounds.items() if what in some[0]}
        direct = f"{medians['direct']:12,.1f}" if "direct" in medians else f"{'':12}"
        ratio = medians["relay"] / medians["toxiproxy"]
        print(f"{what:44}{direct}{medians['relay']:12,.1f}{medians['toxiproxy']:12,.1f}{ratio:20.2f}")


def measure(repeat: int, node: Address) -> dict[str, list[Round]]:
    """All measures, each on all ways before the next one begins."""
    rounds: dict[str, list[Round]] = {"direct": [], **{kind: [] for kind in SERVERS}}
    plain: list[Callable[[Address], Round]] = [pings, throughput, connections]
    with contextlib.ExitStack() as stack:
        apis = {kind: stack.enter_context(running(kind)) for kind in SERVERS}
        ways = {"direct": node, **{kind: make(api, "p", node) for kind, api in apis.items()}}
        for _ in range(repeat):
            found: dict[str, Round] = {way: {} for way in ways}
            for one in plain:
                for way, address in ways.items():
                    found[way] |= one(address)
            for kind, api in apis.items():
                found[kind] |= cpu_per_message(api, ways[kind])
                found[kind] |= control(api, "p")
            for way, some in found.items():
                rounds[way].append(some)
    return rounds


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--idle", type=int, default=10_000, help="idle connections; 0: leave that out")
    parser.add_argument("--no-stalled", action="store_true")
    options = parser.parse_args()
    _allow_files(4 * options.idle + 2000)
    node = subprocess.Popen([sys.executable, "-c", NODE], stdout=subprocess.PIPE, text=True)
    try:
        assert node.stdout is not None
        host, port = node.stdout.readline().split()
        report(measure(options.repeat, (host, int(port))))
        if not options.no_stalled:
            print(f"longest control call while the receiver is stalled (given up after {GIVE_UP_S:.0f} s):")
            for kind in SERVERS:
                stalled(kind)
        if options.idle:
            print("idle connections:")
            for kind in SERVERS:
                idle(kind, (host, int(port)), options.idle)
    finally:
        node.terminate()
        node.wait()


def _allow_files(count: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        hard = max(hard, count)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
