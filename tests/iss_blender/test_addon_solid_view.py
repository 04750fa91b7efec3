"""Solid views follow the look that came last: stripes in a picture are seen, also between few vertices."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.iss_blender.bpy_scene import read

SIZE = 512
DARK, LIGHT = 0.05, 0.95


def view(stage: SimpleNamespace) -> Any:
    """The 3D view of the open window."""
    (window,) = stage.bpy.context.window_manager.windows
    (area,) = (area for area in window.screen.areas if area.type == "VIEW_3D")
    return area.spaces[0]


def solid(stage: SimpleNamespace) -> str:
    return str(view(stage).shading.color_type)


def ask_for_stripes(stage: SimpleNamespace, *, size: float = 2.0, **changes: Any) -> Any:
    """A cube of the artist's own, active, for which stripes are queued."""
    stage.bpy.ops.mesh.primitive_cube_add(size=size)
    cube = stage.bpy.context.view_layer.objects.active
    stage.chosen.bake_size = str(SIZE)
    for name, value in {"style": "striped", "output": "AUTO", **changes}.items():
        setattr(stage.bpy.context.scene.iss_style, name, value)
    assert stage.ops.stylize() == {"FINISHED"}
    return cube


def striped(stage: SimpleNamespace, **changes: Any) -> Any:
    ask_for_stripes(stage, **changes)
    stage.settle()
    return stage.bpy.context.view_layer.objects.active


def test_stripes_between_few_vertices_are_seen_in_solid(stage: SimpleNamespace, tmp_path: Path) -> None:
    """A cube's corners are all at edges of stripes: as colours of vertices no stripe is left."""
    assert solid(stage) == "MATERIAL"
    look = striped(stage)
    assert solid(stage) == "TEXTURE"
    (image,) = (image for image in stage.data.images if image.size[0] == SIZE)
    nodes = look.active_material.node_tree.nodes
    assert nodes.active.image == image and look.data.uv_layers.active.active_render  # what Solid draws
    grey = np.array(image.pixels[:]).reshape(SIZE, SIZE, 4)[..., 0]
    arrays = stage.current.client.jobs[-1].arrays
    rows, columns = SIZE - 1 - arrays["texels"] // SIZE, arrays["texels"] % SIZE
    wanted = np.where(np.floor(4 * arrays["samples"][:, 0]) % 2, LIGHT, DARK)
    assert np.abs(grey[rows, columns] - wanted).max() < 0.01
    assert (wanted == LIGHT).mean() == pytest.approx(1 / 3, abs=0.01)  # half of four faces, none of both ends
    corners = read(look.data.color_attributes.active_color.data, "color_srgb", 4)[:, 0]
    assert np.ptp(corners) < 0.01

    still = tmp_path / "still.png"
    stage.scene_studio.render_still(look, still, size=64, samples=4)
    seen = np.array(stage.data.images.load(str(still)).pixels[:]).reshape(64, 64, 4)[16:48, 16:48, 0]
    assert np.percentile(seen, 85) - np.percentile(seen, 15) > 0.4


def test_a_mesh_without_uv_map_shows_its_stripes_too(stage: SimpleNamespace) -> None:
    stage.bpy.ops.mesh.primitive_cube_add(size=2.0)
    cube = stage.bpy.context.view_layer.objects.active
    cube.data.uv_layers.remove(cube.data.uv_layers[0])
    stage.bpy.context.scene.iss_style.style = "striped"
    assert stage.ops.stylize() == {"FINISHED"}
    stage.settle()
    look = stage.bpy.context.view_layer.objects.active
    assert not cube.data.uv_layers and look.data.uv_layers.active.name == "ISS UV"
    assert solid(stage) == "TEXTURE" and stage.addon_solid_view.color_type_of(look) == "TEXTURE"


def test_what_came_last_is_seen_and_the_panel_offers_the_other(stage: SimpleNamespace) -> None:
    look = striped(stage)
    chair = stage.make()
    assert solid(stage) == "VERTEX"
    hides = stage.addon_solid_view.hides_look
    assert hides(view(stage).shading, look) and not hides(view(stage).shading, chair)
    stage.bpy.context.view_layer.objects.active = look
    (window,) = stage.bpy.context.window_manager.windows
    (area,) = (area for area in window.screen.areas if area.type == "VIEW_3D")
    with stage.bpy.context.temp_override(window=window, area=area):
        assert stage.ops.show_in_solid() == {"FINISHED"}
    assert solid(stage) == "TEXTURE" and hides(view(stage).shading, chair)
    assert not hides(view(stage).shading, look)
    view(stage).shading.type = "MATERIAL"  # Material Preview shows both
    assert not hides(view(stage).shading, chair)


def test_colours_of_vertices_stay_where_they_were_asked_for(stage: SimpleNamespace) -> None:
    look = striped(stage, output="ATTRIBUTE")
    assert solid(stage) == "VERTEX" and stage.addon_solid_view.color_type_of(look) == "VERTEX"
    assert not stage.data.images


@pytest.mark.parametrize("choice", ["SINGLE", "OBJECT", "RANDOM"])
def test_what_the_artist_lets_solid_show_stays(stage: SimpleNamespace, choice: str) -> None:
    view(stage).shading.color_type = choice
    look = striped(stage)
    assert solid(stage) == choice and stage.addon_solid_view.hides_look(view(stage).shading, look)


@pytest.mark.parametrize("before", ["MATERIAL", "TEXTURE"])
def test_a_cancelled_style_puts_the_view_back(stage: SimpleNamespace, before: str) -> None:
    view(stage).shading.color_type = before
    cube = ask_for_stripes(stage, style="slow")
    stage.pump(lambda: "iss_original_mesh" in cube)
    assert solid(stage) == "VERTEX"  # previews are colours of vertices
    stage.ops.cancel()
    stage.settle()
    assert solid(stage) == before
