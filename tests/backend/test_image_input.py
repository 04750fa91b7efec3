"""Users' pictures: what they become, and which are refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.errors import ImageError
from backend.image_input import read_image


def test_sixteen_bits_of_grey_keep_their_level(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.fromarray(np.full((16, 16), 64 * 256 + 17, dtype=np.uint16)).save(path)
    image, _ = read_image(path)
    assert image.shape == (1, 3, 16, 16) and image.unique().tolist() == pytest.approx([64 / 255])


def test_transparent_parts_and_margins_are_white(tmp_path: Path) -> None:
    path = tmp_path / "alpha.png"
    picture = Image.new("RGBA", (20, 10), (255, 0, 0, 255))
    picture.putpixel((0, 0), (255, 0, 0, 0))
    picture.save(path)
    image, _ = read_image(path)
    assert image.shape == (1, 3, 20, 20)
    assert image[0, :, 0, 0].tolist() == [1, 1, 1]  # margin
    assert image[0, :, 5, 0].tolist() == [1, 1, 1]  # transparent
    assert image[0, :, 5, 1].tolist() == [1, 0, 0]


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(data)
    with pytest.raises(ImageError, match="cannot be decoded"):
        read_image(path)


def test_sizes_out_of_range_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "small.png"
    Image.new("RGB", (2, 2)).save(path)
    with pytest.raises(ImageError, match="has 2 x 2 pixels"):
        read_image(path)
