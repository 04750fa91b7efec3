"""What all operators share: they end in a sentence, never in a traceback, and know the session."""

import logging
from typing import Any, ClassVar

import bpy

from . import session as sessions
from .job_requests import JobRequest
from .session import Session

log = logging.getLogger(__name__)

DONE, REFUSED = {"FINISHED"}, {"CANCELLED"}


class Refusal(Exception):
    """An operator cannot do what was asked; the text is a sentence for the artist."""


class SessionOperator:
    """Base of the operators: `run` does the work and raises Refusal with a sentence where it cannot."""

    bl_options: ClassVar[set[str]] = {"REGISTER"}

    def execute(self, context: "bpy.types.Context") -> set[str]:
        """Run, and turn what goes wrong into a report. The one catch-all of the operators."""
        try:
            session = sessions.current()
            if session is None:
                raise Refusal("The add-on is being switched off.")
            self.run(context, session)
        except Refusal as problem:
            self.report({"ERROR"}, str(problem))
            return REFUSED
        except Exception as problem:
            log.exception("%s met a problem", type(self).__name__)
            self.report({"ERROR"}, f"{self.bl_label} did not work: {problem}. The console has the details.")
            return REFUSED
        from .addon_timer import redraw

        redraw()
        return DONE

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        """What the operator does."""
        raise NotImplementedError

    report: Any
    bl_label: str


def submit(session: Session, request: JobRequest, *, job_id: str | None = None) -> str:
    """Queue a request and return its job's id; Refusal says why that is impossible."""
    job = session.submit(request, job_id=job_id)
    if job is None:
        trouble = session.trouble
        raise Refusal(f"{trouble.message} {trouble.remedy}" if trouble else "The backend is not ready.")
    return job.id


def register_classes(classes: tuple[type, ...]) -> None:
    """Register classes in order."""
    for cls in classes:
        bpy.utils.register_class(cls)


def unregister_classes(classes: tuple[type, ...]) -> None:
    """Take classes back in reverse order."""
    for cls in reversed(classes):
        bpy.utils.unregister_class(cls)
