"""Models in the preferences and in the sidebar: what is installed, what can be, and Use Full CLIP."""

from typing import Any

import bpy

from . import session as sessions
from .model_list import size_text
from .operators_models import model_jobs
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
from .protocol import Fields
from .session import Session


def draw_work(layout: Any, context: Any, session: Session) -> None:
    """The job about models that runs or waits, with its own Cancel; else what the last one did."""
    under_way = model_jobs(session)
    for job in under_way:
        box = layout.box()
        head = box.row(align=True)
        head.label(text=job.title, icon="SORTTIME", translate=False)
        clock = session.clocks.get(job.id)
        if job.cancel_requested:
            box.label(text="Stopping...")
            continue
        operator(head, "iss.cancel", text="", icon="X", job_id=job.id)
        if clock is None:
            box.label(text="Waits for the job before it")
        else:
            draw_progress(box, clock.fraction, f"{100 * clock.fraction:.0f}%")
            draw_text(box, context, clock.describe())
    if not under_way and session.models.told:
        draw_text(layout, context, session.models.told, icon="INFO")


def draw_full_clip(layout: Any, context: Any, session: Session) -> None:
    """The one button for open vocabulary, with what it costs."""
    clips = session.models.clips
    if not clips:
        operator(layout, "iss.list_models", icon="FILE_REFRESH")
        return
    row = layout.row()
    row.scale_y = 1.3
    row.enabled = not model_jobs(session)
    operator(row, "iss.use_full_clip", icon="WORLD", card=clips[0]["name"], svr=context.scene.iss.bundle)
    text = f"Any words instead of the model's own: {size_text(clips[0])} to download, then it learns."
    draw_text(layout, context, text)


class ISS_PT_models(SidebarPanel, bpy.types.Panel):
    """Use Full CLIP, and the way to all models"""

    bl_idname, bl_label, bl_parent_id = "ISS_PT_models", "Models", "ISS_PT_main"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 9

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Where the backend can be started."""
        session = sessions.current()
        return session is not None and session.backend.problem is None

    @never_raises
    def draw(self, context: Any) -> None:
        session = sessions.current()
        if session is None:
            return
        draw_full_clip(self.layout, context, session)
        operator(self.layout, "iss.open_preferences", text="All Models", icon="PREFERENCES", section="ADDONS")


def draw_models(layout: Any, context: Any, session: Session) -> None:
    """The whole list, for the preferences."""
    box = layout.box()
    head = box.row(align=True)
    head.label(text="Models", icon="MESH_MONKEY")
    if session.backend.problem is not None:
        draw_text(box, context, "They are listed once the backend is set up.", icon="INFO")
        return
    operator(head, "iss.list_models", text="", icon="FILE_REFRESH")
    operator(head, "iss.list_models", text="Verify", icon="CHECKMARK", verify=True)
    operator(head, "iss.import_model", text="Import File", icon="IMPORT")
    if session.trouble is not None:
        buttons = draw_trouble(box, context, session.trouble)
        operator(buttons, "iss.copy", text="Copy Log", icon="COPYDOWN", what="log")
        operator(buttons, "iss.dismiss", text="", icon="X")
    draw_work(box, context, session)
    if not bpy.app.online_access:
        draw_text(box, context, "Blender may not go online: only files that are here are used.", icon="INFO")
    if session.bundles:
        box.label(text="Installed", icon="DISK_DRIVE")
    for card in session.bundles:
        draw_installed(box, context, card)
    box.label(text="Any words", icon="WORLD")
    draw_full_clip(box, context, session)
    for card in session.models.clips:
        draw_public(box, context, card, "iss.use_full_clip", "Use", svr=context.scene.iss.bundle)
    if session.models.known:
        box.label(text="Public checkpoints, by their authors", icon="URL")
    installed = {str(card["name"]) for card in session.bundles}
    for card in session.models.known:
        if card["name"] not in installed:
            draw_public(box, context, card, "iss.install_model", "Install")


def draw_installed(layout: Any, context: Any, card: Fields) -> None:
    """A model on this machine: choose it, give it another CLIP, remove it."""
    name = str(card["name"])
    column = layout.column(align=True)
    row = column.row(align=True)
    chosen = context.scene.iss.bundle == name
    icon = "ERROR" if card.get("problem") else ("RADIOBUT_ON" if chosen else "RADIOBUT_OFF")
    operator(row, "iss.choose", text=name, icon=icon, what="bundle", value=name)
    operator(row, "iss.use_full_clip", text="", icon="WORLD", svr=name)
    if not card.get("shipped"):
        operator(row, "iss.remove_model", text="", icon="TRASH", name=name)
    size = card.get("bytes")
    facts = [
        f"{size / 1e6:.0f} MB" if isinstance(size, int | float) else "",
        f"licence {card.get('licence') or 'not stated'}",
    ]
    if card.get("verified"):
        facts.append("files are sound")
    if card.get("has_mapper") is False:
        facts.append("takes prompts after Use Full CLIP")
    note = column.column()
    note.active = False
    draw_text(note, context, str(card.get("problem") or "  ·  ".join(fact for fact in facts if fact)))


def draw_public(layout: Any, context: Any, card: Fields, idname: str, verb: str, **values: Any) -> None:
    """A model that its authors have published: terms, page, download, or a file that was fetched by hand."""
    column = layout.column(align=True)
    row = column.row(align=True)
    row.label(text=str(card.get("title")), translate=False)
    operator(row, "wm.url_open", text="", icon="URL", url=str(card.get("page")))
    if card.get("direct", True):
        operator(row, idname, text=verb, icon="IMPORT", card=card["name"], from_file=False, **values)
    operator(row, idname, text="From File", icon="FILE_FOLDER", card=card["name"], from_file=True, **values)
    note = column.column()
    note.active = False
    draw_text(note, context, f"Licence: {card.get('licence')}  ·  {size_text(card)}")


CLASSES = (ISS_PT_models,)


def register() -> None:
    """Register the panel."""
    register_classes(CLASSES)


def unregister() -> None:
    """Take it back."""
    unregister_classes(CLASSES)
