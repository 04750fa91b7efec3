"""Rasterised triangles, baked textures, preview pictures and asset marks."""

import struct
import zlib
from typing import Any

import numpy as np
import pytest

from iss_blender.object_record import ObjectRecord
from iss_blender.preview_picture import contact_sheet, draw_mesh, encode_png, on_ground
from iss_blender.triangle_raster import fragments, linear_to_srgb, spread, srgb_to_linear
from tests.iss_blender.bpy_scene import box_arrays, empty_scene, read


def cover(corners: Any, size: int = 8) -> np.ndarray:
    count = np.zeros(size * size, int)
    for _, pixels, _ in fragments(np.array(corners, float), size, size):
        np.add.at(count, pixels, 1)
    return count.reshape(size, size)


def test_a_right_triangle_covers_the_pixels_whose_centres_lie_in_it() -> None:
    # Centres (x + 0.5) + (y + 0.5) <= 4: rows of 4, 3, 2 and 1 pixels.
    expected = np.zeros((8, 8), int)
    for row in range(4):
        expected[row, : 4 - row] = 1
    np.testing.assert_array_equal(cover([[(0, 0), (4, 0), (0, 4)]]), expected)
    np.testing.assert_array_equal(cover([[(0, 0), (0, 4), (4, 0)]]), expected)  # either winding


def test_weights_restore_positions_and_nothing_leaves_the_picture() -> None:
    corners = np.array([[(-3.0, 1.0), (20.0, 2.0), (4.0, 11.0)], [(1.2, 1.1), (2.9, 1.3), (1.7, 2.8)]])
    found = 0
    for triangles, pixels, weights in fragments(corners, 8, 8):
        rows, columns = np.divmod(pixels, 8)
        places = np.einsum("kc,kcd->kd", weights, corners[triangles])
        np.testing.assert_allclose(places, np.stack([columns + 0.5, rows + 0.5], -1), atol=1e-9)
        assert pixels.min(initial=0) >= 0 and pixels.max(initial=0) < 64
        found += len(pixels)
    assert found > 30


def test_a_triangle_without_area_covers_nothing() -> None:
    assert cover([[(1, 1), (5, 5), (3, 3)]]).sum() == 0


def test_colours_spread_by_one_pixel_a_step_and_not_around_the_border() -> None:
    image, filled = np.zeros((5, 5, 1)), np.zeros((5, 5), bool)
    image[0, 2], filled[0, 2] = 7.0, True
    once = spread(image, filled, 1)[..., 0]
    assert {tuple(place) for place in np.argwhere(once == 7)} == {(0, 1), (0, 2), (0, 3), (1, 2)}
    assert spread(image, filled, 10).min() == 7


def test_srgb_is_the_standard_and_its_own_inverse() -> None:
    values = np.array([0, 0.04045, 0.5, 1], np.float32)
    np.testing.assert_allclose(srgb_to_linear(values), [0, 0.0031308, 0.21404114, 1], atol=1e-6)
    np.testing.assert_allclose(linear_to_srgb(srgb_to_linear(values)), values, atol=1e-6)


def test_a_png_holds_the_picture_row_by_row() -> None:
    picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    data = encode_png(picture)
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (3, 2)
    start = data.index(b"IDAT")
    length = struct.unpack(">I", data[start - 4 : start])[0]
    rows = np.frombuffer(zlib.decompress(data[start + 4 : start + 4 + length]), np.uint8).reshape(2, 10)
    np.testing.assert_array_equal(rows[:, 0], 0)
    np.testing.assert_array_equal(rows[:, 1:].reshape(2, 3, 3), picture)


