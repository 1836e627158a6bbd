"""Huffman-coded strings of HPACK (RFC 7541, section 5.2), four bits at a time."""

from __future__ import annotations

from pytest_coordchaos.relay.framing.base import Unframed
from pytest_coordchaos.relay.framing.hpack_tables import EOS, huffman_codes

__all__ = ["decode"]

_MAX_PADDING_BITS = 7

_Step = tuple[int, int]  # the state after four bits, and the symbol they ended (-1: none)


def decode(coded: bytes) -> bytes:
    """The string.

    Raises:
        Unframed: It is no coded string.
    """
    state, out = 0, bytearray()
    for byte in coded:
        for bits in (byte >> 4, byte & 15):
            state, symbol = _STEPS[state << 4 | bits]
            if symbol >= 0:
                out.append(symbol)
            elif state < 0:
                raise Unframed
    if state not in _ENDS:
        raise Unframed
    return bytes(out)


def _tree() -> list[list[int]]:
    """Inner nodes: what follows on a 0 and on a 1, an inner node's number or ~symbol."""
    nodes = [[0, 0]]
    for symbol, (code, length) in huffman_codes().items():
        node = 0
        for shift in range(length - 1, 0, -1):
            bit = code >> shift & 1
            if not nodes[node][bit]:
                nodes.append([0, 0])
                nodes[node][bit] = len(nodes) - 1
            node = nodes[node][bit]
        nodes[node][code & 1] = ~symbol
    return nodes


def _step(nodes: list[list[int]], state: int, bits: int) -> _Step:
    symbol = -1
    for shift in (3, 2, 1, 0):
        state = nodes[state][bits >> shift & 1]
        if state < 0:
            symbol, state = ~state, 0
            if symbol == EOS:
                return -1, -1
    return state, symbol


def _padding(nodes: list[list[int]]) -> frozenset[int]:
    """States in which a string may end: the last bits are ones, and fewer than a byte."""
    state, states = 0, [0]
    for _ in range(_MAX_PADDING_BITS):
        state = nodes[state][1]
        states.append(state)
    return frozenset(states)


_NODES = _tree()
_STEPS = [_step(_NODES, state, bits) for state in range(len(_NODES)) for bits in range(16)]
_ENDS = _padding(_NODES)
