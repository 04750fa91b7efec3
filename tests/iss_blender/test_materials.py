"""The ready material in bpy, and the colour of an imported object in a Cycles picture."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from iss_blender.object_record import ObjectRecord
from tests.iss_blender.bpy_scene import box_arrays, empty_scene

pytestmark = pytest.mark.bpy

RED, BLUE = (0.8, 0.1, 0.1), (0.1, 0.2, 0.75)


@pytest.fixture
def scene(blender: Any) -> Any:
    return empty_scene(blender)


def test_the_material_reads_the_colour_attribute(scene: Any) -> None:
    from iss_blender.materials import color_material

    material = color_material("Color")
    surface = next(n for n in material.node_tree.nodes if n.bl_idname == "ShaderNodeBsdfPrincipled")
    source = surface.inputs["Base Color"].links[0].from_node
    assert source.bl_idname == "ShaderNodeVertexColor" and source.layer_name == "Color"
    output = next(n for n in material.node_tree.nodes if n.bl_idname == "ShaderNodeOutputMaterial")
    assert output.inputs["Surface"].links[0].from_node == surface
    assert surface.inputs["Roughness"].default_value == pytest.approx(0.8)


def test_the_material_is_made_once_and_found_after_a_rename(scene: Any) -> None:
    from iss_blender.materials import color_material, is_baked, is_ours

    material = color_material("Color")
    material.name = "chair paint"
    assert color_material("Color") == material
    assert is_ours(material) and is_ours(None) and not is_baked(material)


def test_an_artists_material_is_not_ours(blender: Any, scene: Any) -> None:
    from iss_blender.materials import COLOR_MATERIAL, is_ours

    assert not is_ours(blender.data.materials.new(COLOR_MATERIAL))


@pytest.mark.parametrize("color", [RED, BLUE])
def test_a_colour_is_that_colour_in_a_cycles_picture(
    blender: Any, scene: Any, tmp_path: Path, color: tuple[float, float, float]
) -> None:
    from iss_blender.mesh_import import import_result
    from iss_blender.scene_studio import render_still

    obj = import_result(box_arrays(color=color), ObjectRecord(), name="box")
    path = tmp_path / "still.png"
    render_still(obj, path, size=24, samples=4)
    image = blender.data.images.load(str(path))
    pixels = np.array(image.pixels[:]).reshape(24, 24, 4)
    seen = pixels[8:16, 8:16, :3].reshape(-1, 3).mean(axis=0)  # well inside the box
    # The light is white but not of strength 1, so shares of the channels are compared: hue and saturation.
    linear = np.array([(c + 0.055) / 1.055 if c > 0.04 else c for c in seen]) ** 2.4
    wanted = np.array([(c + 0.055) / 1.055 for c in color]) ** 2.4
    np.testing.assert_allclose(linear / linear.sum(), wanted / wanted.sum(), atol=0.06)
    assert np.abs(seen - color).max() < 0.15
    assert not blender.data.cameras and not blender.data.lights


def test_solid_views_show_the_attribute_unless_the_artist_chose_otherwise(blender: Any) -> None:
    """The factory's Solid views show materials; a result's arrival lets them show attributes."""
    from iss_blender.materials import show_in_solid

    blender.ops.wm.read_factory_settings(use_empty=False)
    screens = list(blender.data.screens)
    views = [s for screen in screens for a in screen.areas for s in a.spaces if s.type == "VIEW_3D"]
    assert views and any(view.shading.color_type == "MATERIAL" for view in views)
    views[0].shading.color_type = "OBJECT"  # the artist's own choice stays
    show_in_solid(screens)
    assert views[0].shading.color_type == "OBJECT"
    types = [view.shading.color_type for view in views]
    assert "VERTEX" in types and "MATERIAL" not in types
