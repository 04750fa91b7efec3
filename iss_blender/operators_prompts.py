"""Operators on the prompt history: recall, favourites, forgetting."""

import bpy
from bpy.props import StringProperty

from .operators import Refusal, SessionOperator, register_classes, unregister_classes
from .prompts import Prompt
from .session import Session


def known_prompt(session: Session, words: str) -> Prompt:
    """The entry of the history; Refusal where another Blender removed it."""
    entry = session.history.find(words)
    if entry is None:
        raise Refusal("This prompt is not in the history any more.")
    return entry


class ISS_OT_recall(SessionOperator, bpy.types.Operator):
    """Put this prompt back into the panel, with its seed, quality and model"""

    bl_idname, bl_label = "iss.recall", "Recall"

    prompt: StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        entry, chosen = known_prompt(session, self.prompt), context.scene.iss
        chosen.prompt, chosen.bundle = entry.prompt, entry.bundle
        chosen.seed = max(0, min(entry.seed, 2**31 - 1))
        if entry.preset in ("draft", "normal", "fine"):
            chosen.quality = entry.preset


class ISS_OT_favourite(SessionOperator, bpy.types.Operator):
    """Keep this prompt on top of the list, or let it go again"""

    bl_idname, bl_label = "iss.favourite", "Favourite"

    prompt: StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        chosen = context.scene.iss
        if session.history.find(self.prompt) is None and self.prompt == chosen.prompt:
            session.history.remember(
                chosen.prompt, seed=chosen.seed, preset=chosen.quality, bundle=chosen.bundle
            )
        entry = known_prompt(session, self.prompt)
        session.history.set_favourite(entry.prompt, not entry.favourite)


class ISS_OT_forget_prompt(SessionOperator, bpy.types.Operator):
    """Take this prompt off the history"""

    bl_idname, bl_label = "iss.forget_prompt", "Forget"

    prompt: StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        session.history.remove(self.prompt)


class ISS_OT_clear_history(SessionOperator, bpy.types.Operator):
    """Forget all prompts but the favourites"""

    bl_idname, bl_label = "iss.clear_history", "Clear History"

    def invoke(self, context: "bpy.types.Context", event: "bpy.types.Event") -> set[str]:
        return context.window_manager.invoke_confirm(self, event)

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        session.history.clear()


CLASSES = (ISS_OT_recall, ISS_OT_favourite, ISS_OT_forget_prompt, ISS_OT_clear_history)


def register() -> None:
    """Register the operators."""
    register_classes(CLASSES)


def unregister() -> None:
    """Take the operators back."""
    unregister_classes(CLASSES)
