"""A scene of its own for batches: emptied between results, lit evenly, rendered by Cycles.

The light is a white dome and a weak sun, and the view transform leaves colours alone, so that a red object
is that red in the picture.
"""

import math
from pathlib import Path

import bpy
import numpy as np
from mathutils import Vector

from .preview_picture import AZIMUTH_DEG, ELEVATION_DEG

SAMPLES = 48
_DOME, _SUN_W_M2 = 0.85, 0.8
_LENS_MM = 65.0
_SUN_DEG = (35.0, 0.0, 50.0)
_BORDER = 0.12
"""The camera stands this share farther off than the object needs."""
_MOST_POINTS = 4000
"""Vertices that the camera is fitted to."""


def empty_studio() -> "bpy.types.Scene":
    """Factory settings without any object; the scene."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return bpy.context.scene


def remove_object(obj: "bpy.types.Object") -> None:
    """Take an object with its mesh out of the file; shared materials stay, pictures of it go."""
    mesh, materials = obj.data, [slot.material for slot in obj.material_slots if slot.material]
    bpy.data.objects.remove(obj)
    if mesh.users == 0:
        bpy.data.meshes.remove(mesh)
    for material in materials:
        images = [n.image for n in material.node_tree.nodes if n.bl_idname == "ShaderNodeTexImage"]
        if images and material.users == 0:
            bpy.data.materials.remove(material)
            for image in images:
                bpy.data.images.remove(image)


def render_still(obj: "bpy.types.Object", path: Path, *, size: int, samples: int = SAMPLES) -> None:
    """A Cycles picture [size, size] of the object as PNG; lights and camera are gone again afterwards.

    RuntimeError where Blender cannot render.
    """
    scene = bpy.context.scene
    render = scene.render
    render.resolution_x = render.resolution_y = size  # before the camera is fitted to it
    render.resolution_percentage = 100
    made = _light(scene), _camera(scene, obj)
    scene.camera = made[1]
    render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.samples = samples
    scene.cycles.use_denoising = False  # not every build has the denoiser
    scene.cycles.seed = 0
    scene.view_settings.view_transform = "Standard"
    scene.view_settings.look = "None"
    render.image_settings.file_format = "PNG"
    render.image_settings.color_mode = "RGB"
    render.use_file_extension = False
    render.filepath = str(path)
    try:
        bpy.ops.render.render(write_still=True)
    finally:
        for helper in made:
            data = helper.data
            bpy.data.objects.remove(helper)
            (bpy.data.cameras if isinstance(data, bpy.types.Camera) else bpy.data.lights).remove(data)


def _light(scene: "bpy.types.Scene") -> "bpy.types.Object":
    if scene.world is None:
        scene.world = bpy.data.worlds.new("ISS studio")
    world = scene.world
    if world.node_tree is None:
        world.use_nodes = True
    nodes, links = world.node_tree.nodes, world.node_tree.links
    nodes.clear()
    dome, output = nodes.new("ShaderNodeBackground"), nodes.new("ShaderNodeOutputWorld")
    dome.inputs["Color"].default_value = (1.0, 1.0, 1.0, 1.0)
    dome.inputs["Strength"].default_value = _DOME
    links.new(dome.outputs["Background"], output.inputs["Surface"])
    sun = bpy.data.objects.new("ISS sun", bpy.data.lights.new("ISS sun", "SUN"))
    sun.data.energy = _SUN_W_M2
    sun.rotation_euler = [math.radians(degrees) for degrees in _SUN_DEG]
    scene.collection.objects.link(sun)
    return sun


def _camera(scene: "bpy.types.Scene", obj: "bpy.types.Object") -> "bpy.types.Object":
    """Three-quarter view from the front (-y), so near that the object fills the picture but for a border."""
    bpy.context.view_layer.update()
    points = np.empty(len(obj.data.vertices) * 3, np.float32)
    obj.data.vertices.foreach_get("co", points)
    points = points.reshape(-1, 3)
    turn = np.array(obj.matrix_world)
    placed = points[:: max(1, len(points) // _MOST_POINTS)] @ turn[:3, :3].T + turn[:3, 3]
    az, el = math.radians(AZIMUTH_DEG), math.radians(ELEVATION_DEG)
    towards_eye = Vector((math.sin(az) * math.cos(el), -math.cos(az) * math.cos(el), math.sin(el)))
    camera = bpy.data.objects.new("ISS camera", bpy.data.cameras.new("ISS camera"))
    camera.data.lens = _LENS_MM
    camera.rotation_euler = towards_eye.to_track_quat("Z", "Y").to_euler()
    scene.collection.objects.link(camera)
    bpy.context.view_layer.update()
    nearest, _ = camera.camera_fit_coords(bpy.context.evaluated_depsgraph_get(), placed.reshape(-1).tolist())
    middle = Vector((placed.min(axis=0) + placed.max(axis=0)) / 2)
    distance = (nearest - middle).length
    camera.location = nearest + towards_eye * distance * _BORDER
    camera.data.clip_start, camera.data.clip_end = distance / 100, distance * 10
    return camera
