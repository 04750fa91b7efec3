"""Operators around the backend: Set up, Doctor, memory, log, device and model."""

import tomllib

import bpy
from bpy.props import StringProperty

from . import settings
from .environment import EnvironmentSetup
from .operators import Refusal, SessionOperator, register_classes, unregister_classes
from .self_test import format_report, own_checks, redact
from .session import Session

OFFLINE = "Blender is not allowed to go online, and Set up has to fetch packages once."
OFFLINE_REMEDY = "Allow it in Edit > Preferences > System > Network, then press Set up again."
LOG_LINES = 200


class ISS_OT_set_up(SessionOperator, bpy.types.Operator):
    """Make the backend's own Python environment; nothing is installed into Blender's Python"""

    bl_idname, bl_label = "iss.set_up", "Set Up"

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        if not bpy.app.online_access:
            raise Refusal(f"{OFFLINE} {OFFLINE_REMEDY}")
        if session.setup is not None and session.setup.state == "running":
            raise Refusal("A set-up is running already.")
        chosen = settings.preferences()
        python = bpy.path.abspath(chosen.base_python) if chosen.base_python else None
        session.start_setup(EnvironmentSetup(settings.environment_folder(), python=python))


class ISS_OT_cancel_set_up(SessionOperator, bpy.types.Operator):
    """Stop the set-up; finished steps are kept"""

    bl_idname, bl_label = "iss.cancel_set_up", "Cancel"

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        session.cancel_setup()


class ISS_OT_open_preferences(SessionOperator, bpy.types.Operator):
    """Open Blender's preferences where this can be changed"""

    bl_idname, bl_label = "iss.open_preferences", "Open Preferences"

    section: StringProperty(default="SYSTEM", options={"HIDDEN", "SKIP_SAVE"})

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        if self.section == "ADDONS":
            bpy.ops.preferences.addon_show(module=settings.PACKAGE)
        else:
            bpy.ops.screen.userpref_show(section=self.section)


class ISS_OT_doctor(SessionOperator, bpy.types.Operator):
    """Test the whole installation, with a small shape at the end"""

    bl_idname, bl_label = "iss.doctor", "Doctor"

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        settings.apply_preferences()
        problem = session.backend.problem
        manifest = tomllib.loads((settings.ROOT / "blender_manifest.toml").read_text("utf-8"))
        checks = own_checks(
            program=f"Blender {bpy.app.version_string}",
            version=str(manifest.get("version", "unknown")),
            online=bool(bpy.app.online_access),
            folder=settings.user_folder(),
            how=" ".join(session.backend.command),
            problem=problem.message if problem else "",
            remedy=problem.remedy if problem else "",
        )
        scene = context.scene.iss
        session.examine(checks, {"bundle": scene.bundle, "device": scene.device, "generate": True})


class ISS_OT_copy(SessionOperator, bpy.types.Operator):
    """Copy it to the clipboard, without your home folder in it"""

    bl_idname, bl_label = "iss.copy", "Copy"

    what: StringProperty(default="log", options={"HIDDEN", "SKIP_SAVE"})

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        if self.what == "report":
            text = format_report(session.doctor.checks)
        elif self.what == "setup":
            text = redact(session.setup.tail(LOG_LINES)) if session.setup else ""
        else:
            text = redact(session.client.log_tail(LOG_LINES)) if session.client else ""
        if not text.strip():
            raise Refusal("There is nothing to copy yet.")
        context.window_manager.clipboard = text
        self.report({"INFO"}, f"{len(text.splitlines())} lines copied.")


class ISS_OT_free_memory(SessionOperator, bpy.types.Operator):
    """Let the backend give its memory back; the next job loads the model again"""

    bl_idname, bl_label = "iss.free_memory", "Free Memory"

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        session.free_memory()


class ISS_OT_restart_backend(SessionOperator, bpy.types.Operator):
    """End the backend and start it anew; waiting jobs go on"""

    bl_idname, bl_label = "iss.restart_backend", "Restart"

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        settings.apply_preferences()
        if session.client is None:
            problem = session.backend.problem
            raise Refusal(f"{problem.message} {problem.remedy}" if problem else "There is no backend.")
        session.restart()


class ISS_OT_stop_backend(SessionOperator, bpy.types.Operator):
    """End the backend process; it starts again with the next job"""

    bl_idname, bl_label = "iss.stop_backend", "Stop"

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        session.stop()


class ISS_OT_dismiss(SessionOperator, bpy.types.Operator):
    """Hide this message"""

    bl_idname, bl_label = "iss.dismiss", "Dismiss"

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        session.dismiss_trouble()


class ISS_OT_choose(SessionOperator, bpy.types.Operator):
    """Use this one for the next jobs"""

    bl_idname, bl_label = "iss.choose", "Choose"

    what: StringProperty(options={"HIDDEN", "SKIP_SAVE"})
    value: StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        if self.what not in ("device", "bundle"):
            raise Refusal(f"{self.what!r} cannot be chosen.")
        setattr(context.scene.iss, self.what, self.value)


CLASSES = (
    ISS_OT_set_up,
    ISS_OT_cancel_set_up,
    ISS_OT_open_preferences,
    ISS_OT_doctor,
    ISS_OT_copy,
    ISS_OT_free_memory,
    ISS_OT_restart_backend,
    ISS_OT_stop_backend,
    ISS_OT_dismiss,
    ISS_OT_choose,
)


def register() -> None:
    """Register the operators."""
    register_classes(CLASSES)


def unregister() -> None:
    """Take the operators back."""
    unregister_classes(CLASSES)
