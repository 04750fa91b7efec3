"""Operators about models: list, verify, install, import, remove, and Use Full CLIP.

Whatever downloads shows its source, licence and size first, and wants the licence accepted. All of it is
work for the backend, with progress and cancel.
"""

from pathlib import Path
from typing import Any, ClassVar

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty

from . import model_list
from .job_requests import JobRequest
from .operators import Refusal, SessionOperator, register_classes, unregister_classes
from .panel_parts import never_raises
from .protocol import Fields
from .session import Session

STARTER = "starter"
_HIDDEN = {"HIDDEN", "SKIP_SAVE"}
_WIDTH = 520
NOT_ACCEPTED = "Nothing was done: the licence is not accepted. Read it at its page and tick it to go on."


def ask(session: Session, request: JobRequest) -> None:
    """Queue a request about models; Refusal says why that is impossible."""
    if any(job.name == request.name and not job.ended for job in model_jobs(session)):
        raise Refusal("This is being done already. Wait for it, or cancel it.")
    if session.submit(request, kept=False) is None:
        trouble = session.trouble
        raise Refusal(f"{trouble.message} {trouble.remedy}" if trouble else "The backend is not ready.")


def model_jobs(session: Session) -> list[Any]:
    """The jobs about models that run or wait."""
    jobs = session.client.jobs if session.client else []
    return [job for job in jobs if job.name in model_list.MODEL_JOBS and not job.ended]


def known_card(session: Session, name: str) -> Fields:
    """A known checkpoint or CLIP; Refusal where it is not listed."""
    card = session.models.card_of(name)
    if card is None:
        raise Refusal("The models are not listed yet. Press List Models first.")
    return card


def chosen_file(path: str) -> str:
    """A file of the file browser, in full; Refusal where it is none."""
    full = Path(bpy.path.abspath(path))
    if not full.is_file():
        raise Refusal(f"There is no file {str(full)!r}. Choose a checkpoint file.")
    return str(full)


class _Consent(SessionOperator):
    """An operator that shows the terms of a known model in a dialog, or beside the file browser."""

    layout: Any
    accept: bool
    from_file: bool
    card: str

    def invoke(self, context: "bpy.types.Context", event: object) -> set[str]:
        """Ask for consent, or for the file that stands for the download."""
        self.prepare(context)
        if self.from_file:
            context.window_manager.fileselect_add(self)
            return {"RUNNING_MODAL"}
        result: set[str] = context.window_manager.invoke_props_dialog(self, width=_WIDTH)
        return result

    def prepare(self, context: "bpy.types.Context") -> None:
        """Fill in what the dialog shows."""

    @never_raises
    def draw(self, context: "bpy.types.Context") -> None:
        from . import session as sessions

        session = sessions.current()
        card = session.models.card_of(self.card) if session else None
        column = self.layout.column(align=True)
        for line in model_list.terms_of(card) if card else ["The models are not listed yet."]:
            column.label(text=line, translate=False)
        if not self.from_file and not bpy.app.online_access:
            self.layout.label(
                text="Blender may not go online: only files that are here are used.", icon="INFO"
            )
        self.draw_more(context)
        self.layout.prop(self, "accept")

    def draw_more(self, context: "bpy.types.Context") -> None:
        """What else the dialog asks."""


class ISS_OT_list_models(SessionOperator, bpy.types.Operator):
    """Show the installed models, and the public ones that can be installed; starts the backend"""

    bl_idname, bl_label = "iss.list_models", "List Models"

    verify: BoolProperty(options=_HIDDEN)

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        ask(session, JobRequest(model_list.LIST, {"verify": True} if self.verify else {}, {}, "Models"))


class ISS_OT_install_model(_Consent, bpy.types.Operator):
    """Install a public checkpoint, after its licence is accepted"""

    bl_idname, bl_label = "iss.install_model", "Install Model"

    card: StringProperty(options=_HIDDEN)
    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE"})
    from_file: BoolProperty(options=_HIDDEN)
    accept: BoolProperty(name="I have read the licence and accept it", options={"SKIP_SAVE"})

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        card = known_card(session, self.card)
        if not self.accept:
            raise Refusal(NOT_ACCEPTED)
        if not self.from_file and not card.get("direct"):
            raise Refusal(f"Fetch it by hand from {card.get('page')}, then press From File.")
        file = chosen_file(self.filepath) if self.from_file else ""
        ask(session, model_list.install_request(card, online=bool(bpy.app.online_access), file=file))


