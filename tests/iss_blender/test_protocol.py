"""Frames: golden bytes, round trips in pieces of any size, and every refusal."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iss_blender import protocol
from iss_blender.protocol import Frame, FrameReader, encode_frame


def raw_frame(content: Any, body: bytes = b"") -> bytes:
    header = content if isinstance(content, bytes) else json.dumps(content).encode()
    return protocol.PREFIX.pack(protocol.MAGIC, len(header), len(body)) + header + body


def header(**changes: Any) -> dict[str, Any]:
    return {"kind": "event", "id": "a", "fields": {}, "arrays": [], **changes}


def entry(**changes: Any) -> dict[str, Any]:
    return {"name": "v", "dtype": "float32", "shape": [1], "offset": 0, **changes}


def read_one(data: bytes) -> Frame:
    reader = FrameReader()
    reader.feed(data)
    frame = reader.take()
    assert frame is not None
    reader.finish()
    return frame


def assert_same(left: Frame, right: Frame) -> None:
    assert (left.kind, left.id, left.fields) == (right.kind, right.id, right.fields)
    assert set(left.arrays) == set(right.arrays)
    for name, array in left.arrays.items():
        assert array.dtype == right.arrays[name].dtype
        assert array.shape == right.arrays[name].shape
        assert array.tobytes() == right.arrays[name].tobytes()


def test_golden_bytes_without_arrays() -> None:
    header_text = b'{"kind":"cancel","id":"job-1","fields":{},"arrays":[]}'
    expected = b"ISS\x01" + bytes([len(header_text), 0, 0, 0]) + bytes(8) + header_text
    assert encode_frame(Frame(protocol.CANCEL, "job-1")) == expected


def test_golden_bytes_with_arrays_put_wide_elements_first() -> None:
    arrays = {"c": np.array([7], np.uint8), "v": np.array([[1.0, -2.0]], np.float32)}
    header_text = (
        b'{"kind":"result","id":"","fields":{"n":1},"arrays":['
        b'{"name":"v","dtype":"float32","shape":[1,2],"offset":0},'
        b'{"name":"c","dtype":"uint8","shape":[1],"offset":8}]}'
    )
    prefix = b"ISS\x01" + len(header_text).to_bytes(4, "little") + (9).to_bytes(8, "little")
    body = bytes.fromhex("0000803f 000000c0 07")
    assert encode_frame(Frame(protocol.RESULT, "", {"n": 1}, arrays)) == prefix + header_text + body


@pytest.mark.parametrize(
    "text", ['a "quoted" chair', "two\nlines\r\n\ttab", "emoji 🪑 é 漢字", "lone \ud800 \x00"]
)
def test_prompts_arrive_as_typed(text: str) -> None:
    frame = protocol.request("j", "generate", {"prompt": text})
    assert read_one(encode_frame(frame)).fields["params"]["prompt"] == text


def test_big_endian_strided_and_scalar_arrays_round_trip() -> None:
    source = np.arange(12, dtype=">f8").reshape(3, 4)
    frame = read_one(encode_frame(Frame("event", "", {}, {"a": source[:, ::2], "s": np.array(5, np.int64)})))
    np.testing.assert_array_equal(frame.arrays["a"], [[0, 2], [4, 6], [8, 10]])
    assert frame.arrays["a"].dtype == np.dtype("<f8")
    assert frame.arrays["s"].shape == () and frame.arrays["s"] == 5


def test_unaligned_arrays_of_another_writer_are_copied_to_alignment() -> None:
    table = [entry(name="b", dtype="uint8"), entry(offset=1)]
    array = read_one(raw_frame(header(arrays=table), b"\x09\x00\x00\x80\x3f")).arrays["v"]
    assert array.flags.aligned and array[0] == 1.0


arrays_strategy = st.dictionaries(
    st.text(min_size=1, max_size=8),
    st.tuples(st.sampled_from(sorted(protocol.DTYPES)), st.lists(st.integers(0, 4), max_size=4)),
    max_size=4,
).map(
    lambda table: {
        name: np.arange(int(np.prod(shape)), dtype=dtype).reshape(shape)
        for name, (dtype, shape) in table.items()
    }
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
frames_strategy = st.builds(
    Frame,
    st.sampled_from(protocol.KINDS),
    st.from_regex(r"[A-Za-z0-9_.-]{0,64}", fullmatch=True),
    st.dictionaries(st.text(), json_values, max_size=4),
    arrays_strategy,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(frames_strategy, min_size=1, max_size=3), st.integers(1, 97))
def test_round_trip_in_pieces(frames: list[Frame], piece: int) -> None:
    data = b"".join(encode_frame(frame) for frame in frames)
    reader, got = FrameReader(), []
    for start in range(0, len(data), piece):
        reader.feed(data[start : start + piece])
        while (frame := reader.take()) is not None:
            got.append(frame)
    reader.finish()
    assert len(got) == len(frames)
    for left, right in zip(frames, got, strict=True):
        assert_same(left, right)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=64), st.integers(0, 120), st.binary(min_size=1, max_size=4))
def test_damaged_streams_raise_only_protocol_errors(tail: bytes, position: int, patch: bytes) -> None:
    data = bytearray(encode_frame(Frame("event", "a", {"k": 1}, {"v": np.ones(3, np.float32)})) + tail)
    data[position : position + len(patch)] = patch
    reader = FrameReader()
    reader.feed(bytes(data))
    try:
        while reader.take() is not None:
            pass
        reader.finish()
    except protocol.ProtocolError as problem:
        assert problem.message and problem.remedy


@pytest.mark.parametrize("keep", [1, 15, 16, 40, -1])
def test_truncated_frames_are_found_at_the_end(keep: int) -> None:
    data = encode_frame(Frame("event", "a", {}, {"v": np.ones(3, np.float32)}))
    reader = FrameReader()
    reader.feed(data[:keep])
    assert reader.take() is None
    assert reader.inside_frame
    with pytest.raises(protocol.TruncatedError):
        reader.finish()


def test_rubbish_is_refused_at_its_first_bytes_and_for_ever() -> None:
    reader = FrameReader()
    reader.feed(b"We")
    with pytest.raises(protocol.MagicError, match="We"):
        reader.take()
    reader.feed(encode_frame(Frame("event")))
    with pytest.raises(protocol.MagicError):
        reader.take()


@pytest.mark.parametrize(
    ("header_bytes", "body_bytes"),
    [(protocol.MAX_HEADER_BYTES + 1, 0), (1, 0), (2, protocol.MAX_BODY_BYTES + 1), (2, 2**64 - 1)],
)
def test_sizes_beyond_the_bounds_are_refused_before_memory_is_taken(
    header_bytes: int, body_bytes: int
) -> None:
    reader = FrameReader()
    reader.feed(protocol.PREFIX.pack(protocol.MAGIC, header_bytes, body_bytes))
    with pytest.raises(protocol.SizeError):
        reader.take()


@pytest.mark.parametrize(
    "content",
    [
        b"{]",
        b"\xff\xff",
        b"[]",
        b"[" * 5000,
        b'{"kind":"event","id":"","fields":{"x":NaN},"arrays":[]}',
        b'{"kind":"event","id":"","fields":{"x":1e999},"arrays":[]}',
        b'{"kind":"event","id":"","fields":{"x":' + b"9" * 5000 + b'},"arrays":[]}',
        header(kind="evil"),
        header(kind=["event"]),
        header(id="../up"),
        header(id="a" * 65),
        header(id=3),
        header(fields=[]),
        header(extra=1),
        {"kind": "event"},
    ],
)
def test_wrong_headers_are_refused(content: Any) -> None:
    with pytest.raises(protocol.HeaderError):
        read_one(raw_frame(content))


@pytest.mark.parametrize(
    ("table", "body_bytes"),
    [
        ([entry()], 3),
        ([entry()], 5),
        ([], 1),
        ([entry(offset=4)], 8),
        ([entry(), entry(name="w", offset=2)], 6),
        ([entry(), entry(name="w", offset=5)], 9),
        ([entry(), entry(offset=4)], 8),
        ([entry(dtype="float16")], 4),
        ([entry(dtype="object")], 4),
        ([entry(dtype=["float32"])], 4),
        ([entry(shape=[-1])], 4),
        ([entry(shape=[True])], 4),
        ([entry(shape=[1.0])], 4),
        ([entry(shape=1)], 4),
        ([entry(shape=[1] * 5)], 4),
        ([entry(shape=[0, 2**30, 2**30])], 0),
        ([entry(offset=-4)], 4),
        ([entry(name="")], 4),
        ([entry(name="n" * 65)], 4),
        ([entry(extra=1)], 4),
        ([{"name": "v"}], 4),
        (["v"], 4),
        ({}, 0),
        ([entry(name=str(i), shape=[0]) for i in range(257)], 0),
    ],
)
def test_wrong_array_tables_are_refused(table: Any, body_bytes: int) -> None:
    with pytest.raises(protocol.ArrayError):
        read_one(raw_frame(header(arrays=table), bytes(body_bytes)))


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        (Frame("evil"), protocol.HeaderError),
        (Frame("event", "no spaces"), protocol.HeaderError),
        (Frame("event", "", {"x": float("nan")}), protocol.HeaderError),
        (Frame("event", "", {"x": object()}), protocol.HeaderError),
        (Frame("event", "", {"x": "y" * protocol.MAX_HEADER_BYTES}), protocol.SizeError),
        (Frame("event", "", {}, {"a": np.zeros(1, np.float16)}), protocol.ArrayError),
        (Frame("event", "", {}, {"a": np.array([None])}), protocol.ArrayError),
        (Frame("event", "", {}, {"": np.zeros(1)}), protocol.ArrayError),
        (Frame("event", "", {}, {"a": np.zeros((1, 1, 1, 1, 1))}), protocol.ArrayError),
        (Frame("event", "", {}, {str(i): np.zeros(0) for i in range(257)}), protocol.SizeError),
    ],
)
def test_what_may_not_cross_is_refused_by_the_writer(frame: Frame, problem: type[Exception]) -> None:
    with pytest.raises(problem):
        encode_frame(frame)
