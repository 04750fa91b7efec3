"""Reading somebody else's checkpoint file safely: tensors come out, or a sentence says why not.

Nothing in a file is ever executed: pickles are read by torch's restricted reader only. What claims more than
the file holds (zip bombs, expanded tensors), what was cut off, and what is no checkpoint at all is refused.
"""

import gzip
import json
import logging
import math
import pickle
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from backend.errors import CheckpointError

logger = logging.getLogger(__name__)

LARGEST_BYTES = 16 * 2**30
"""Of a file's unpacked contents; the largest public checkpoint of the method is below 4 GiB."""
LARGEST_RATIO = 200
"""Of unpacked to packed size; weights shrink by a factor of 10 at most, bombs by 1000."""
LARGEST_PICKLE = 64 * 2**20
"""Bytes of the structure beside the tensors."""
WRAPPERS = ("G_ema", "model", "state_dict", "model_state_dict")
"""Keys under which public checkpoints keep the state dict, best first."""
_PARALLEL_PREFIX = "module."
_SHOWN = 8
"""Names listed in a message."""

_AGAIN = "Download it again, and compare its size with the publisher's."
_UNREADABLE = (
    pickle.UnpicklingError, EOFError, RuntimeError, OSError, ValueError, TypeError, AttributeError,
    LookupError, AssertionError, OverflowError, MemoryError,
)  # fmt: skip
"""What torch's reader raises for bytes that are no checkpoint."""


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The state dict in a .pt, .pth, .torch, .safetensors file or one packed with gzip.

    Floating point tensors come in single precision, whatever they were stored in. CheckpointError where the
    file is damaged, unsafe, no checkpoint, or holds numbers that are not finite.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}.", remedy="Give the path of a checkpoint file.")
    with _unpacked(path) as plain:
        content = _read(plain, path.name)
        weights = _find_state_dict(content, path.name)
        return _in_single_precision(weights, path.name, plain.stat().st_size)


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """The file itself, or a temporary copy without its gzip packing."""
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    if not packed:
        yield path
        return
    limit = min(LARGEST_BYTES, LARGEST_RATIO * path.stat().st_size)
    with tempfile.TemporaryDirectory(prefix="checkpoint-") as folder:
        plain = Path(folder) / "plain"
        try:
            with gzip.open(path) as source, plain.open("wb") as target:
                _copy_at_most(source, target, limit, path.name)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise CheckpointError(f"{path.name} is cut off or damaged: {error}.", remedy=_AGAIN) from error
        yield plain


def _copy_at_most(source: Any, target: BinaryIO, limit: int, name: str) -> None:
    done = 0
    while block := source.read(1 << 20):
        done += len(block)
        if done > limit:
            raise _bomb(name, f"more than {limit} bytes")
        target.write(block)


def _bomb(name: str, size: str) -> CheckpointError:
    return CheckpointError(
        f"{name} unpacks to {size}, far more than weights could; it looks like a zip bomb.",
        remedy="Delete it, and get the checkpoint from its publisher.",
    )


def _read(path: Path, name: str) -> Any:
    with path.open("rb") as stream:
        head = stream.read(16)
    if not head:
        raise CheckpointError(f"{name} is empty.", remedy=_AGAIN)
    if head.lstrip()[:1] == b"<":
        raise CheckpointError(
            f"{name} is a web page, not a checkpoint.",
            remedy="Open it in a browser: the server probably wants a confirmation before the download.",
        )
    if len(head) > 8 and head[8:9] == b"{":
        return _read_safetensors(path, name)
    if head[:2] == b"PK":
        _check_archive(path, name)
    try:
        # Training scripts keep numpy numbers (best loss) beside the weights; they are data, not code.
        with torch.serialization.safe_globals(_harmless()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _refusal(name, str(error)) from error
    except _UNREADABLE as error:
        logger.info("%s: %s", name, error)
        raise CheckpointError(
            f"{name} is cut off or damaged ({type(error).__name__}).", remedy=_AGAIN
        ) from error


def _harmless() -> list[Any]:
    scalar = np._core.multiarray.scalar
    kinds = [type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "?")]
    return [
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        np.dtype,
        *kinds,
    ]


