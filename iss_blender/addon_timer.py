"""The timer that drives the session, and the handlers for opening and saving files.

Timers do not run under `blender -b`; scripts/batch.py pumps a client of its own there.
"""

import logging
import time

import bpy

from . import addon_scene, settings
from . import session as sessions

log = logging.getLogger(__name__)

FIRST_TICK_S = 0.2
REDRAW_S = 0.25
"""Between drawings of the sidebar while nothing but the time changes."""

_last_redraw = 0.0


def tick() -> float | None:
    """One round: poll, at most one piece of scene work, sliders, redraw. Returns the seconds to the next."""
    session = sessions.current()
    if session is None:
        return None
    try:
        _tick(session)
    except Exception:
        # The one catch-all of the add-on's own loop: an exception would end the timer and all jobs with it.
        log.exception("the ISS timer met a problem")
        session.trouble = sessions.Trouble(
            "Something unexpected went wrong in the add-on.", "The system console has the details.", "add-on"
        )
    return session.interval_s


def redraw() -> None:
    """Draw the sidebars of all 3D views again, and the preferences."""
    global _last_redraw
    _last_redraw = time.monotonic()
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "PREFERENCES":
                area.tag_redraw()
            elif area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


def register() -> None:
    """Start the timer and watch the files; a second time changes nothing."""
    if not bpy.app.timers.is_registered(tick):
        bpy.app.timers.register(tick, first_interval=FIRST_TICK_S, persistent=True)
    for handlers, handler in _handlers():
        if handler not in handlers:
            handlers.append(handler)


def unregister() -> None:
    """Stop the timer and forget the files."""
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
    for handlers, handler in _handlers():
        if handler in handlers:
            handlers.remove(handler)


def _tick(session: sessions.Session) -> None:
    changed = session.tick()
    if session.setup_ended:
        session.setup_ended = False
        settings.apply_preferences()
        changed = True
    chosen_model = session.models.take_choice(session.file)
    if chosen_model:
        for scene in {window.scene for window in bpy.context.window_manager.windows} or {bpy.context.scene}:
            scene.iss.bundle = chosen_model
        changed = True
    if session.scene_work and not addon_scene.is_hands_on():
        changed = addon_scene.carry_out_one(session) or changed
    for obj in _active_objects():
        wish = addon_scene.follow_sliders(session, obj)
        if wish is not None:
            changed = True
            if session.submit(wish, kept=False) is None:
                addon_scene.drop_wish(obj)
    if changed or (session.is_working and time.monotonic() - _last_redraw > REDRAW_S):
        redraw()


def _active_objects() -> "list[bpy.types.Object]":
    """The active object of every window; a timer's own context has none where it runs without a window."""
    layers = [window.view_layer for window in bpy.context.window_manager.windows]
    found = [layer.objects.active for layer in layers or [bpy.context.view_layer]]
    return [obj for obj in found if obj is not None]


@bpy.app.handlers.persistent
def _file_loaded(*_: object) -> None:
    session = sessions.current()
    if session is not None:
        session.file_loaded()


@bpy.app.handlers.persistent
def _file_saved(*_: object) -> None:
    session = sessions.current()
    if session is not None:
        session.file_saved()


def _handlers() -> list[tuple[list[object], object]]:
    handlers = bpy.app.handlers
    return [(handlers.load_post, _file_loaded), (handlers.save_post, _file_saved)]
