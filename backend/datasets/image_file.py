"""Pictures, masks and lists of a data set as arrays; what is wrong with a file is a DatasetError."""

from pathlib import Path

import numpy as np

from backend.errors import DatasetError

LARGEST_SIDE = 8192
"""Pixels; a larger picture is refused before it is decoded."""


def read_rgb(path: Path) -> np.ndarray:
    """uint8 [H, W, 3]; transparent parts are white."""
    return _decode(path, "RGBA")


def read_mask(path: Path) -> np.ndarray:
    """float32 [H, W] in [0, 1], of the first channel."""
    values = _decode(path, None)
    first = values.reshape(*values.shape[:2], -1)[..., 0]
    if first.dtype == bool:
        return first.astype(np.float32)
    top = 65535 if first.dtype.itemsize > 1 else 255
    return first.astype(np.float32) / top


def on_white(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The object of a picture [H, W, 3] before white, by its mask [H, W] in [0, 1]; uint8."""
    soft = mask[..., None]
    return np.round(rgb * soft + 255 * (1 - soft)).astype(np.uint8)


def check_same_size(first: np.ndarray, second: np.ndarray, names: tuple[Path, Path]) -> None:
    """DatasetError where two files of one view have other heights or widths."""
    if first.shape[:2] != second.shape[:2]:
        raise DatasetError(
            f"{names[0]} has {first.shape[1]} x {first.shape[0]} pixels, "
            f"{names[1]} {second.shape[1]} x {second.shape[0]}.",
            remedy="Render or cut both to the same size.",
        )


def read_lines(path: Path) -> list[str]:
    """Lines with something on them, without the space around."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read: {error}.", remedy="Write the list again.") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _decode(path: Path, mode: str | None) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    remedy = "Copy the file again, or take the shape out of the list."
    if not path.is_file():
        raise DatasetError(f"{path} is missing.", remedy=remedy)
    try:
        with Image.open(path) as opened:
            if max(opened.size) > LARGEST_SIDE or min(opened.size) < 2:
                raise DatasetError(f"{path} has {opened.size[0]} x {opened.size[1]} pixels.", remedy=remedy)
            if mode is None:
                return np.asarray(opened.convert("L") if opened.mode == "P" else opened)
            picture = opened.convert(mode)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = str(error).rstrip(".")
        raise DatasetError(f"{path} cannot be decoded: {reason}.", remedy=remedy) from error
    background = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    background.alpha_composite(picture)
    return np.asarray(background.convert("RGB"))
