"""The tuned decoder of a styled shape as a small file: its differences to the decoder of the bundle.

With the bundle and the shape code it gives the styled field again, so that a styled object can be meshed
at another resolution or styled further. Differences are kept in half precision, matrices as products of
two thin ones where that is smaller and close. What was rounded is what is shown: the pipeline meshes the
field only after its differences went through here.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backend.errors import BundleError, CheckpointError
from backend.output_file import write_file
from backend.styled_field import PARTS, StyledField, Tensors
from backend.svr.base import Field

FILE_NAME = "decoder.safetensors"
FORMAT = "iss-decoder-1"
TOLERANCE = 1e-3
"""Greatest relative error (Frobenius) of a low-rank difference."""
_REMEDY = "Stylize the shape again; the recipe repeats it."


@dataclass(frozen=True)
class DecoderDelta:
    """Differences by "part/name", each one fp16 tensor, or two (".left" [m, r], ".right" [r, n])."""

    stored: dict[str, Tensor]
    bundle_sha256: str = ""
    code_sha256: str = ""
    """Of the shape code that the differences belong to."""
    shapes: dict[str, list[int]] = field(default_factory=dict)
    """Shapes of the low-rank differences."""

    @classmethod
    def between(
        cls, base: Field, tuned: Tensors, *, bundle_sha256: str = "", code: NDArray[np.float32] | None = None
    ) -> "DecoderDelta":
        """The differences of tuned tensors to those of the base field (one shape)."""
        stored: dict[str, Tensor] = {}
        shapes: dict[str, list[int]] = {}
        for part, tensors in tuned.items():
            own = base.tensors(part)
            for name, tensor in tensors.items():
                difference = (tensor.detach() - own[name].detach()).float().cpu()
                key = f"{part}/{name}"
                factors = _low_rank(difference) if difference.ndim == 2 else None
                if factors is None:
                    stored[key] = difference.half()
                else:
                    stored[f"{key}.left"], stored[f"{key}.right"] = factors
                    shapes[key] = list(difference.shape)
        digest = "" if code is None else code_sha256(code)
        return cls(stored, bundle_sha256, digest, shapes)

    def differences(self) -> Tensors:
        """Part -> name -> difference, in single precision on the CPU."""
        found: Tensors = {}
        for key, tensor in self.stored.items():
            path, _, side = key.rpartition(".")
            if side == "right" and path in self.shapes:
                continue
            if side == "left" and path in self.shapes:
                key, tensor = path, tensor.float() @ self.stored[f"{path}.right"].float()
            part, _, name = key.partition("/")
            found.setdefault(part, {})[name] = tensor.float()
        return found

    def apply(self, base: Field) -> StyledField:
        """The styled field; CheckpointError where the differences do not fit the base."""
        tuned: Tensors = {}
        for part, differences in self.differences().items():
            if part not in PARTS:
                raise CheckpointError(f"The styled decoder has a part {part!r}.", remedy=_REMEDY)
            own = base.tensors(part)
            wrong = sorted(
                name
                for name in own.keys() | differences.keys()
                if name not in own or name not in differences or own[name].shape != differences[name].shape
            )
            if wrong:
                raise CheckpointError(
                    f"The styled decoder does not fit the bundle's: {', '.join(wrong[:5])}.", remedy=_REMEDY
                )
            tuned[part] = {
                name: tensor.detach() + differences[name].to(tensor) for name, tensor in own.items()
            }
        return StyledField(base, tuned)

    def check(self, bundle_sha256: str, code: NDArray[np.float32]) -> None:
        """BundleError where it was made with another bundle or for another shape."""
        if self.bundle_sha256 and self.bundle_sha256 != bundle_sha256:
            raise BundleError("The styled decoder belongs to another version of the bundle.", remedy=_REMEDY)
        if self.code_sha256 and self.code_sha256 != code_sha256(code):
            raise BundleError("The styled decoder belongs to another shape.", remedy=_REMEDY)

    def to_bytes(self) -> bytes:
        """The file's contents; the same differences give the same bytes."""
        from safetensors.torch import save

        about = {
            "format": FORMAT,
            "bundle_sha256": self.bundle_sha256,
            "code_sha256": self.code_sha256,
            "shapes": self.shapes,
        }
        # One entry: safetensors writes several in no fixed order.
        metadata = {"about": json.dumps(about, sort_keys=True)}
        return save({key: self.stored[key].contiguous() for key in sorted(self.stored)}, metadata)

    @classmethod
    def from_bytes(cls, data: bytes) -> "DecoderDelta":
        """The differences in a file's contents; CheckpointError where it is damaged or something else."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            stored = load(data)
            length = int.from_bytes(data[:8], "little")
            about = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["about"])
            if about["format"] != FORMAT:
                raise CheckpointError(f"The styled decoder has format {about['format']!r}.", remedy=_REMEDY)
            return cls(stored, about["bundle_sha256"], about["code_sha256"], about["shapes"])
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"The styled decoder cannot be read: {error}.", remedy=_REMEDY) from error

    def save(self, folder: Path) -> Path:
        """Write the file beside a result, whole or not at all; returns its path."""
        write_file(folder / FILE_NAME, self.to_bytes())
        return folder / FILE_NAME

    @classmethod
    def load(cls, folder: Path) -> "DecoderDelta":
        """The file beside a result; CheckpointError where it is missing or damaged."""
        try:
            data = (folder / FILE_NAME).read_bytes()
        except OSError as error:
            raise CheckpointError(
                f"{folder / FILE_NAME} cannot be read: {error.strerror}.", remedy=_REMEDY
            ) from error
        return cls.from_bytes(data)


def code_sha256(code: NDArray[np.float32]) -> str:
    """Hexadecimal SHA-256 of a shape code's bytes, little-endian single precision."""
    return hashlib.sha256(np.ascontiguousarray(code, dtype="<f4").tobytes()).hexdigest()


def _low_rank(matrix: Tensor) -> tuple[Tensor, Tensor] | None:
    """Two thin fp16 factors of a matrix [m, n] within TOLERANCE; None where they would not be smaller."""
    rows, columns = matrix.shape
    most = (rows * columns - 1) // (rows + columns)
    if most < 1:
        return None
    left, sizes, right = torch.linalg.svd(matrix, full_matrices=False)
    rest = sizes.square().flip(0).cumsum(0).flip(0)  # energy of the i-th and all smaller ones
    needed = int((rest > TOLERANCE**2 * rest[0]).sum())
    if needed > most:
        return None
    roots = sizes[:needed].sqrt()
    return (left[:, :needed] * roots).half(), (roots[:, None] * right[:needed]).half()
