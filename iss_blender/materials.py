"""Ready materials for results: colours from the colour attribute, or from a picture; Solid views for both.

One shared material reads the active colour attribute, so it looks the same in Eevee, Cycles and the glTF
exporter. Sockets and nodes are looked up so that Blender 4.2 to 5.x all find theirs.
"""

from collections.abc import Iterable

import bpy

COLOR_MATERIAL = "ISS Colors"
MARK = "iss_material"
"""ID property of materials made here, so that they are told from the artist's after a rename."""
ROUGHNESS = 0.8
SPECULAR = 0.2
"""Matt, as the colours were learned from pictures without highlights."""

TEXTURE = "texture"
"""The mark of a material that shows a baked picture."""
COLORS, PICTURES = "VERTEX", "TEXTURE"
"""What a Solid view shows of all its objects."""
_SWITCHED = (COLORS, PICTURES, "MATERIAL")
"""What may give way to another; single, random and object colours are the artist's own choice and stay."""
_COLOR_NODE, _IMAGE_NODE = "ShaderNodeVertexColor", "ShaderNodeTexImage"
_SPECULAR_NAMES = ("Specular IOR Level", "Specular")


def color_material(attribute: str) -> "bpy.types.Material":
    """The shared material that shows the colour attribute; made once per file."""
    for material in bpy.data.materials:
        if material.get(MARK) == f"attribute:{attribute}" and material.library is None:
            return material
    material, surface = _new_material(COLOR_MATERIAL, f"attribute:{attribute}")
    node = material.node_tree.nodes.new(_COLOR_NODE)
    node.layer_name = attribute
    node.location = (surface.location.x - 260, surface.location.y)
    material.node_tree.links.new(node.outputs["Color"], surface.inputs["Base Color"])
    return material


def texture_material(name: str, image: "bpy.types.Image", uv_map: str) -> "bpy.types.Material":
    """A material that shows a baked picture through the UV map of that name."""
    material, surface = _new_material(name, TEXTURE)
    nodes, links = material.node_tree.nodes, material.node_tree.links
    picture, place = nodes.new(_IMAGE_NODE), nodes.new("ShaderNodeUVMap")
    picture.image, place.uv_map = image, uv_map
    picture.location = (surface.location.x - 320, surface.location.y)
    place.location = (picture.location.x - 220, surface.location.y)
    links.new(place.outputs["UV"], picture.inputs["Vector"])
    links.new(picture.outputs["Color"], surface.inputs["Base Color"])
    nodes.active = picture
    return material


def is_ours(material: "bpy.types.Material | None") -> bool:
    """Whether a slot may be given another material without touching the artist's work."""
    return material is None or MARK in material


def is_baked(material: "bpy.types.Material | None") -> bool:
    """Whether it is a material of `texture_material`."""
    return material is not None and material.get(MARK) == TEXTURE


def show_in_solid(screens: "Iterable[bpy.types.Screen]", color_type: str = COLORS) -> dict[int, str]:
    """Let Solid views show vertices' colours or pictures; what the changed ones showed, by pointer."""
    before = {}
    for view in views_of(screens):
        if view.shading.color_type in _SWITCHED and view.shading.color_type != color_type:
            before[view.as_pointer()] = view.shading.color_type
            view.shading.color_type = color_type
    return before


def views_of(screens: "Iterable[bpy.types.Screen]") -> "list[bpy.types.SpaceView3D]":
    """Their 3D views, also those behind another editor."""
    spaces = (space for screen in screens for area in screen.areas for space in area.spaces)
    return [space for space in spaces if space.type == "VIEW_3D"]


def _new_material(name: str, mark: str) -> "tuple[bpy.types.Material, bpy.types.Node]":
    material = bpy.data.materials.new(name)
    material[MARK] = mark
    if material.node_tree is None:  # Blender 5 gives every material its nodes
        material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.clear()
    output, surface = nodes.new("ShaderNodeOutputMaterial"), nodes.new("ShaderNodeBsdfPrincipled")
    output.location = (300, 0)
    links.new(surface.outputs["BSDF"], output.inputs["Surface"])
    surface.inputs["Roughness"].default_value = ROUGHNESS
    for known in _SPECULAR_NAMES:
        if known in surface.inputs:
            surface.inputs[known].default_value = SPECULAR
            break
    return material, surface
