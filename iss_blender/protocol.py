"""The contract between Blender and the backend: frames, messages, error codes, version.

A frame is a fixed little-endian prefix (magic, header length, body length), a JSON header and a raw
body. The header names the kind, the job id, free fields and a table of the arrays that tile the body
exactly. Both sides read this one file; it needs the standard library and numpy only.
"""

import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Fields = dict[str, Any]

PROTOCOL_VERSION = 2
"""Both sides must have the same number; raised with every change that an older side would misread."""

MAGIC = b"ISS\x01"
PREFIX = struct.Struct("<4sIQ")
"""Magic, header length in bytes, body length in bytes; 16 bytes without padding."""

MAX_HEADER_BYTES = 256 * 1024
"""Parsing a header of this size stays within one poll of the add-on."""
MAX_BODY_BYTES = 1 << 30
MAX_ARRAYS = 256
MAX_DIMENSIONS = 4
MAX_NAME_LENGTH = 64

REQUEST, EVENT, RESULT, ERROR, CANCEL, STOP = "request", "event", "result", "error", "cancel", "stop"
"""Cancel gives a job up; stop ends its tuning early and keeps the best until then as the result."""
KINDS = (REQUEST, EVENT, RESULT, ERROR, CANCEL, STOP)

HELLO, HEARTBEAT, STARTED, PROGRESS, PREVIEW = "hello", "heartbeat", "started", "progress", "preview"
"""Values of an event's field "name". Hello and heartbeat carry the empty id, the others a job's id."""

CONFIGURE = "configure"
"""Request that the server itself answers; its parameter `idle_unload_s` is 0 for never."""

DTYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float64": np.dtype("<f8"),
    "int32": np.dtype("<i4"),
    "int64": np.dtype("<i8"),
    "uint8": np.dtype("u1"),
}
"""Every element type that may cross, always little-endian."""

CODE_PROTOCOL, CODE_VERSION, CODE_UNKNOWN = "protocol", "version", "unknown_request"
CODE_BUSY, CODE_CANCELLED, CODE_MEMORY, CODE_INTERNAL = "busy", "cancelled", "memory", "internal"
"""Codes of error frames beyond those of backend/errors.py."""

_ID = re.compile(r"[A-Za-z0-9_.-]{0,64}")
_HEADER_KEYS = {"kind", "id", "fields", "arrays"}
_ENTRY_KEYS = {"name", "dtype", "shape", "offset"}
_NO_BODY: Array = np.empty(0, np.uint8)


class ProtocolError(Exception):
    """Base of everything that can be wrong with a frame; the stream cannot be used afterwards."""

    code = CODE_PROTOCOL

    def __init__(self, message: str, *, remedy: str = "Update the add-on and the backend together.") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class MagicError(ProtocolError):
    """The stream holds something that is no frame."""


class SizeError(ProtocolError):
    """A length beyond the bounds."""


class HeaderError(ProtocolError):
    """A header that is no JSON object of the agreed form."""


class ArrayError(ProtocolError):
    """An array table that does not tile the body, or an array that may not cross."""


class TruncatedError(ProtocolError):
    """The stream ended in the middle of a frame."""


@dataclass(frozen=True)
class Frame:
    """One message: kind, job id ("" for none), JSON fields and named arrays."""

    kind: str
    id: str = ""
    fields: Fields = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)


def request(job_id: str, name: str, params: Fields, arrays: Mapping[str, Array] | None = None) -> Frame:
    """A request for handler `name`."""
    return Frame(REQUEST, job_id, {"name": name, "params": params}, dict(arrays or {}))


def event(job_id: str, name: str, fields: Fields, arrays: Mapping[str, Array] | None = None) -> Frame:
    """An event of a job, or of the backend itself when the id is empty."""
    return Frame(EVENT, job_id, {**fields, "name": name}, dict(arrays or {}))


def error(job_id: str, code: str, message: str, remedy: str = "") -> Frame:
    """The end of a job without a result."""
    return Frame(ERROR, job_id, {"code": code, "message": message, "remedy": remedy})