def _refusal(name: str, message: str) -> CheckpointError:
    """torch's reader says the same class for code and for garbage; only its text tells them apart."""
    if "GLOBAL" in message or "class" in message:
        wanted = message.partition("GLOBAL ")[2].split(" ")[0].strip(".,") or "a class"
        return CheckpointError(
            f"{name} holds code ({wanted}) beside its weights and was not opened.",
            remedy="Save only the state dict with the model's own program, or get a file of weights alone.",
        )
    return CheckpointError(f"{name} is cut off, damaged or no checkpoint.", remedy=_AGAIN)


def _check_archive(path: Path, name: str) -> None:
    """CheckpointError for a zip archive that is cut off, a bomb or a program."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            unpacked = sum(entry.file_size for entry in entries)
            if unpacked > min(LARGEST_BYTES, LARGEST_RATIO * path.stat().st_size):
                raise _bomb(name, f"{unpacked} bytes")
            names = [entry.filename for entry in entries]
            if any("/code/" in entry or entry.endswith("constants.pkl") for entry in names):
                raise CheckpointError(
                    f"{name} is a TorchScript program, not plain weights, and was not opened.",
                    remedy="Save its state dict with the model's own program, and import that.",
                )
            structure = [entry for entry in entries if entry.filename.endswith("data.pkl")]
            if len(structure) != 1 or structure[0].file_size > LARGEST_PICKLE:
                raise CheckpointError(
                    f"{name} is an archive without one list of tensors (data.pkl).",
                    remedy="Give a file written by torch.save; unpack other archives first.",
                )
            damaged = archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error, OSError) as error:
        raise CheckpointError(f"{name} is cut off or damaged: {error}.", remedy=_AGAIN) from error
    if damaged is not None:
        raise CheckpointError(f"{name} is damaged: {damaged} has another checksum.", remedy=_AGAIN)


def _read_safetensors(path: Path, name: str) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, json.JSONDecodeError, OSError) as error:
        raise CheckpointError(f"{name} is cut off or damaged: {error}.", remedy=_AGAIN) from error


def _find_state_dict(content: Any, name: str) -> dict[str, Tensor]:
    found = content
    for _ in range(3):  # wrappers are nested at most that deep
        if isinstance(found, Mapping) and any(isinstance(value, Tensor) for value in found.values()):
            break
        inner = [
            found[key]
            for key in WRAPPERS
            if isinstance(found, Mapping) and isinstance(found.get(key), Mapping)
        ]
        if not inner:
            keys = (
                ", ".join(map(str, list(found)[:_SHOWN]))
                if isinstance(found, Mapping)
                else type(found).__name__
            )
            raise CheckpointError(
                f"{name} holds no state dict; at its top are: {keys or 'nothing'}.",
                remedy=f"Give a state dict, alone or under one of {', '.join(WRAPPERS)}.",
            )
        found = inner[0]
    wrong = [
        str(key) for key, value in found.items() if not (isinstance(key, str) and isinstance(value, Tensor))
    ]
    if wrong:
        raise CheckpointError(
            f"{name} has entries in its state dict that are no tensors: {', '.join(wrong[:_SHOWN])}.",
            remedy="Give an unchanged state dict.",
        )
    if all(key.startswith(_PARALLEL_PREFIX) for key in found):
        return {key.removeprefix(_PARALLEL_PREFIX): value for key, value in found.items()}
    return dict(found)


def _in_single_precision(weights: dict[str, Tensor], name: str, file_bytes: int) -> dict[str, Tensor]:
    for key, tensor in weights.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex():
            raise CheckpointError(
                f"{name}: {key} is a {tensor.layout} tensor of {tensor.dtype}, not plain numbers.",
                remedy="Give a checkpoint with dense floating point weights.",
            )
    # An expanded tensor repeats one number without storing it again: a bomb without packing.
    claimed = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
    if claimed > 4 * file_bytes:
        raise _bomb(name, f"{claimed} bytes")
    single = {}
    for key, tensor in weights.items():
        if tensor.is_floating_point():
            tensor = tensor.float()
            if not math.isfinite(float(tensor.sum())) and not torch.isfinite(tensor).all():
                raise CheckpointError(
                    f"{name}: {key} holds numbers that are not finite.", remedy="Give a sound checkpoint."
                )
        single[key] = tensor
    return single
