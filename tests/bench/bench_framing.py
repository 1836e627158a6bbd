"""What each framer costs per message, against the floor: length-prefixed frames.

    python -m tests.bench.bench_framing [--repeat 5]

CPU time, all in one process, rounds interleaved, medians. "alone": each message in a chunk of its own, as a client that waits for
its answers sends them; "in 16 KiB": as many as fit into a chunk.
"""

from __future__ import annotations

import argparse
import statistics
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from pytest_coordchaos.relay.framing import framer_pair
from tests.unit import wire_samples as wire

MESSAGES, CHUNK_BYTES = 4000, 16 * 1024

Said = tuple[str, wire.Talk, str, list[bytes]]
"""The protocol, what was said before, who says it, the messages."""


def same(protocol: str, before: wire.Talk, way: str, message: bytes) -> Said:
    """The same message again and again."""
    return protocol, before, way, [message] * MESSAGES


def calls() -> Said:
    """Unary gRPC requests: the header fields of all but the first are in the table."""
    client = wire.H2Client()
    before: wire.Talk = [("<", wire.h2(wire.SETTINGS)), (">", client.hello + client.headers(1, b"/kv.KV/Put"))]
    data = wire.grpc(b"x" * 30)
    streams = range(3, 2 * MESSAGES + 3, 2)
    return (
        "http2",
        before,
        ">",
        [client.headers(s, b"/kv.KV/Put") + wire.h2(wire.DATA, wire.END_STREAM, s, data) for s in streams],
    )


def answers() -> Said:
    """What answers them."""
    _, before, _, requests = calls()
    responses = [wire.h2_response(s, wire.grpc(b"x" * 30)) for s in range(3, 2 * MESSAGES + 3, 2)]
    return "http2", [*before, *((">", request) for request in requests)], "<", responses


def stream() -> Said:
    """Messages of one gRPC stream, a DATA frame each."""
    client = wire.H2Client()
    before: wire.Talk = [("<", wire.h2(wire.SETTINGS)), (">", client.hello + client.headers(1, b"/kv.KV/Watch"))]
    return same("http2", before, ">", wire.h2(wire.DATA, 0, 1, wire.grpc(b"x" * 30)))


FRAME = struct.pack(">IHQH", 60, 1, 7, 0) + bytes(48)
HTTP1 = b"POST /kv HTTP/1.1\r\nHost: n1\r\nContent-Length: 30\r\n\r\n" + b"x" * 30
ROW = wire.packet(b"T", b"x" * 30) + wire.packet(b"D", b"x" * 30) + wire.packet(b"C", b"SELECT 1\0") + wire.READY
BATCH = wire.parse(b"insert into t values ($1)") + wire.bind() + wire.execute() + wire.SYNC
FLOOR = "frames: frame"
CASES: dict[str, Callable[[], Said]] = {
    FLOOR: lambda: same("frames", [], ">", FRAME),
    "json-lines: line": lambda: same("json-lines", [], ">", b'{"type": "put", "key": "k", "value": 1234567}\n'),
    "http1: request": lambda: same("http1", [], ">", HTTP1),
    "resp: SET": lambda: same("resp", [], ">", wire.command(b"SET", b"key:123", b"x" * 20)),
    "resp: +OK": lambda: same("resp", [], "<", b"+OK\r\n"),
    "resp: value": lambda: same("resp", [], "<", b"$30\r\n%s\r\n" % (b"x" * 30)),
    "postgres: simple query": lambda: same("postgres", wire.OPEN, ">", wire.query(b"select v from kv where k = 1")),
    "postgres: extended query": lambda: same("postgres", wire.OPEN, ">", BATCH),
    "postgres: response of a row": lambda: same("postgres", wire.OPEN, "<", ROW),
    "http2: gRPC stream message": stream,
    "http2: gRPC unary request": calls,
    "http2: gRPC unary response": answers,
}


def chunks(messages: list[bytes]) -> list[bytes]:
    """The messages in as few chunks as the relay would read them in."""
    data = b"".join(messages)
    return [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]


def ns_per_message(said: Said, pieces: list[bytes]) -> float:
    """CPU time of one round, checked: everything must be counted."""
    protocol, before, way, messages = said
    framers = framer_pair(protocol, {})
    wire.listen(framers, before)
    feed, seen = framers[wire.WAYS[way]].feed, 0
    started = time.process_time_ns()
    for piece in pieces:
        seen += len(feed(piece))
    took = time.process_time_ns() - started
    assert seen == len(messages), f"{protocol}: {seen} of {len(messages)} messages were counted"
    return took / len(messages)


def main() -> None:
    """Run all cases, interleaved, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    alone: dict[str, list[float]] = {name: [] for name in CASES}
    together: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(repeat):
        for name, case in CASES.items():
            said = case()
            alone[name].append(ns_per_message(said, said[3]))
            together[name].append(ns_per_message(said, chunks(said[3])))
    print(f"{'ns per message':32}{'bytes':>8}{'alone':>10}{'/ frames':>10}{'in 16 KiB':>12}{'/ frames':>10}")
    for name, case in CASES.items():
        figures = [statistics.median(some[key]) for key in (name, FLOOR) for some in (alone, together)]
        print(
            f"{name:32}{len(case()[3][0]):8}{figures[0]:10,.0f}{figures[0] / figures[2]:10.1f}"
            f"{figures[1]:12,.0f}{figures[1] / figures[3]:10.1f}"
        )


if __name__ == "__main__":
    main()
