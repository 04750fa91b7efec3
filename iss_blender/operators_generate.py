"""Operators that make, stop and keep track of jobs: Generate, the queue, what an earlier session left."""

import secrets
from pathlib import Path
from typing import Any

import bpy
from bpy.props import StringProperty

from . import mesh_import, settings
from .job_requests import JobRequest, Place, batch_row, batch_text, generate_request, prompts_of_text
from .journal import new_job_id
from .operators import Refusal, SessionOperator, register_classes, submit, unregister_classes
from .session import Session

DRAFT = "draft"


def next_seed(chosen: Any) -> int:
    """The seed of the next job: the one in the panel, or a random one that the panel shows from now on."""
    if chosen.random_seed:
        chosen.seed = secrets.randbelow(settings.GREATEST_SEED)
    return int(chosen.seed)


def previews(chosen: Any, preset: str) -> int:
    """Iterations between previews; none for drafts, which are as quick themselves."""
    return 0 if preset == DRAFT else int(chosen.preview_every)


def requests_of_scene(context: "bpy.types.Context", prompt: str, *, board: str = "") -> list[JobRequest]:
    """The jobs that the panel's settings ask for with these words; Refusal says what is missing."""
    chosen = context.scene.iss
    image = Path(bpy.path.abspath(chosen.image_path)) if chosen.image_path else None
    if not prompt.strip() and image is None:
        raise Refusal('Type what to make, for example "a red chair".')
    several = chosen.variations > 1
    preset = DRAFT if several and chosen.board else chosen.quality
    place = Place(
        location=tuple(mesh_import.floor_below_cursor(context.scene)),
        height=chosen.height,
        board=board or (new_job_id() if several else ""),
    )
    first = next_seed(chosen)
    try:
        return [
            generate_request(
                prompt,
                seed=first + index,
                place=place,
                preset=preset,
                bundle=chosen.bundle,
                device=chosen.device,
                diversity=chosen.diversity,
                changes=settings.stage2_changes(chosen),
                preview_every=previews(chosen, preset),
                image=image,
            )
            for index in range(chosen.variations)
        ]
    except OSError as problem:
        raise Refusal(f"The image {image} cannot be read: {problem.strerror}. Choose another.") from problem


class ISS_OT_generate(SessionOperator, bpy.types.Operator):
    """Make a coloured mesh from the prompt; it appears within seconds and gets better as it is tuned"""

    bl_idname, bl_label = "iss.generate", "Generate"

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        chosen = context.scene.iss
        for request in requests_of_scene(context, chosen.prompt):
            submit(session, request)
        session.history.remember(chosen.prompt, seed=chosen.seed, preset=chosen.quality, bundle=chosen.bundle)


class ISS_OT_generate_from_text(SessionOperator, bpy.types.Operator):
    """Queue every line of the text as a prompt; blank lines and lines that start with # are passed over"""

    bl_idname, bl_label = "iss.generate_from_text", "Queue Prompts of Text"

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        chosen = context.scene.iss
        if chosen.prompt_text is None:
            raise Refusal("Choose a text with one prompt per line.")
        prompts = prompts_of_text(chosen.prompt_text.as_string())
        if not prompts:
            raise Refusal(f"The text {chosen.prompt_text.name!r} holds no prompt.")
        row = new_job_id()
        for prompt in prompts:
            for request in requests_of_scene(context, prompt, board=row):
                submit(session, request)
        self.report({"INFO"}, f"{len(prompts)} prompts queued.")


class ISS_OT_cancel(SessionOperator, bpy.types.Operator):
    """Stop this job, or every job"""

    bl_idname, bl_label = "iss.cancel", "Cancel"

    job_id: StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        if self.job_id:
            session.cancel(self.job_id)
        else:
            session.cancel_all()


class ISS_OT_stop_and_keep(SessionOperator, bpy.types.Operator):
    """Tune no further and take the best shape so far"""

    bl_idname, bl_label = "iss.stop_and_keep", "Stop and Keep"

    job_id: StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        session.stop_and_keep(self.job_id)


class ISS_OT_retry(SessionOperator, bpy.types.Operator):
    """Run this job again"""

    bl_idname, bl_label = "iss.retry", "Retry"

    job_id: StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        if session.retry(self.job_id) is None:
            raise Refusal("This job cannot be run again; press Generate.")


class ISS_OT_dismiss_job(SessionOperator, bpy.types.Operator):
    """Take this failed job off the list"""

    bl_idname, bl_label = "iss.dismiss_job", "Dismiss"

    job_id: StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        session.dismiss(self.job_id)


class ISS_OT_save_queue(SessionOperator, bpy.types.Operator):
    """Save the waiting jobs as a file for scripts/batch.py; without a queue, what Generate would make"""

    bl_idname, bl_label = "iss.save_queue", "Save Queue as Batch"

    filepath: StringProperty(subtype="FILE_PATH")
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def invoke(self, context: "bpy.types.Context", event: "bpy.types.Event") -> set[str]:
        self.filepath = self.filepath or "queue.json"
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        queued: list[Any] = [job for job in session.listed_jobs() if job.name == "generate"]
        queued = queued or requests_of_scene(context, context.scene.iss.prompt)
        path = Path(bpy.path.abspath(self.filepath)).with_suffix(".json")
        try:
            path.write_text(batch_text(batch_row(job.name, job.params) for job in queued), "utf-8")
        except OSError as problem:
            raise Refusal(f"{path} cannot be written: {problem.strerror}. Choose another place.") from problem
        self.report({"INFO"}, f"{len(queued)} jobs saved to {path.name}.")


class ISS_OT_recover(SessionOperator, bpy.types.Operator):
    """Bring finished results of an earlier session into this file"""

    bl_idname, bl_label = "iss.recover", "Import"

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        for entry in list(session.waiting):
            session.recover(entry)


class ISS_OT_rerun(SessionOperator, bpy.types.Operator):
    """Run the jobs again that an earlier session did not finish"""

    bl_idname, bl_label = "iss.rerun", "Run Again"

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        if session.client is None:
            problem = session.backend.problem
            raise Refusal(f"{problem.message} {problem.remedy}" if problem else "There is no backend.")
        for entry in list(session.interrupted):
            session.rerun(entry)


class ISS_OT_discard_lost(SessionOperator, bpy.types.Operator):
    """Delete what an earlier session left, for good"""

    bl_idname, bl_label = "iss.discard_lost", "Discard"

    what: StringProperty(default="waiting", options={"HIDDEN", "SKIP_SAVE"})

    def invoke(self, context: "bpy.types.Context", event: "bpy.types.Event") -> set[str]:
        return context.window_manager.invoke_confirm(self, event)

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        for entry in list(session.waiting if self.what == "waiting" else session.interrupted):
            session.discard(entry)


CLASSES = (
    ISS_OT_generate,
    ISS_OT_generate_from_text,
    ISS_OT_cancel,
    ISS_OT_stop_and_keep,
    ISS_OT_retry,
    ISS_OT_dismiss_job,
    ISS_OT_save_queue,
    ISS_OT_recover,
    ISS_OT_rerun,
    ISS_OT_discard_lost,
)


def register() -> None:
    """Register the operators."""
    register_classes(CLASSES)


def unregister() -> None:
    """Take the operators back."""
    unregister_classes(CLASSES)