def cube(color: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A cube in Blender's axes whose front half (-y) has the colour and whose back half is black."""
    arrays = box_arrays((-0.5, -0.5, -0.5), (0.5, 0.5, 0.5))
    vertices = arrays["vertices"]
    colors = np.where(vertices[:, 1:2] < 0, np.float32(color), 0).astype(np.float32)
    return vertices, arrays["faces"], colors


def test_the_preview_looks_at_the_front_and_hides_the_back() -> None:
    picture = draw_mesh(*cube((0, 1, 0)), size=32, azimuth_deg=0, elevation_deg=0)
    # Light runs smoothly over the cube: in the middle of a side it is a little less than full.
    assert tuple(picture[16, 16, [0, 2, 3]]) == (0, 0, 255) and picture[16, 16, 1] > 225
    assert tuple(picture[0, 0]) == (0, 0, 0, 0)  # free border
    behind = draw_mesh(*cube((0, 1, 0)), size=32, azimuth_deg=180, elevation_deg=0)
    assert tuple(behind[16, 16]) == (0, 0, 0, 255)
    assert tuple(on_ground(picture)[0, 0]) == (255, 255, 255)


def test_the_preview_from_the_right_shows_plus_x() -> None:
    vertices, faces, _ = cube((0, 0, 0))
    colors = np.where(vertices[:, :1] > 0, np.float32([1, 0, 0]), 0).astype(np.float32)
    right = draw_mesh(vertices, faces, colors, size=32, azimuth_deg=90, elevation_deg=0)
    assert tuple(right[16, 16, 1:]) == (0, 0, 255) and right[16, 16, 0] > 225
    front = draw_mesh(vertices, faces, colors, size=32, azimuth_deg=0, elevation_deg=0)
    assert front[16, 26, 0] > 200 > 100 > front[16, 6, 0]  # +x is on the right of a front view


def test_a_contact_sheet_has_a_grey_cell_for_a_missing_picture() -> None:
    green = np.zeros((16, 16, 3), np.uint8)
    green[..., 1] = 255
    caption = np.zeros((5, 99, 3), np.uint8)
    sheet = contact_sheet([(caption, [green, None]), (None, [green])], cell=16)
    assert sheet.shape == (5 + 16 + 16, 32, 3)
    assert tuple(sheet[5, 0]) == (0, 255, 0) and tuple(sheet[5 + 8, 24]) == (208, 208, 208)
    assert tuple(sheet[5 + 16 + 8, 24]) == (255, 255, 255)


@pytest.mark.bpy
def test_a_baked_texture_holds_the_colours_and_repeats(blender: Any) -> None:
    from iss_blender.bake import UV_MAP, bake_colors
    from iss_blender.materials import is_baked
    from iss_blender.mesh_import import import_result, replace_result

    empty_scene(blender)
    obj = import_result(box_arrays(), ObjectRecord(), name="box")
    image = bake_colors(obj, size=512)
    first = np.array(image.pixels[:], np.float32).reshape(512, 512, 4)
    assert image.packed_file is not None and image.colorspace_settings.name == "sRGB"
    # At each corner of each face the texture has the vertex's display colour, within a pixel's gradient.
    uv, colors = read(obj.data.uv_layers[UV_MAP].data, "uv", 2), box_arrays()["colors"]
    assert uv.min() >= 0 and uv.max() <= 1 and np.ptp(uv, axis=0).min() > 0.5
    places = np.clip((uv * 512).astype(int), 0, 511)
    vertices = np.array([loop.vertex_index for loop in obj.data.loops])
    seen = first[places[:, 1], places[:, 0], :3]
    np.testing.assert_allclose(srgb_to_linear(seen), srgb_to_linear(colors[vertices]), atol=0.01)
    assert is_baked(obj.material_slots[0].material)
    again = np.array(bake_colors(obj, size=512).pixels[:], np.float32).reshape(512, 512, 4)
    np.testing.assert_array_equal(again, first)
    replace_result(obj, box_arrays(), ObjectRecord())  # a new shape does not show the old one's picture
    assert not is_baked(obj.material_slots[0].material)


@pytest.mark.bpy
def test_a_bake_keeps_the_artists_material_and_selection(blender: Any) -> None:
    from iss_blender.bake import BakeError, bake_colors
    from iss_blender.mesh_import import import_result

    empty_scene(blender)
    obj, other = (import_result(box_arrays(), ObjectRecord(), name=name) for name in ("box", "other"))
    wood = blender.data.materials.new("wood")
    obj.data.materials[0] = wood
    blender.context.view_layer.update()
    other.select_set(True)
    blender.context.view_layer.objects.active = other
    bake_colors(obj, size=512)
    assert obj.material_slots[0].material == wood
    assert other.select_get() and not obj.select_get()
    assert blender.context.view_layer.objects.active == other
    with pytest.raises(BakeError, match="texture size is 100"):
        bake_colors(obj, size=100)
    plain = blender.data.objects.new("plain", blender.data.meshes.new("plain"))
    with pytest.raises(BakeError, match="no colour attribute"):
        bake_colors(plain)


@pytest.mark.bpy
def test_an_asset_has_tags_a_description_and_its_picture(blender: Any) -> None:
    from iss_blender.assets import PREVIEW_SIZE, asset_tags, mark_as_asset
    from iss_blender.mesh_import import import_result

    tags = ["ISS", "red", "chair", "wheels", "seat"]
    assert asset_tags('a Red "chair", with wheels and a red seat') == tags
    empty_scene(blender)
    recipe = {"prompt": "a red chair", "seed": 7}
    record = ObjectRecord(recipe=recipe, scores=(0.25,))
    obj = import_result(box_arrays(color=(1, 0, 0)), record)
    for _ in range(2):
        mark_as_asset(obj, record)
    assert [tag.name for tag in obj.asset_data.tags] == ["ISS", "red", "chair"]
    assert obj.asset_data.description == "a red chair. Seed 7. CLIP score 0.250."
    assert tuple(obj.preview.image_size) == (PREVIEW_SIZE, PREVIEW_SIZE)
    pixels = np.array(obj.preview.image_pixels_float[:]).reshape(PREVIEW_SIZE, PREVIEW_SIZE, 4)
    middle = pixels[PREVIEW_SIZE // 2, PREVIEW_SIZE // 2]
    assert middle[0] > 0.6 and middle[1] < 0.05 and middle[3] == 1