class ISS_OT_import_model(SessionOperator, bpy.types.Operator):
    """Make a model of a checkpoint file of yours; files with code in them are refused"""

    bl_idname, bl_label = "iss.import_model", "Import Model"

    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE"})
    kind: EnumProperty(name="Kind", description="What the file is", items=model_list.KINDS)
    name: StringProperty(name="Name", description="Of the new model; empty for the file's own")
    licence: StringProperty(name="Licence", description="Of the weights, to be kept with them")

    def invoke(self, context: "bpy.types.Context", event: object) -> set[str]:
        """Ask for the file."""
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        file = chosen_file(self.filepath)
        wanted = self.name.strip() or Path(file).stem
        name = model_list.free_name(wanted, session.bundles)
        params = {"file": file, "kind": self.kind, "name": name, "licence": self.licence.strip()}
        ask(session, JobRequest(model_list.IMPORT, params, {}, name))


class ISS_OT_remove_model(SessionOperator, bpy.types.Operator):
    """Delete this model from the disk"""

    bl_idname, bl_label = "iss.remove_model", "Remove Model"

    name: StringProperty(options=_HIDDEN)

    def invoke(self, context: "bpy.types.Context", event: object) -> set[str]:
        """Ask once more."""
        result: set[str] = context.window_manager.invoke_confirm(self, event)
        return result

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        ask(session, JobRequest(model_list.REMOVE, {"name": self.name}, {}, self.name))
        if context.scene.iss.bundle == self.name:
            context.scene.iss.bundle = STARTER


class ISS_OT_use_full_clip(_Consent, bpy.types.Operator):
    """Let a model understand any words: fetch a public CLIP after asking, and learn how its words fit the
    model's shapes. Takes minutes to an hour; can be cancelled, and goes on where it stopped"""

    bl_idname, bl_label = "iss.use_full_clip", "Use Full CLIP"
    bl_options: ClassVar[set[str]] = {"REGISTER"}

    card: StringProperty(options=_HIDDEN)
    svr: StringProperty(options=_HIDDEN)
    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE"})
    from_file: BoolProperty(options=_HIDDEN)
    accept: BoolProperty(name="I have read the licence and accept it", options={"SKIP_SAVE"})
    name: StringProperty(name="Name", description="Of the new model", options={"SKIP_SAVE"})
    shapes: IntProperty(
        name="Shapes", description="How many shapes it is taught with", default=1500, min=40, max=100_000
    )
    steps: IntProperty(name="Steps", description="Of learning", default=4000, min=1, max=1_000_000)

    def prepare(self, context: "bpy.types.Context") -> None:
        """Propose the scene's model, the first CLIP, and a free name."""
        from . import session as sessions

        session = sessions.current()
        if session is None:
            return
        self.svr = self.svr or context.scene.iss.bundle
        if not self.card and session.models.clips:
            self.card = str(session.models.clips[0]["name"])
        if not self.name:
            self.name = model_list.free_name(f"{Path(self.svr).name}-full-clip", session.bundles)

    def draw_more(self, context: "bpy.types.Context") -> None:
        """The new model's name and how thoroughly it learns."""
        column = self.layout.column()
        column.label(text=f"Then it learns how its words fit the shapes of {self.svr!r}.", translate=False)
        column.label(text="That takes minutes to an hour on this computer; prompts wait meanwhile.")
        column.use_property_split = True
        for name in ("name", "shapes", "steps"):
            column.prop(self, name)

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        self.prepare(context)
        card = known_card(session, self.card)
        if not self.accept:
            raise Refusal(NOT_ACCEPTED)
        wanted: Fields = {"known": card["name"]}
        if self.from_file:
            wanted = {"file": chosen_file(self.filepath), "architecture": card.get("architecture", "")}
        request = model_list.align_request(
            self.svr,
            self.name,
            clip=wanted,
            licence=str(card["licence"]),
            online=bool(bpy.app.online_access),
            device=context.scene.iss.device,
            shapes=self.shapes,
            steps=self.steps,
            title=str(card["title"]),
        )
        ask(session, request)


CLASSES = (
    ISS_OT_list_models,
    ISS_OT_install_model,
    ISS_OT_import_model,
    ISS_OT_remove_model,
    ISS_OT_use_full_clip,
)


def register() -> None:
    """Register the operators."""
    register_classes(CLASSES)


def unregister() -> None:
    """Take the operators back."""
    unregister_classes(CLASSES)
