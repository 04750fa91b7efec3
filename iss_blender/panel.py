"""The main panel in the 3D view's sidebar: prompt, quality, Generate, and what is going on."""

from typing import Any

import bpy

from . import jobs
from . import session as sessions
from .job_requests import Place
from .panel_models import draw_work
from .panel_parts import (
    SidebarPanel,
    draw_progress,
    draw_text,
    draw_trouble,
    never_raises,
    operator,
    register_classes,
    unregister_classes,
)
from .panel_setup import draw_setup
from .session import Session

MOST_ROWS = 6
"""Jobs of the queue that are shown."""


class ISS_MT_device(bpy.types.Menu):
    """The devices that the backend can use"""

    bl_idname, bl_label = "ISS_MT_device", "Device"

    @never_raises
    def draw(self, context: Any) -> None:
        session = sessions.current()
        for name in session.devices if session else ["auto"]:
            text = "Automatic" if name == "auto" else name.upper()
            operator(self.layout, "iss.choose", text=text, what="device", value=name)
        if session is not None and session.state == jobs.STOPPED:
            self.layout.label(text="More are listed once the backend has started", icon="INFO")


class ISS_MT_bundle(bpy.types.Menu):
    """The installed models"""

    bl_idname, bl_label = "ISS_MT_bundle", "Model"

    @never_raises
    def draw(self, context: Any) -> None:
        session = sessions.current()
        cards = session.bundles if session else []
        for card in cards:
            icon = "ERROR" if card.get("problem") else "NONE"
            operator(
                self.layout,
                "iss.choose",
                text=str(card["name"]),
                icon=icon,
                what="bundle",
                value=card["name"],
            )
        if not cards:
            self.layout.label(text="They are listed once the backend has started", icon="INFO")


class ISS_PT_main(SidebarPanel, bpy.types.Panel):
    """Type a few words, get a coloured mesh"""

    bl_idname, bl_label = "ISS_PT_main", "Text to 3D"

    @never_raises
    def draw(self, context: Any) -> None:
        session = sessions.current()
        if session is None:
            self.layout.label(text="The add-on is being switched off.")
        elif session.backend.problem is not None:
            draw_setup(self.layout, context, session)
        else:
            draw_ready(self.layout, context, session)


def draw_ready(layout: Any, context: Any, session: Session) -> None:
    """The panel of a backend that can be started."""
    chosen = context.scene.iss
    draw_lost(layout, context, session)
    draw_device(layout, context, session)
    column = layout.column(align=True)
    row = column.row(align=True)
    row.scale_y = 1.3
    row.prop(chosen, "prompt", text="", placeholder="a red office chair")
    entry = session.history.find(chosen.prompt)
    star = "SOLO_ON" if entry is not None and entry.favourite else "SOLO_OFF"
    marks = row.row(align=True)
    marks.enabled = bool(chosen.prompt.strip())
    operator(marks, "iss.favourite", text="", icon=star, prompt=chosen.prompt)
    column.prop(chosen, "image_path", text="", icon="IMAGE_DATA", placeholder="Image (optional)")
    layout.row(align=True).prop(chosen, "quality", expand=True)
    row = layout.row(align=True)
    seed = row.row(align=True)
    seed.prop(chosen, "random_seed", text="", icon="FILE_REFRESH", toggle=True)
    number = seed.row(align=True)
    number.active = not chosen.random_seed
    number.prop(chosen, "seed")
    row.prop(chosen, "variations", text="Count")
    if chosen.variations > 1:
        layout.prop(chosen, "board")
    draw_generate(layout, context, session)
    draw_work(layout, context, session)
    draw_queue(layout, context, session)
    draw_messages(layout, context, session)


def draw_device(layout: Any, context: Any, session: Session) -> None:
    """Device and model, always in sight."""
    chosen = context.scene.iss
    row = layout.row(align=True)
    auto = chosen.device == "auto"
    told = short_device(session.device) if auto else chosen.device.upper()
    row.menu("ISS_MT_device", text=told, icon="MEMORY")
    row.menu("ISS_MT_bundle", text=chosen.bundle, icon="MESH_MONKEY")
    on_cpu = session.device.lower().startswith("cpu") if auto else chosen.device == "cpu"
    if on_cpu and chosen.quality == "fine":
        draw_text(layout, context, "No GPU is used: Fine takes minutes, Draft seconds.", icon="INFO")


def short_device(text: str) -> str:
    """The backend's words for its device, cut to what a button holds: CPU, or the name of the GPU."""
    kind, _, name = text.partition(" (")
    if name and not kind.startswith("cpu"):
        return name.rstrip(")")
    return (kind.upper() if " " not in kind else kind) or "Automatic"


