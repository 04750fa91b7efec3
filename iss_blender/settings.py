"""Settings of the add-on: preferences of the user, settings of the scene, and the backend they amount to."""

import os
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from . import environment
from . import session as sessions
from .bake import SIZES
from .protocol import Fields
from .session import Backend, Trouble

PACKAGE = (__package__ or "").rpartition(".")[0] or "iss_text_to_3d"
"""The extension's own package, bl_ext.<repository>.<id>."""
ROOT = Path(__file__).resolve().parent.parent
GREATEST_SEED = 2**31 - 1
"""Blender's own integer properties hold no more."""
FRESH = "fresh"
"""Code of the problem that nothing was set up yet, which is none to be alarmed about."""
MANAGED, PYTHON, COMMAND = "MANAGED", "PYTHON", "COMMAND"
_FOREIGN = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV")
"""Variables of Blender's Python that would mislead the backend's."""


def user_folder() -> Path:
    """Where the add-on writes: the extension's folder of the user, which an upgrade leaves alone."""
    if PACKAGE.startswith("bl_ext."):
        return Path(bpy.utils.extension_path_user(PACKAGE, create=True))
    return Path(bpy.utils.user_resource("CONFIG", path="iss_text_to_3d", create=True))


def preferences() -> Any:
    """The add-on's preferences; their defaults where Blender keeps none for it."""
    addon = bpy.context.preferences.addons.get(PACKAGE)
    return addon.preferences if addon is not None and addon.preferences is not None else DEFAULTS


def environment_folder() -> Path:
    """Where the backend's environment is or will be."""
    chosen = preferences().environment_folder
    return Path(bpy.path.abspath(chosen)) if chosen else user_folder() / "environment"


def backend_of_preferences() -> Backend:
    """How the preferences want the backend started. Reads a few small files."""
    chosen = preferences()
    serve = ("-m", "backend", "serve")
    variables = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    if not bpy.app.online_access:
        variables["HF_HUB_OFFLINE"] = "1"  # the backend's libraries keep to Blender's setting as well
    if chosen.source == COMMAND:
        try:
            command = tuple(shlex.split(chosen.command, posix=sys.platform != "win32"))
        except ValueError as problem:
            return Backend(problem=Trouble(f"The backend command cannot be read: {problem}.", "Correct it."))
        if not command:
            return Backend(problem=Trouble("The backend command is empty.", "Type the command below."))
        return Backend(command, ROOT, variables)
    if chosen.source == PYTHON:
        python = Path(bpy.path.abspath(chosen.python))
        if not chosen.python or not python.is_file():
            told = f"There is no Python at {python}." if chosen.python else "No Python is chosen."
            return Backend(problem=Trouble(told, "Choose the Python of an environment that has PyTorch."))
        return Backend((str(python), *serve), ROOT, variables)
    folder = environment_folder()
    if not (folder / environment.STAMP_NAME).exists():
        return Backend(problem=Trouble("The backend is not set up yet.", "Press Set up.", FRESH))
    status = environment.check(folder)
    if not status.complete:
        return Backend(problem=Trouble(status.reason, "Press Set up to complete it."))
    return Backend((str(status.python), *serve), ROOT, variables)


def apply_preferences() -> None:
    """Let the session use what the preferences say now."""
    session = sessions.current()
    if session is not None:
        session.use_backend(backend_of_preferences())
        session.configure({"idle_unload_s": 60 * preferences().idle_unload_min})


def stage2_changes(settings: Any) -> Fields:
    """The scene's deviations from the quality preset, per phase."""
    wanted: dict[str, Fields] = {
        "stage2": {"steps": settings.steps if settings.steps >= 0 else None, "views": settings.views or None},
        "mapper": {"candidates": settings.candidates or None},
        "mesh": {"resolution": settings.resolution or None, "max_faces": settings.max_faces or None},
    }
    plain = {phase: {k: v for k, v in part.items() if v is not None} for phase, part in wanted.items()}
    return {phase: part for phase, part in plain.items() if part}


def _preferences_changed(_self: Any, _context: Any) -> None:
    apply_preferences()