def encode_frame(frame: Frame) -> bytes:
    """The bytes of a frame.

    Arrays are laid out by falling element size, so that every one of them starts aligned although
    they tile the body without gaps. ProtocolError names what may not cross.
    """
    check_id(frame.id)
    if frame.kind not in KINDS:
        raise HeaderError(f"Frame kind {frame.kind!r} is not one of {', '.join(KINDS)}.")
    if len(frame.arrays) > MAX_ARRAYS:
        raise SizeError(f"{len(frame.arrays)} arrays in a frame, more than {MAX_ARRAYS}.")
    blocks = [(name, *_wire_array(name, array)) for name, array in frame.arrays.items()]
    blocks.sort(key=lambda block: -block[2].itemsize)
    table, offset = [], 0
    for name, dtype_name, array in blocks:
        table.append({"name": name, "dtype": dtype_name, "shape": list(array.shape), "offset": offset})
        offset += array.nbytes
    content = {"kind": frame.kind, "id": frame.id, "fields": frame.fields, "arrays": table}
    try:
        # ASCII escapes carry every character, lone surrogates of odd file names included.
        header = json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")
    except (TypeError, ValueError, RecursionError) as problem:
        raise HeaderError(f"The fields of a {frame.kind} frame are not plain JSON: {problem}.") from problem
    _check_lengths(len(header), offset)
    parts: list[bytes | memoryview] = [PREFIX.pack(MAGIC, len(header), offset), header]
    parts += [array.reshape(-1).view(np.uint8).data for _, _, array in blocks if array.size]
    return b"".join(parts)


class FrameReader:
    """Takes a stream apart into frames, fed in pieces of any size.

    The body of a large frame is filled in place, so its arrays are views that cost no second copy.
    After a ProtocolError the reader only repeats that error: a broken stream is never resumed.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._header: _Header | None = None
        self._body: Array = _NO_BODY
        self._filled = 0
        self._failure: ProtocolError | None = None

    def feed(self, data: bytes) -> None:
        """Append bytes as they came from the pipe."""
        self._buffer += data

    def take(self) -> Frame | None:
        """The next complete frame, or None when more bytes are needed; ProtocolError."""
        if self._failure is not None:
            raise self._failure
        try:
            return self._take()
        except ProtocolError as failure:
            self._failure = failure
            raise

    def finish(self) -> None:
        """To be called at the end of the stream: TruncatedError when it ended inside a frame."""
        if self._failure is None and self.inside_frame:
            held = len(self._buffer) + self._filled
            raise TruncatedError(
                f"The stream ended inside a frame, after {held} bytes of it.",
                remedy="The other side died while it was writing; start it again.",
            )

    @property
    def inside_frame(self) -> bool:
        """Whether bytes of an incomplete frame are held."""
        return bool(self._buffer) or self._header is not None

    def _take(self) -> Frame | None:
        if self._header is None:
            self._header = self._take_header()
            if self._header is None:
                return None
            size = self._header.body_bytes
            self._body, self._filled = (np.empty(size, np.uint8) if size else _NO_BODY), 0
        wanted = min(len(self._body) - self._filled, len(self._buffer))
        if wanted:
            with memoryview(self._buffer) as view:
                self._body[self._filled : self._filled + wanted] = view[:wanted]
            del self._buffer[:wanted]
            self._filled += wanted
        if self._filled < len(self._body):
            return None
        header, body = self._header, self._body
        self._header, self._body, self._filled = None, _NO_BODY, 0
        return header.frame(body)

    def _take_header(self) -> "_Header | None":
        start = bytes(self._buffer[: len(MAGIC)])
        if not MAGIC.startswith(start):
            excerpt = bytes(self._buffer[:80]).decode("utf-8", "backslashreplace")
            raise MagicError(
                f"The stream holds something that is no frame: {excerpt!r}.",
                remedy="Make sure that the backend command, its shell and its login scripts print nothing.",
            )
        if len(self._buffer) < PREFIX.size:
            return None
        _, header_bytes, body_bytes = PREFIX.unpack_from(self._buffer)
        _check_lengths(header_bytes, body_bytes)
        end = PREFIX.size + header_bytes
        if len(self._buffer) < end:
            return None
        header = _parse_header(bytes(self._buffer[PREFIX.size : end]), body_bytes)
        del self._buffer[:end]
        return header


@dataclass(frozen=True)
class _Entry:
    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def cut(self, body: Array) -> Array:
        count = math.prod(self.shape)
        array: Array = (
            np.frombuffer(body, self.dtype, count, self.offset) if count else np.empty(0, self.dtype)
        )
        array = array.reshape(self.shape)
        return array if array.flags.aligned else array.copy()


@dataclass(frozen=True)
class _Header:
    kind: str
    id: str
    fields: Fields
    entries: list[_Entry]
    body_bytes: int

    def frame(self, body: Array) -> Frame:
        return Frame(self.kind, self.id, self.fields, {e.name: e.cut(body) for e in self.entries})


def check_id(value: object) -> str:
    """A job id: up to 64 letters, digits, `_`, `.` or `-`, so that it is a file name everywhere."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise HeaderError(f"Id {value!r:.100} is not up to 64 of the characters A-Z a-z 0-9 _ . -")
    return value


