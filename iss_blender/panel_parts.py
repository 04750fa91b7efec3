"""Pieces that all panels are made of: text that wraps, boxes for problems, and drawing that never raises."""

import functools
import logging
import textwrap
from collections.abc import Callable
from typing import Any

import bpy

from .session import Trouble

log = logging.getLogger(__name__)

CATEGORY = "ISS"
_CHARACTER_PX = 7.1
"""Width of a character of the interface's font at scale 1, with room for lines of wide ones."""
_MARGIN_PX = 40
LOG_LINES, LONGEST_LINE = 3, 160
"""What a problem's box shows of a log."""
_shown: set[str] = set()


def never_raises(draw: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """A draw function that ends in a line of text where it fails; each problem is logged once."""

    @functools.wraps(draw)
    def guarded(self: Any, context: Any) -> None:
        try:
            draw(self, context)
        except Exception as problem:
            # Blender calls this on every redraw: a traceback each time would bury everything else.
            told = f"{type(problem).__name__}: {problem}"
            if told not in _shown:
                _shown.add(told)
                log.exception("the panel could not be drawn")
            self.layout.label(text="This part cannot be drawn; the console has the reason.", icon="ERROR")

    return guarded


def draw_text(layout: Any, context: Any, text: str, *, icon: str = "NONE", indent: int = 0) -> None:
    """A text over as many lines as the region's width asks for."""
    region = getattr(context, "region", None)
    width = region.width if region is not None else 300
    scale = context.preferences.system.ui_scale or 1.0
    columns = int((width / scale - _MARGIN_PX - indent - (20 if icon != "NONE" else 0)) / _CHARACTER_PX)
    column = layout.column(align=True)
    column.scale_y = 0.8
    for number, line in enumerate(textwrap.wrap(text, max(18, columns)) or [""]):
        # The lines after the first one stand below its text, not below its icon.
        own = icon if number == 0 else ("BLANK1" if icon != "NONE" else "NONE")
        column.label(text=line, icon=own, translate=False)


def draw_trouble(layout: Any, context: Any, trouble: Trouble) -> Any:
    """A box with what is wrong and what to do; returns a row for buttons."""
    box = layout.box()
    column = box.column()
    column.alert = True
    draw_text(column, context, trouble.message, icon="ERROR")
    if trouble.remedy:
        draw_text(box, context, trouble.remedy, icon="INFO")
    last = [line.strip() for line in trouble.log.splitlines() if line.strip()][-LOG_LINES:]
    if last:
        column = box.column()
        column.active = False
        for line in last:
            draw_text(column, context, line[:LONGEST_LINE])
    return box.row(align=True)


def draw_progress(layout: Any, fraction: float, text: str) -> None:
    """A progress bar with a text in it."""
    layout.progress(factor=min(1.0, max(0.0, fraction)), text=text)


def operator(layout: Any, idname: str, *, text: str | None = None, icon: str = "NONE", **values: Any) -> Any:
    """An operator button with its properties set."""
    options = {} if text is None else {"text": text}
    button = layout.operator(idname, icon=icon, **options)
    for name, value in values.items():
        setattr(button, name, value)
    return button


class SidebarPanel:
    """Where all panels of the add-on are."""

    bl_space_type, bl_region_type, bl_category = "VIEW_3D", "UI", CATEGORY


def register_classes(classes: tuple[type, ...]) -> None:
    """Register classes in order."""
    for cls in classes:
        bpy.utils.register_class(cls)


def unregister_classes(classes: tuple[type, ...]) -> None:
    """Take classes back in reverse order."""
    for cls in reversed(classes):
        bpy.utils.unregister_class(cls)