class ISS_Preferences(bpy.types.AddonPreferences):
    """How the backend is made and run."""

    bl_idname = PACKAGE

    source: EnumProperty(
        name="Backend",
        description="Where the backend that makes the shapes comes from",
        items=(
            (MANAGED, "Set up here", "An environment of its own, made by Set up"),
            (PYTHON, "Existing Python", "The Python of an environment that has PyTorch already"),
            (COMMAND, "Command", "Any command that starts the backend, for example over ssh"),
        ),
        default=MANAGED,
        update=_preferences_changed,
    )
    environment_folder: StringProperty(
        name="Folder",
        description="Folder for the backend's environment; empty for the add-on's own folder",
        subtype="DIR_PATH",
        update=_preferences_changed,
    )
    base_python: StringProperty(
        name="Make with",
        description="Python 3.11 to 3.13 that the environment is made with; empty to find one",
        subtype="FILE_PATH",
    )
    python: StringProperty(
        name="Python",
        description="The Python program of an environment that has the backend's packages",
        subtype="FILE_PATH",
        update=_preferences_changed,
    )
    command: StringProperty(
        name="Command",
        description='For example: ssh workstation "cd /opt/iss && .venv/bin/python -m backend serve"',
        update=_preferences_changed,
    )
    idle_unload_min: IntProperty(
        name="Unload After",
        description="Minutes without work until the backend gives its memory back; 0 for never",
        default=10,
        min=0,
        soft_max=120,
        max=10000,
        update=_preferences_changed,
    )

    def draw(self, context: "bpy.types.Context") -> None:
        from .panel_setup import draw_preferences

        draw_preferences(self, context)


class ISS_SceneSettings(bpy.types.PropertyGroup):
    """What the panel asks for; saved with the scene."""

    prompt: StringProperty(name="Prompt", description="What to make, in a few words")
    image_path: StringProperty(
        name="Image", description="A picture to start from, alone or with words", subtype="FILE_PATH"
    )
    random_seed: BoolProperty(
        name="Random", description="Take another seed each time, and show it here", default=True
    )
    seed: IntProperty(name="Seed", description="The same seed gives the same shape", min=0, max=GREATEST_SEED)
    variations: IntProperty(
        name="Variations", description="How many shapes to make, side by side", default=1, min=1, max=16
    )
    board: BoolProperty(
        name="As Drafts First",
        description="Make the variations quickly, then promote the one you like",
        default=True,
    )
    quality: EnumProperty(
        name="Quality",
        items=(
            ("draft", "Draft", "Seconds: no tuning, a coarse mesh"),
            ("normal", "Normal", "Tuned towards the words"),
            ("fine", "Fine", "Tuned longer, with a finer mesh"),
        ),
        default="normal",
    )
    bundle: StringProperty(name="Model", default="starter")
    device: StringProperty(name="Device", default="auto")
    height: FloatProperty(
        name="Height",
        description="Real-world height of the result",
        default=1.0,
        min=0.001,
        soft_max=10.0,
        max=10000.0,
        unit="LENGTH",
    )
    preview_every: IntProperty(
        name="Preview Every",
        description="Tuning iterations between the meshes shown on the way; 0 shows none",
        default=4,
        min=0,
        max=1000,
    )
    diversity: FloatProperty(
        name="Diversity", description="How far seeds lie apart", default=1.0, min=0.0, max=10.0, soft_max=2.0
    )
    steps: IntProperty(
        name="Iterations", description="Of tuning; -1 leaves it to the quality", default=-1, min=-1, max=1000
    )
    views: IntProperty(
        name="Views", description="Per iteration; 0 leaves it to the quality", default=0, min=0, max=64
    )
    candidates: IntProperty(
        name="Candidates",
        description="Shapes proposed, the best is taken; 0 leaves it to the quality",
        default=0,
        min=0,
        max=64,
    )
    resolution: IntProperty(
        name="Mesh Resolution",
        description="Grid cells per side; 0 leaves it to the quality",
        default=0,
        min=0,
        max=512,
    )
    max_faces: IntProperty(
        name="Face Budget",
        description="Most triangles of the mesh; 0 for no limit",
        default=0,
        min=0,
        max=5_000_000,
        soft_max=200_000,
        step=1000,
    )
    refine_steps: IntProperty(
        name="More Iterations", description="For Refine and Branch", default=20, min=1, max=1000
    )
    blend_weight: FloatProperty(
        name="Blend",
        description="0 is the active object, 1 the other selected one",
        default=0.5,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    blend_count: IntProperty(
        name="In-betweens", description="How many, evenly spaced, in a row", default=1, min=1, max=9
    )
    prompt_text: PointerProperty(
        name="Text", description="A text with one prompt per line", type=bpy.types.Text
    )
    search: StringProperty(
        name="Search", description="Show prompts with these letters", options={"TEXTEDIT_UPDATE"}
    )
    bake_size: EnumProperty(
        name="Texture Size",
        description="Pixels per side",
        items=[(str(size), str(size), f"{size} x {size} pixels") for size in SIZES],
        default="1024",
    )


DEFAULTS = SimpleNamespace(
    source=MANAGED, environment_folder="", base_python="", python="", command="", idle_unload_min=10
)
"""What holds where the module runs without being an enabled add-on."""

CLASSES = (ISS_Preferences, ISS_SceneSettings)


def register() -> None:
    """Register the classes and hang the settings onto scenes."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Scene.iss = PointerProperty(type=ISS_SceneSettings)


def unregister() -> None:
    """Take the settings and the classes back."""
    del bpy.types.Scene.iss
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
