"""HPACK: our decoder against another's encoder, the RFC's examples, and what must be refused."""

from __future__ import annotations

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_coordchaos.relay.framing.base import Unframed
from pytest_coordchaos.relay.framing.hpack import HeaderDecoder
from pytest_coordchaos.relay.framing.hpack_huffman import decode
from pytest_coordchaos.relay.framing.hpack_tables import EOS, STATIC_FIELDS, huffman_codes

names = st.sampled_from([b":method", b":path", b"content-type", b"x-a", b"x-b", b"cookie"])
fields = st.lists(st.tuples(names, st.binary(max_size=60)), max_size=8)
blocks = st.lists(
    st.tuples(fields, st.booleans(), st.booleans(), st.sampled_from([None, None, 0, 60, 300, 4096, 65536])), max_size=8
)


@given(blocks)
def test_whatever_an_encoder_writes_is_read(written: list[tuple[list[tuple[bytes, bytes]], bool, bool, int | None]]) -> None:
    encoder, decoder = hpack.Encoder(), HeaderDecoder()
    for some, huffman, never_indexed, table_size in written:
        if table_size is not None:
            encoder.header_table_size = table_size
        wrap = hpack.NeverIndexedHeaderTuple if never_indexed else hpack.HeaderTuple
        block = encoder.encode([wrap(*field) for field in some], huffman=huffman)
        assert decoder.decode(block) == dict(some)


def test_the_example_of_the_rfc_with_eviction() -> None:
    """Appendix C.6: three responses, Huffman-coded, a table of 256 bytes."""
    decoder = HeaderDecoder()
    size_256 = b"\x3f\xe1\x01"
    first = bytes.fromhex(
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3"
    )
    second = bytes.fromhex("4883640effc1c0bf")
    third = bytes.fromhex(
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960"
        "d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007"
    )

    assert decoder.decode(size_256 + first)[b":status"] == b"302"
    assert decoder.decode(second) == {
        b":status": b"307",
        b"cache-control": b"private",
        b"date": b"Mon, 21 Oct 2013 20:13:21 GMT",
        b"location": b"https://www.example.com",
    }
    assert decoder.decode(third)[b"set-cookie"] == b"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"


@given(st.binary(max_size=200))
def test_no_block_makes_the_decoder_raise_anything_else(block: bytes) -> None:
    try:
        HeaderDecoder().decode(block)
    except Unframed:
        pass


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",
        b"\xbe",
        b"\xff\xff\xff\xff\xff\xff\x01",
        b"\x40",
        b"\x40\x05abc",
        b"\x00\x01a\x81\x00",
        b"\x3f\xe2\xff\x03",
        b"\xff",
    ],
    ids=["index 0", "unknown index", "endless integer", "no name", "short name", "padding of noughts", "huge table", "cut short"],
)
def test_what_is_no_header_block_is_refused(block: bytes) -> None:
    with pytest.raises(Unframed):
        HeaderDecoder().decode(block)


def test_the_table_never_outgrows_what_was_agreed() -> None:
    decoder, encoder = HeaderDecoder(), hpack.Encoder()
    for number in range(500):
        decoder.decode(encoder.encode([(b"x-%d" % number, b"v" * 100)]))

    assert sum(len(name) + len(value) + 32 for name, value in decoder._table) <= 4096
    assert len(decoder._table) > 20


def test_the_code_is_complete_and_its_end_never_appears_whole() -> None:
    """Kraft's sum of a complete code is 1; the table's lengths leave no gap."""
    codes = huffman_codes()

    assert sum(1 << (30 - bits) for _, bits in codes.values()) == 1 << 30
    assert codes[EOS] == (0x3FFFFFFF, 30)
    assert codes[ord("0")] == (0, 5)
    with pytest.raises(Unframed):
        decode(b"\xff\xff\xff\xff")
    assert len(STATIC_FIELDS) == 61
    assert STATIC_FIELDS[60] == (b"www-authenticate", b"")
