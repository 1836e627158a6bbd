"""Frames: whatever is written can be read, however the stream is chopped, and garbage is refused."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_systems.kit.frames import MAX_FRAME_BYTES, MAX_OPERATION_ID, Frame, FrameDecoder, FrameError, encode


def summed(data: bytes) -> bytes:
    """The bytes and their checksum."""
    return data + struct.pack(">I", zlib.crc32(data))


operation_ids = st.integers(1, MAX_OPERATION_ID)
frames = st.builds(
    Frame,
    kind=st.integers(0, 65535),
    operations=st.lists(operation_ids, max_size=5).map(tuple),
    sender=st.integers(0, 65535),
    body=st.binary(max_size=50),
)


@given(st.lists(frames, max_size=6), st.lists(st.integers(1, 40), max_size=30))
def test_frames_survive_any_chopping(sent: list[Frame], cuts: list[int]) -> None:
    """What the decoder gives is what was encoded, in order, and nothing is left over."""
    data = b"".join(encode(frame) for frame in sent)
    decoder, received = FrameDecoder(), []
    for size in [*cuts, len(data)]:
        piece, data = data[:size], data[size:]
        received += decoder.feed(piece)
    received += decoder.feed(data)
    assert received == sent
    assert decoder.pending_bytes == 0


def test_the_layout_is_the_published_one() -> None:
    """u32 length of what follows, u16 class, u64 operation id, u16 sender, body, u32 CRC-32; big-endian."""
    data = encode(Frame(kind=3, operations=(7,), sender=2, body=b"hi"))
    assert data == summed(struct.pack(">IHQH", 18, 3, 7, 2) + b"hi")


def test_a_batch_names_its_operations_before_the_body() -> None:
    """Top bit set, low 16 bits are k, then k ids."""
    data = encode(Frame(kind=1, operations=(5, 6), sender=1, body=b"x"))
    assert data == summed(struct.pack(">IHQHQQ", 16 + 16 + 1, 1, (1 << 63) | 2, 1, 5, 6) + b"x")


@given(frames, st.integers(32, 100_000))
def test_one_flipped_bit_behind_the_length_is_noticed(sent: Frame, bit: int) -> None:
    data = bytearray(encode(sent))
    bit = 32 + bit % (8 * len(data) - 32)
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(FrameError, match=r"the checksum of a frame of .* bytes does not fit"):
        FrameDecoder().feed(bytes(data))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (struct.pack(">I", 15), "length field"),
        (struct.pack(">I", MAX_FRAME_BYTES + 1), "length field"),
        (summed(struct.pack(">IHQH", 16, 1, 1 << 63, 0)), "batch field"),
        (summed(struct.pack(">IHQHQ", 24, 1, (1 << 63) | 2, 0, 1)), "batch field"),
        (summed(struct.pack(">IHQHQ", 24, 1, (1 << 63) | (1 << 20) | 1, 0, 1)), "batch field"),
    ],
)
def test_garbage_is_refused(data: bytes, says: str) -> None:
    """A stream that is not made of frames is an error, never a guess."""
    with pytest.raises(FrameError, match=says):
        FrameDecoder().feed(data)


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (Frame(kind=65536), "out of range"),
        (Frame(kind=1, sender=-1), "out of range"),
        (Frame(kind=1, operations=(MAX_OPERATION_ID + 1,)), "operation id"),
        (Frame(kind=1, operations=(1, -1)), "operation id"),
        (Frame(kind=1, operations=(1,) * 65536), "65536 operation ids"),
        (Frame(kind=1, body=bytes(MAX_FRAME_BYTES)), "too long"),
    ],
)
def test_a_frame_that_cannot_be_written_says_why(frame: Frame, says: str) -> None:
    """The limits of each field are named."""
    with pytest.raises(FrameError, match=says):
        encode(frame)
