"""Depth maps in OpenEXR files: scan lines, one part, without compression or with RLE, ZIPS or ZIP.

That is what Blender and most tools write by default. PIZ and the lossy kinds are refused with what to do.
Facts of the format are from the OpenEXR file layout document.
"""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backend.errors import DatasetError

MAGIC = b"v/1\x01"
_TILED_OR_MORE = 0x200 | 0x800 | 0x1000
"""Flags in the version field: tiles, deep data, several parts."""
_LINES = {0: 1, 1: 1, 2: 1, 3: 16}
"""Compression -> scan lines per block: none, RLE, ZIPS, ZIP."""
_TYPES = {0: np.dtype("<u4"), 1: np.dtype("<f2"), 2: np.dtype("<f4")}
_LARGEST_SIDE = 16384
_ORDER = ("Z", "V", "Y", "R", "G", "B")
"""Channels that hold a depth, best first."""


@dataclass(frozen=True)
class _Header:
    channels: list[tuple[str, np.dtype]]
    compression: int
    width: int
    height: int
    first_row: int
    end: int
    """Offset of the block table."""


def read_depth(path: Path) -> np.ndarray:
    """float32 [H, W]: the depth channel of the file (Z, else the first colour); DatasetError where it cannot
    be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be read: {error.strerror}.",
            remedy='Copy the file again, or train without depth ("depth": false).',
        ) from error
    try:
        return _read(data, path)
    except (struct.error, zlib.error, IndexError, ValueError, KeyError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"{path} is cut off or damaged: {error}.",
            remedy='Copy the file again, or train without depth ("depth": false).',
        ) from error


def _read(data: bytes, path: Path) -> np.ndarray:
    header = _header(data, path)
    names = [name for name, _ in header.channels]
    # Layered files name channels "Layer.Z".
    wanted = min(
        names, key=lambda n: _ORDER.index(n.split(".")[-1]) if n.split(".")[-1] in _ORDER else len(_ORDER)
    )
    per_block = _LINES[header.compression]
    blocks = -(-header.height // per_block)
    offsets = struct.unpack_from(f"<{blocks}Q", data, header.end)
    depth = np.empty((header.height, header.width), np.float32)
    row_bytes = sum(kind.itemsize for _, kind in header.channels) * header.width
    for offset in offsets:
        line, size = struct.unpack_from("<ii", data, offset)
        top = line - header.first_row
        rows = min(per_block, header.height - top)
        if top < 0 or rows <= 0 or size < 0 or offset + 8 + size > len(data):
            raise ValueError("a block lies outside the picture")
        block = _unpack(data[offset + 8 : offset + 8 + size], header.compression, rows * row_bytes)
        start = 0
        for row in range(top, top + rows):
            for name, kind in header.channels:
                if name == wanted:
                    depth[row] = np.frombuffer(block, kind, header.width, start)
                start += kind.itemsize * header.width
    return depth


def _header(data: bytes, path: Path) -> _Header:
    if data[:4] != MAGIC:
        raise DatasetError(f"{path} is no OpenEXR file.", remedy="Write the depth maps as OpenEXR files.")
    (version,) = struct.unpack_from("<I", data, 4)
    if version & _TILED_OR_MORE:
        raise DatasetError(
            f"{path} has tiles, several parts or deep pixels.",
            remedy="Write it as plain scan lines, for example with oiiotool --scanline.",
        )
    place, fields = 8, {}
    while data[place] != 0:
        name, place = _text(data, place)
        _, place = _text(data, place)
        (size,) = struct.unpack_from("<i", data, place)
        fields[name] = data[place + 4 : place + 4 + size]
        place += 4 + size
    channels, at = [], 0
    while fields["channels"][at] != 0:
        name, at = _text(fields["channels"], at)
        kind, _, across, down = struct.unpack_from("<iIii", fields["channels"], at)
        if (across, down) != (1, 1):
            raise ValueError(f"the channel {name} is sampled more coarsely")
        channels.append((name, _TYPES[kind]))
        at += 16
    left, top, right, bottom = struct.unpack("<4i", fields["dataWindow"])
    width, height = right - left + 1, bottom - top + 1
    if not (0 < width <= _LARGEST_SIDE and 0 < height <= _LARGEST_SIDE and channels):
        raise ValueError(f"it claims {width} x {height} pixels of {len(channels)} channels")
    compression = fields["compression"][0]
    if compression not in _LINES:
        raise DatasetError(
            f"{path} is compressed in a way that is not read here (number {compression}).",
            remedy="Write it with ZIP compression (oiiotool IN --compression zip -o OUT), or train "
            'without depth ("depth": false).',
        )
    return _Header(channels, compression, width, height, top, place + 1)


def _text(data: bytes, place: int) -> tuple[str, int]:
    """The zero-terminated name at `place`, and where it ends."""
    end = data.index(b"\0", place)
    return data[place:end].decode(), end + 1


def _unpack(block: bytes, compression: int, size: int) -> bytes:
    """The bytes of a block; one that would not have shrunk is stored as it is."""
    if compression == 0 or len(block) == size:
        plain = block
    else:
        inflate = _run_lengths if compression == 1 else zlib.decompressobj().decompress
        plain = _undo_prediction(inflate(block, size))
    if len(plain) != size:
        raise ValueError(f"a block holds {len(plain)} bytes instead of {size}")
    return plain


def _undo_prediction(packed: bytes) -> bytes:
    """Bytes were stored as differences (plus 128), even places before odd ones."""
    steps = np.frombuffer(packed, np.uint8).astype(np.int64)
    steps[1:] -= 128
    values = (np.cumsum(steps) & 255).astype(np.uint8)
    half = (len(values) + 1) // 2
    plain = np.empty_like(values)
    plain[0::2], plain[1::2] = values[:half], values[half:]
    return plain.tobytes()


def _run_lengths(block: bytes, size: int) -> bytes:
    """A negative count is followed by so many bytes as they are, another by one byte to repeat count + 1
    times."""
    out, place = bytearray(), 0
    while place < len(block) and len(out) <= size:
        count = block[place] - 256 if block[place] > 127 else block[place]
        place += 1
        if count < 0:
            out += block[place : place - count]
            place -= count
        else:
            out += block[place : place + 1] * (count + 1)
            place += 1
    return bytes(out)