def _check_lengths(header_bytes: int, body_bytes: int) -> None:
    if not 2 <= header_bytes <= MAX_HEADER_BYTES:
        raise SizeError(
            f"A header of {header_bytes} bytes, outside 2 to {MAX_HEADER_BYTES}.",
            remedy="Shorten the prompt or the settings.",
        )
    if body_bytes > MAX_BODY_BYTES:
        raise SizeError(
            f"A body of {body_bytes} bytes, more than {MAX_BODY_BYTES}.",
            remedy="Lower the mesh resolution or set a face budget.",
        )


def _wire_array(name: str, array: Array) -> tuple[str, Array]:
    if not 0 < len(name) <= MAX_NAME_LENGTH:
        raise ArrayError(f"Array name {name!r:.100} is empty or longer than {MAX_NAME_LENGTH}.")
    if array.ndim > MAX_DIMENSIONS:
        raise ArrayError(f"Array {name!r} has {array.ndim} dimensions, more than {MAX_DIMENSIONS}.")
    dtype = DTYPES.get(array.dtype.name)
    if dtype is None:
        raise ArrayError(f"Array {name!r} has type {array.dtype}, not one of {', '.join(DTYPES)}.")
    return array.dtype.name, np.ascontiguousarray(array, dtype).reshape(array.shape)


def _parse_header(text: bytes, body_bytes: int) -> _Header:
    try:
        content = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as problem:
        raise HeaderError(f"A header is not JSON: {problem}.") from problem
    if not isinstance(content, dict) or set(content) != _HEADER_KEYS:
        raise HeaderError(f"A header must be an object with the keys {', '.join(sorted(_HEADER_KEYS))}.")
    kind, fields, table = content["kind"], content["fields"], content["arrays"]
    if kind not in KINDS:
        raise HeaderError(f"Frame kind {kind!r:.100} is not one of {', '.join(KINDS)}.")
    if not isinstance(fields, dict):
        raise HeaderError("The fields of a header must be an object.")
    if not isinstance(table, list) or len(table) > MAX_ARRAYS:
        raise ArrayError(f"The array table must be a list of at most {MAX_ARRAYS} entries.")
    entries = [_parse_entry(raw) for raw in table]
    _check_tiling(entries, body_bytes)
    return _Header(kind, check_id(content["id"]), fields, entries, body_bytes)


def _parse_entry(raw: object) -> _Entry:
    if not isinstance(raw, dict) or set(raw) != _ENTRY_KEYS:
        raise ArrayError(f"An array entry must have the keys {', '.join(sorted(_ENTRY_KEYS))}.")
    name, dtype, shape, offset = raw["name"], raw["dtype"], raw["shape"], raw["offset"]
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_LENGTH:
        raise ArrayError(f"Array name {name!r:.100} is not a text of 1 to {MAX_NAME_LENGTH} characters.")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ArrayError(f"Array {name!r} has type {dtype!r:.100}, not one of {', '.join(DTYPES)}.")
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS or not all(_is_size(n) for n in shape):
        raise ArrayError(f"Array {name!r} has shape {shape!r:.100}, not up to {MAX_DIMENSIONS} sizes.")
    if math.prod(n or 1 for n in shape) > MAX_BODY_BYTES:
        raise ArrayError(f"Array {name!r} has shape {shape!r:.100}, too large for any body.")
    if not _is_size(offset):
        raise ArrayError(f"Array {name!r} has offset {offset!r:.100}.")
    return _Entry(name, DTYPES[dtype], tuple(shape), offset)


def _check_tiling(entries: list[_Entry], body_bytes: int) -> None:
    end, names = 0, set()
    for entry in entries:
        if entry.name in names:
            raise ArrayError(f"Two arrays are named {entry.name!r}.")
        if entry.offset != end:
            wrong = "overlaps the array before it" if entry.offset < end else "leaves a gap before it"
            raise ArrayError(f"Array {entry.name!r} at offset {entry.offset} {wrong} (expected {end}).")
        names.add(entry.name)
        end += entry.nbytes
    if end != body_bytes:
        raise ArrayError(f"The arrays cover {end} bytes of a body of {body_bytes}.")


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_BODY_BYTES


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is beyond a double")
    return value