def draw_generate(layout: Any, context: Any, session: Session) -> None:
    """The button, or the bar of what runs with its own Cancel."""
    row = layout.row()
    row.scale_y = 1.6
    busy = session.client.running if session.client else None
    icon = "ADD" if busy else "PLAY"
    row.operator("iss.generate", text="Add to Queue" if busy else "Generate", icon=icon)
    if session.state == jobs.STARTING:
        layout.label(text="Starting the backend...", icon="SORTTIME")
    if busy is None or not busy.kept:
        return
    clock = session.clocks.get(busy.id)
    box = layout.box()
    head = box.row(align=True)
    head.label(text=job_label(busy), icon="RENDER_ANIMATION", translate=False)
    if busy.cancel_requested:
        box.label(text="Stopping...")
        return
    operator(head, "iss.cancel", text="", icon="X", job_id=busy.id)
    if clock is not None:
        draw_progress(box, clock.fraction, f"{100 * clock.fraction:.0f}%")
        draw_text(box, context, clock.describe())
    if busy.stop_requested:
        draw_text(box, context, "Stopping; the best so far is kept.", icon="CHECKMARK")
    elif busy.can_stop:
        operator(box, "iss.stop_and_keep", icon="CHECKMARK", job_id=busy.id)
    for notice in session.notices.get(busy.id, ()):
        draw_text(box, context, notice, icon="INFO")


def job_label(job: jobs.Job) -> str:
    """What a job is called in the panel; those of a row are told apart by their seeds."""
    title = " ".join(job.title.split()) or job.name.capitalize()
    seed = job.params.get("recipe", {}).get("seed")
    return f"{title}  ·  seed {seed}" if Place.from_params(job.params).board and seed is not None else title


def draw_queue(layout: Any, context: Any, session: Session) -> None:
    """Jobs that wait, and jobs that failed with the reason."""
    listed = session.listed_jobs()
    waiting = [job for job in listed if job.state == jobs.QUEUED]
    if waiting:
        box = layout.box()
        row = box.row(align=True)
        row.label(text=f"Queue: {len(waiting)}", icon="PRESET")
        operator(row, "iss.save_queue", text="", icon="EXPORT")
        operator(row, "iss.cancel", text="", icon="TRASH")
        for job in waiting[:MOST_ROWS]:
            row = box.row(align=True)
            row.label(text=job_label(job), icon="BLANK1", translate=False)
            operator(row, "iss.cancel", text="", icon="X", job_id=job.id)
        if len(waiting) > MOST_ROWS:
            box.label(text=f"and {len(waiting) - MOST_ROWS} more", icon="BLANK1")
    cut_off = session.cut_off()
    for job in [job for job in listed if job.state == jobs.FAILED and job not in cut_off][-3:]:
        failure = job.failure
        trouble = sessions.Trouble(
            f"{job.title or job.name}: {failure.message if failure else 'it failed.'}",
            failure.remedy if failure else "",
        )
        buttons = draw_trouble(layout, context, trouble)
        operator(buttons, "iss.retry", icon="FILE_REFRESH", job_id=job.id)
        operator(buttons, "iss.copy", text="Copy Log", icon="COPYDOWN", what="log")
        operator(buttons, "iss.dismiss_job", text="", icon="X", job_id=job.id)


def draw_messages(layout: Any, context: Any, session: Session) -> None:
    """A problem of the backend or of the add-on, with the buttons that help."""
    if session.trouble is None:
        return
    buttons = draw_trouble(layout, context, session.trouble)
    cut_off = session.cut_off()
    if cut_off:  # told once; running the job again starts the backend as well
        operator(buttons, "iss.retry", icon="FILE_REFRESH", job_id=cut_off[-1].id)
    elif session.state == jobs.BROKEN:
        operator(buttons, "iss.restart_backend", icon="FILE_REFRESH")
    operator(buttons, "iss.copy", text="Copy Log", icon="COPYDOWN", what="log")
    operator(buttons, "iss.dismiss", text="", icon="X")


def draw_lost(layout: Any, context: Any, session: Session) -> None:
    """What an earlier session left: finished results, and jobs that were cut off."""
    if session.waiting:
        box = layout.box()
        count = len(session.waiting)
        told = f"{count} finished results are" if count > 1 else "1 finished result is"
        draw_text(box, context, f"{told} in no saved file.", icon="RECOVER_LAST")
        for entry in session.waiting[:3]:
            box.label(text=entry.title or entry.name, icon="BLANK1", translate=False)
        row = box.row(align=True)
        operator(row, "iss.recover", icon="IMPORT")
        operator(row, "iss.discard_lost", icon="TRASH", what="waiting")
    if session.interrupted:
        box = layout.box()
        count = len(session.interrupted)
        draw_text(box, context, f"{count} job{'s were' if count > 1 else ' was'} cut off before the end.",
                  icon="RECOVER_LAST")  # fmt: skip
        for entry in session.interrupted[:3]:
            box.label(text=entry.title or entry.name, icon="BLANK1", translate=False)
        row = box.row(align=True)
        operator(row, "iss.rerun", icon="FILE_REFRESH")
        operator(row, "iss.discard_lost", icon="TRASH", what="interrupted")


CLASSES = (ISS_MT_device, ISS_MT_bundle, ISS_PT_main)


def register() -> None:
    """Register the panel and its menus."""
    register_classes(CLASSES)


def unregister() -> None:
    """Take them back."""
    unregister_classes(CLASSES)
