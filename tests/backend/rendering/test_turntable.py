"""Turntable strips and contact sheets: framing, order of views, labels, refusals."""

import numpy as np
import pytest
import trimesh
from PIL import Image

from backend.errors import MeshError, OutputError, SettingError
from backend.mesh import TriMesh
from backend.rendering.turntable import LABEL_WIDTH, contact_sheet, save_png, turntable_strip


def box(size, center=(0.0, 0.0, 0.0), color=(0.8, 0.1, 0.1)):
    shape = trimesh.creation.box(extents=size)
    return TriMesh(shape.vertices + np.array(center), shape.faces, np.tile(color, (8, 1)))


def views_of(mesh, count, size):
    strip = turntable_strip(mesh, count, size)
    assert strip.shape == (size, count * size, 3) and strip.dtype == np.uint8
    return np.split(strip, count, axis=1)


def test_every_view_is_framed_on_white_wherever_the_shape_lies():
    for view in views_of(box((0.1, 0.2, 0.1), center=(0.3, -0.2, 0.1)), 4, 64):
        drawn = (view < 250).any(axis=-1)
        border = np.concatenate([drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]])
        assert not border.any()
        rows = np.flatnonzero(drawn.any(axis=1))
        assert rows[-1] - rows[0] > 32
        assert abs((rows[0] + rows[-1]) / 2 - 31.5) < 6
        assert (view[~drawn] == 255).mean() > 0.95


def test_first_view_shows_the_front_and_the_third_of_four_the_back():
    front, back = (
        box((0.4, 0.4, 0.2), (0, 0, 0.1), (0.9, 0, 0)),
        box((0.4, 0.4, 0.2), (0, 0, -0.1), (0, 0, 0.9)),
    )
    both = TriMesh(
        np.concatenate([front.vertices, back.vertices]),
        np.concatenate([front.faces, back.faces + 8]),
        np.concatenate([front.colors, back.colors]),
    )
    views = views_of(both, 4, 48)

    def redness(view):
        drawn = (view < 240).any(axis=-1)
        return view[drawn][:, 0].mean() - view[drawn][:, 2].mean()

    assert redness(views[0]) > 30 and redness(views[2]) < -30


def test_pictures_keep_the_vertex_colour_under_the_soft_light():
    view = views_of(box((0.3, 0.3, 0.3), color=(0.2, 0.8, 0.4)), 1, 48)[0]
    inner = view[20:28, 20:28].reshape(-1, 3).astype(float)
    ratio = inner / np.array([0.2, 0.8, 0.4]) / 255
    assert ratio.min() > 0.6 and ratio.max() < 1.01
    assert np.ptp(ratio, axis=1).max() < 0.03


def test_contact_sheet_places_pictures_and_writes_labels():
    red, blue = np.full((40, 40, 3), (255, 0, 0), np.uint8), np.full((40, 30, 3), (0, 0, 255), np.uint8)
    sheet = contact_sheet(
        [("a red chair with a very high back", [red, blue]), ("second", [blue])], ["one", "two"]
    )
    is_red, is_blue = (sheet == (255, 0, 0)).all(-1), (sheet == (0, 0, 255)).all(-1)
    assert is_red.sum() == 1600 and is_blue.sum() == 2400
    assert np.argwhere(is_red)[:, 1].min() >= LABEL_WIDTH
    labels = (sheet[:, :LABEL_WIDTH] < 128).all(-1)
    first, second = np.argwhere(is_red)[:, 0], np.argwhere(is_blue)[-1, 0]
    assert labels[first.min() : first.max()].any() and labels[second - 39 : second].any()


def test_refusals():
    with pytest.raises(SettingError, match="0 views"):
        turntable_strip(box((1, 1, 1)), 0)
    with pytest.raises(SettingError, match="at least one picture"):
        contact_sheet([("nothing", [])])
    with pytest.raises(MeshError, match="no vertices"):
        turntable_strip(TriMesh(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3))))


def test_png_is_read_back_and_an_unwritable_place_explained(tmp_path):
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    save_png(picture, tmp_path / "new" / "preview.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "new" / "preview.png")), picture)
    with pytest.raises(OutputError, match="cannot be written"):
        save_png(picture, tmp_path / "new" / "preview.png" / "x.png")
