"""Panels around the backend: Set up before the first use, Doctor and memory afterwards, the preferences."""

from typing import Any

import bpy

from . import jobs, settings
from . import session as sessions
from .operators_backend import OFFLINE, OFFLINE_REMEDY
from .panel_models import draw_models
from .panel_parts import (
    LONGEST_LINE,
    SidebarPanel,
    draw_progress,
    draw_text,
    draw_trouble,
    never_raises,
    operator,
    register_classes,
    unregister_classes,
)
from .session import Session, Trouble
from .setup_plan import needed_mb

_STATES = {
    jobs.STOPPED: "Not started; the next job starts it",
    jobs.STARTING: "Starting",
    jobs.READY: "Running",
    jobs.BROKEN: "Stopped by a problem",
}


def draw_setup(layout: Any, context: Any, session: Session) -> None:
    """The panel before the backend can be started."""
    chosen, setup = settings.preferences(), session.setup
    if setup is not None and setup.state == "running":
        draw_running(layout, context, session)
        return
    if chosen.source == settings.MANAGED:
        draw_invitation(layout, context, session)
    else:
        problem = session.backend.problem or Trouble("")
        draw_trouble(layout, context, problem)
    draw_source(layout, chosen)


def draw_running(layout: Any, context: Any, session: Session) -> None:
    """A set-up under way: which step, how far, the last line of its log."""
    event = session.setup_event
    box = layout.box()
    if event is None:
        box.label(text="Preparing...", icon="SORTTIME")
    else:
        box.label(text=f"Step {event.index} of {event.total}: {event.step}", icon="SORTTIME")
        draw_progress(box, event.fraction, f"{100 * event.fraction:.0f}%")
        line = box.column()
        line.active = False
        if not event.line.startswith("==="):  # the log's own headings
            draw_text(line, context, event.line[:LONGEST_LINE])
    row = box.row(align=True)
    operator(row, "iss.cancel_set_up", icon="X")
    operator(row, "iss.copy", text="Copy Log", icon="COPYDOWN", what="setup")
    draw_text(layout, context, "You can go on working meanwhile.", icon="INFO")


def draw_invitation(layout: Any, context: Any, session: Session) -> None:
    """One button, what it will do, and what went wrong the last time."""
    setup = session.setup
    failed = setup is not None and session.trouble is not None and session.trouble.code == "setup"
    download, disk = needed_mb()
    if failed:
        row = draw_trouble(layout, context, session.trouble)
        operator(row, "iss.copy", text="Copy Log", icon="COPYDOWN", what="setup")
    elif session.backend.problem is not None and session.backend.problem.code != settings.FRESH:
        draw_trouble(layout, context, session.backend.problem)
    else:
        draw_text(
            layout,
            context,
            "Shapes are made by a backend with its own Python, apart from Blender's. It is made once: about "
            f"{download / 1000:.1f} GB to download, up to {disk / 1000:.0f} GB on the disk.",
        )
    if not bpy.app.online_access:
        row = draw_trouble(layout, context, Trouble(OFFLINE, OFFLINE_REMEDY))
        operator(row, "iss.open_preferences", icon="PREFERENCES", section="SYSTEM")
    row = layout.row()
    row.scale_y = 1.6
    row.enabled = bool(bpy.app.online_access)
    again = setup is not None and setup.state in ("failed", "cancelled")
    row.operator("iss.set_up", text="Continue Set Up" if again else "Set Up", icon="IMPORT")


def draw_source(layout: Any, chosen: Any) -> None:
    """Where the backend comes from; the add-on's preferences show the same."""
    if chosen is settings.DEFAULTS:
        return  # not enabled as an add-on: nothing to set
    column = layout.column()
    column.use_property_split = True
    column.use_property_decorate = False
    column.prop(chosen, "source")
    if chosen.source == settings.MANAGED:
        column.prop(chosen, "environment_folder", placeholder="The add-on's own")
        column.prop(chosen, "base_python", placeholder="Found by itself")
    elif chosen.source == settings.PYTHON:
        column.prop(chosen, "python")
    else:
        column.prop(chosen, "command")


class ISS_PT_backend(SidebarPanel, bpy.types.Panel):
    """State, self-test and memory of the backend"""

    bl_idname, bl_label, bl_parent_id = "ISS_PT_backend", "Backend", "ISS_PT_main"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 10

    @never_raises
    def draw(self, context: Any) -> None:
        layout, session = self.layout, sessions.current()
        if session is None:
            return
        hello = session.client.hello if session.client else None
        version = f" ({hello.backend_version})" if hello and hello.backend_version else ""
        layout.label(text=f"{_STATES.get(session.state, session.state)}{version}", icon="CONSOLE")
        row = layout.row(align=True)
        row.enabled = session.client is not None
        operator(row, "iss.free_memory", icon="TRASH")
        operator(row, "iss.restart_backend", icon="FILE_REFRESH")
        operator(row, "iss.stop_backend", icon="CANCEL")
        row = layout.row(align=True)
        operator(row, "iss.doctor", icon="CHECKMARK")
        operator(row, "iss.copy", text="Copy Log", icon="COPYDOWN", what="log")
        operator(row, "iss.open_preferences", text="", icon="PREFERENCES", section="ADDONS")
        draw_doctor(layout, context, session)


def draw_doctor(layout: Any, context: Any, session: Session) -> None:
    """The checks as they come; each that failed with its remedy."""
    doctor = session.doctor
    if not doctor.checks:
        return
    box = layout.box()
    for check in doctor.checks:
        line = box.column()
        line.alert = not check.get("passed")
        text = f"{check.get('name')}: {check.get('detail')}"
        draw_text(line, context, text, icon="CHECKMARK" if check.get("passed") else "ERROR")
        if not check.get("passed") and check.get("remedy"):
            draw_text(box, context, str(check["remedy"]), icon="INFO")
    if doctor.done:
        operator(box, "iss.copy", text="Copy Report", icon="COPYDOWN", what="report")
    else:
        box.label(text="Testing...", icon="SORTTIME")


@never_raises
def draw_preferences(chosen: Any, context: Any) -> None:
    """The add-on's page in Blender's preferences."""
    layout = chosen.layout
    draw_source(layout, chosen)
    column = layout.column()
    column.use_property_split = True
    column.prop(chosen, "idle_unload_min")
    session = sessions.current()
    problem = session.backend.problem if session else None
    if problem is not None:
        column.label(text=f"{problem.message} {problem.remedy}", icon="INFO")
    if chosen.source == settings.MANAGED:
        column.operator("iss.set_up", icon="IMPORT")
    if session is not None:
        draw_models(layout, context, session)


CLASSES = (ISS_PT_backend,)


def register() -> None:
    """Register the panels."""
    register_classes(CLASSES)


def unregister() -> None:
    """Take them back."""
    unregister_classes(CLASSES)
