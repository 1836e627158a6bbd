"""Conversations of the protocols that are framed, for Hypothesis to draw, cut and spoil."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from hypothesis import strategies as st

from tests.unit import wire_samples as wire
from tests.unit.wire_samples import H2Client

__all__ = ["Turn", "cut", "spoiled", "spoken", "talks"]

Turn = tuple[str, bytes]
small = st.binary(max_size=40)


resp_values = st.one_of(
    st.sampled_from(
        [b"+OK\r\n", b"$-1\r\n", b"_\r\n", b"%1\r\n+a\r\n*2\r\n:1\r\n#t\r\n", b"$?\r\n;2\r\nab\r\n;0\r\n", b"*?\r\n:1\r\n.\r\n"]
    ),
    small.map(lambda body: b"$%d\r\n%s\r\n" % (len(body), body)),
    small.map(lambda body: b">2\r\n+message\r\n$%d\r\n%s\r\n" % (len(body), body)),
)
resp_turns = st.one_of(
    st.lists(st.one_of(small, st.sampled_from([b"get", b"SET", b"PSYNC", b"subscribe"])), min_size=1, max_size=4).map(
        lambda words: (">", wire.command(*words))
    ),
    st.sampled_from([(">", b"PING\r\n"), (">", b"\r\n"), ("<", b"$EOF:" + b"m" * 40 + b"\r\nRDB" + b"m" * 40)]),
    st.lists(resp_values, min_size=1, max_size=3).map(lambda values: ("<", b"".join(values))),
)
postgres_turns = st.one_of(
    small.map(lambda text: (">", wire.query(b"select " + text.replace(b"\0", b"")))),
    small.map(lambda values: (">", wire.parse(b"insert", b"s") + wire.bind(b"s", values) + wire.execute() + wire.SYNC)),
    st.sampled_from(
        [
            (">", wire.parse(b"update", b"u") + wire.packet(b"D", b"Su\0") + wire.FLUSH),
            ("<", wire.packet(b"1") + wire.packet(b"t", b"\0\0") + wire.packet(b"n")),
            ("<", wire.ROWS),
            ("<", wire.DONE),
            ("<", wire.packet(b"E", b"x\0\0")),
            ("<", wire.packet(b"A", bytes(9))),
            ("<", wire.packet(b"G", bytes(3))),
            (">", wire.packet(b"d", b"1\n") + wire.packet(b"c")),
            ("<", wire.packet(b"W", bytes(3)) + wire.packet(b"d", b"w" + bytes(30))),
            (">", wire.packet(b"d", b"r" + bytes(30))),
        ]
    ),
)
h2_kinds = st.lists(
    st.tuples(st.sampled_from(["call", "stream", "plain", "reset", "ping"]), st.lists(small, max_size=3)), max_size=6
)


def h2_talk(kinds: Iterable[tuple[str, list[bytes]]]) -> list[Turn]:
    client, said = H2Client(), [("<", wire.h2(wire.SETTINGS))]
    said.append((">", client.hello))
    for number, (kind, bodies) in enumerate(kinds):
        stream = 2 * number + 1
        messages = [wire.grpc(body) for body in bodies]
        if kind == "ping":
            said += [(way, wire.h2(wire.PING, 0, 0, bytes(8))) for way in "><"]
        elif kind == "plain":
            said.append((">", client.headers(stream, method=b"GET", content_type=b"", flags=wire.END_STREAM)))
            said.append(("<", wire.h2_response(stream, *bodies)))
        else:
            said.append(
                (">", client.headers(stream, b"/a/B%d" % (number % 3)) + wire.h2(wire.DATA, 0, stream, b"".join(messages)))
            )
            said.append(("<", wire.h2_response(stream, *messages)))
            if kind == "reset":
                said.append((">", wire.h2(wire.RST_STREAM, 0, stream, bytes(4))))
            else:
                said.append((">", wire.h2(wire.DATA, wire.END_STREAM, stream)))
    return said


talks: dict[str, st.SearchStrategy[list[Turn]]] = {
    "resp": st.lists(resp_turns, max_size=8),
    "postgres": st.lists(postgres_turns, max_size=8).map(lambda turns: [*wire.OPEN, *turns]),
    "http2": h2_kinds.map(h2_talk),
}
spoken = st.sampled_from(sorted(talks)).flatmap(lambda name: st.tuples(st.just(name), talks[name]))


def cut(talk: Iterable[Turn], sizes: Iterable[int]) -> list[Turn]:
    """The same said in pieces."""
    left, out = deque(sizes), list[Turn]()
    for way, data in talk:
        while data:
            size = left.popleft() if left else len(data)
            out.append((way, data[:size]))
            data = data[size:]
    return out


@st.composite
def _spoil(draw: st.DrawFn, said: tuple[str, list[Turn]]) -> tuple[str, list[Turn]]:
    protocol, talk = said
    for _ in range(draw(st.integers(1, 3)) if talk else 0):
        at = draw(st.integers(0, len(talk) - 1))
        way, data = talk[at]
        edge = draw(st.integers(0, len(data)))
        talk[at] = (way, data[:edge] + draw(st.binary(max_size=12)) + data[edge + draw(st.integers(0, 6)) :])
    return protocol, [turn for turn in talk if turn[1]]


spoiled = spoken.flatmap(_spoil)
"""Bytes changed, left out and put in, anywhere."""
