"""The add-on's side of the pipe: starts the backend, keeps the job list, polls without ever blocking.

One `poll` per timer tick does a bounded amount of work and returns what happened. Jobs wait in the
client and are sent one at a time, so a dying backend takes at most one of them along. No threads, no
bpy, no torch; the batch script pumps the same client in its own loop.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import jobs, protocol
from .backend_end import AGAIN, explain_end
from .jobs import ClientEvent, Failure, Hello, Job
from .journal import INTERRUPTED as JOURNAL_INTERRUPTED
from .journal import Journal, JournalError, ResultWriter, new_job_id
from .pipe import PipeClosedError
from .process import BackendProcess, read_log_tail
from .protocol import Array, Fields, Frame, FrameReader, ProtocolError

log = logging.getLogger(__name__)

GAP_S = 0.5
"""What a longer pause between polls (a render, a dialog) counts as of the backend's silence. Not nothing:
a Blender that draws once a second would never notice a hang."""


@dataclass(frozen=True)
class Limits:
    """Time limits in seconds."""

    start_s: float = 60.0
    """From the start of the command to its hello."""
    silence_s: float = 30.0
    """Without a byte from the backend, which sends a heartbeat every second."""
    cancel_s: float = 1.5
    """From a cancel to its acknowledgement; then the backend is killed, which keeps to 2 s in any case."""
    close_s: float = 0.5
    """From the end of input to the kill, on close."""


class BackendClient:
    """Talks to one backend; `command` is any command that speaks the protocol on its standard streams."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log_path: Path,
        journal: Journal | None = None,
        limits: Limits | None = None,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.command = list(command)
        self.log_path = log_path
        self.journal = journal
        self.limits = limits or Limits()
        self.state = jobs.STOPPED
        self.hello: Hello | None = None
        self.failure: Failure | None = None
        self._cwd, self._env, self._clock = cwd, env, clock
        self._jobs: dict[str, Job] = {}
        self._running: Job | None = None
        self._settings: Fields = {}
        self._process: BackendProcess | None = None
        self._dying: list[BackendProcess] = []
        self._reader = FrameReader()
        self._saving: tuple[ResultWriter, Frame] | None = None
        self._news: list[ClientEvent] = []
        self._deaf = False
        self._started = self._heard = self._polled = clock()
        self._cancel_until: float | None = None

    @property
    def jobs(self) -> list[Job]:
        """Every job since the client was made, in the order of submission, `forget` aside."""
        return list(self._jobs.values())

    @property
    def running(self) -> Job | None:
        """The job that the backend works on."""
        return self._running

    @property
    def busy(self) -> bool:
        """Whether a timer should poll often: something runs or is yet to be told."""
        return bool(self.state == jobs.STARTING or self._news or self._dying or self._running)

    @property
    def pid(self) -> int | None:
        """Process number of the backend command while there is one."""
        return None if self._process is None else self._process.pid

    def job(self, job_id: str) -> Job | None:
        """The job of that id."""
        return self._jobs.get(job_id)

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of the backend's log."""
        return read_log_tail(self.log_path, lines)

    def start(self) -> None:
        """Start the backend unless it runs; a failure is told by the next poll."""
        if self._process is not None:
            return
        self.failure, self.hello, self._reader, self._deaf = None, None, FrameReader(), False
        self._started = self._heard = self._polled = self._clock()
        try:
            self._process = BackendProcess(self.command, self.log_path, cwd=self._cwd, env=self._env)
        except OSError as problem:
            program = self.command[0] if self.command else "(empty)"
            remedy = "Press Set up, or correct the backend command in the preferences."
            self._break(
                "start", f"The backend command {program} cannot be started: {problem.strerror}.", remedy
            )
            return
        self.state = jobs.STARTING

    def submit(
        self,
        name: str,
        params: Fields,
        arrays: Mapping[str, Array] | None = None,
        *,
        title: str = "",
        kept: bool = True,
        job_id: str | None = None,
    ) -> Job:
        """Queue a request, written to the journal first when `kept`; starts the backend where needed.

        `job_id` takes up a job of an earlier session again. ProtocolError when the request cannot cross.
        """
        known = self._jobs.get(job_id or "")
        if known is not None and not known.ended:
            return known
        job = Job(job_id or new_job_id(), name, dict(params), dict(arrays or {}), title=title, kept=kept)
        protocol.encode_frame(protocol.request(job.id, job.name, job.params, job.arrays))
        if kept and self.journal is not None:
            try:
                self.journal.record_request(job.id, name, job.params, job.arrays, title=title)
            except JournalError as problem:
                self._unsaved(job, problem)
        self._jobs[job.id] = job
        self.start()
        self._send_next()
        return job

    def configure(self, settings: Fields) -> None:
        """Settings of the backend process (`idle_unload_s`), sent now and after every start."""
        self._settings = dict(settings)
        if self.state == jobs.READY:
            self._send(protocol.request(protocol.CONFIGURE, protocol.CONFIGURE, self._settings))

    def cancel(self, job_id: str) -> None:
        """Stop a job: a queued one at once, a running one within the cancel limit."""
        job = self._jobs.get(job_id)
        if job is None or job.ended or job.cancel_requested or (job is self._running and self._saving):
            return
        job.cancel_requested = True
        if job is not self._running:
            self._end(job, jobs.CANCELLED)
            self._news.append(jobs.JobCancelled(job))
            return
        self._cancel_until = self._clock() + self.limits.cancel_s
        self._send(Frame(protocol.CANCEL, job.id))

    def stop(self, job_id: str) -> None:
        """Let a running job end early with the best that it has; waiting and ended jobs stay as they are."""
        job = self._jobs.get(job_id)
        if job is None or job is not self._running or job.cancel_requested or job.stop_requested:
            return
        job.stop_requested = True
        self._send(Frame(protocol.STOP, job.id))

    def cancel_all(self) -> None:
        """Stop every job, the waiting ones first."""
        for job in reversed(self.jobs):
            self.cancel(job.id)

    def forget(self, job_id: str) -> None:
        """Drop an ended job from the list; the journal keeps its copy."""
        job = self._jobs.get(job_id)
        if job is not None and job.ended:
            del self._jobs[job_id]

    def imported(self, job_id: str) -> None:
        """Tell the journal that the result is in a scene; JournalError when the disk refuses."""
        if self.journal is not None:
            self.journal.mark_imported(job_id)

    def restart(self) -> None:
        """Kill the backend and start it again; the running job fails, the queue stays."""
        self._finish_saving()
        self._drop_process()
        self._fail_running(Failure("restarted", "The backend was restarted.", "Run the job again."))
        self.start()

    def close(self) -> None:
        """End the backend and return when it is gone. Jobs without a result count as interrupted."""
        self._finish_saving()
        for job in self.jobs:
            if not job.ended:
                self._note(job, JOURNAL_INTERRUPTED)
                job.failure = Failure(
                    "interrupted", "The backend was closed before the job's end.", "Run it again."
                )
                job.state = jobs.FAILED
        processes = [*self._dying, *([self._process] if self._process else [])]
        self._process, self._running, self._cancel_until = None, None, None
        self.state = jobs.STOPPED
        for process in processes:
            process.close(grace_s=self.limits.close_s)
        self._dying.clear()

    def poll(self, budget_s: float = 0.003) -> list[ClientEvent]:
        """What happened since the last poll, after at most about `budget_s` of work."""
        now = self._clock()
        unseen = now - self._polled - GAP_S
        if unseen > 0:
            self._heard += unseen
            self._started += unseen
        self._polled = now
        self._dying = [process for process in self._dying if process.exit_code() is None]
        if self._saving is not None:
            self._save(now + budget_s)
        if self._process is not None and self._saving is None:
            try:
                self._pump(now + budget_s)
            except ProtocolError as problem:
                self._break(problem.code, problem.message, problem.remedy)
            except PipeClosedError:
                self._died()
            else:
                self._check_limits()
        self._send_next()
        news, self._news = self._news, []
        return news

    def _pump(self, deadline: float) -> None:
        assert self._process is not None
        if not self._deaf:
            try:
                self._process.flush()
            except PipeClosedError:
                self._deaf = True
        while self._process is not None and self._saving is None:
            frame = self._reader.take()
            if frame is not None:
                self._receive(frame)
            else:
                # Asked before the read, so that the last words of a process that ends meanwhile are heard.
                gone = self._deaf or self._process.exit_code() is not None
                data = self._process.read()
                if not data:
                    if gone:  # but a child of it may hold the pipe open
                        raise PipeClosedError
                    return
                self._reader.feed(data)
                self._heard = self._clock()
            if self._clock() >= deadline:
                return

    def _receive(self, frame: Frame) -> None:
        name = str(frame.fields.get("name", ""))
        if self.state == jobs.STARTING:
            self._greet(frame, name)
        elif self._running is not None and frame.id == self._running.id:
            self._receive_for(self._running, frame, name)
        elif frame.kind == protocol.ERROR and not frame.id:
            self._break(*_error_texts(frame.fields))
        elif frame.kind == protocol.EVENT and not frame.id and name != protocol.HEARTBEAT:
            self._news.append(jobs.BackendNews(name, frame.fields))

    def _receive_for(self, job: Job, frame: Frame, name: str) -> None:
        if frame.kind == protocol.EVENT and name == protocol.PROGRESS:
            job.progress = frame.fields
            self._news.append(jobs.JobProgress(job, frame.fields))
        elif frame.kind == protocol.EVENT:
            self._news.append(jobs.JobPreview(job, name, frame.fields, frame.arrays))
        elif job.cancel_requested and frame.kind in (protocol.RESULT, protocol.ERROR):
            self._end(job, jobs.CANCELLED)
            self._news.append(jobs.JobCancelled(job))
        elif frame.kind == protocol.ERROR:
            self._fail_running(Failure(*_error_texts(frame.fields), log_tail=self.log_tail()))
        elif frame.kind == protocol.RESULT and job.kept and not job.unsaved and self.journal is not None:
            self._saving = self.journal.result_writer(job.id, frame.fields, frame.arrays), frame
        elif frame.kind == protocol.RESULT:
            self._finish(job, frame)

    def _greet(self, frame: Frame, name: str) -> None:
        if frame.kind == protocol.ERROR:
            self._break(*_error_texts(frame.fields))
            return
        if frame.kind != protocol.EVENT or name != protocol.HELLO:
            self._break(
                protocol.CODE_PROTOCOL, f"The backend began with {frame.kind} {name!r:.50}, not hello."
            )
            return
        theirs = frame.fields.get("protocol")
        if theirs != protocol.PROTOCOL_VERSION:
            message = f"The backend speaks protocol {theirs!r:.20}, this add-on {protocol.PROTOCOL_VERSION}."
            remedy = "Install the same version of this extension where the backend runs."
            self._break(protocol.CODE_VERSION, message, remedy)
            return
        self.hello = Hello(
            str(frame.fields.get("backend_version", "")),
            str(frame.fields.get("device", "")),
            list(frame.fields.get("bundles") or []),
            frame.fields,
        )
        self.state = jobs.READY
        self._news.append(jobs.BackendReady(self.hello))
        if self._settings:
            self.configure(self._settings)

    def _save(self, deadline: float) -> None:
        assert self._saving is not None and self._running is not None
        writer, frame = self._saving
        try:
            while not writer.step():
                if self._clock() >= deadline:
                    return
        except JournalError as problem:
            self._unsaved(self._running, problem)
        self._saving, self._heard = None, self._clock()
        self._finish(self._running, frame)

    def _finish_saving(self) -> None:
        while self._saving is not None:
            self._save(self._clock())

    def _finish(self, job: Job, frame: Frame) -> None:
        # The writer itself notes `done` in the journal, together with the result.
        job.state, self._running, self._cancel_until = jobs.DONE, None, None
        self._news.append(jobs.JobFinished(job, frame.fields, frame.arrays))

    def _send_next(self) -> None:
        if self.state != jobs.READY or self._running is not None:
            return
        job = next((job for job in self.jobs if job.state == jobs.QUEUED), None)
        if job is None:
            return
        job.state, self._running = jobs.RUNNING, job
        self._note(job, jobs.RUNNING)
        self._send(protocol.request(job.id, job.name, job.params, job.arrays))
        self._news.append(jobs.JobStarted(job))

    def _send(self, frame: Frame) -> None:
        if self._process is not None and not self._deaf:
            self._process.send(protocol.encode_frame(frame))
            try:
                self._process.flush()
            except PipeClosedError:
                self._deaf = True

    def _check_limits(self) -> None:
        now = self._clock()
        if self._process is None:
            return
        if self.state == jobs.STARTING and now - self._started > self.limits.start_s:
            message = f"The backend said nothing for {self.limits.start_s:g} s after its start."
            self._break("start_limit", message, "Check the backend command and the log, then try again.")
        elif self._cancel_until is not None and now > self._cancel_until:
            self._kill_for_cancel()
        elif self.state == jobs.READY and now - self._heard > self.limits.silence_s:
            message = f"The backend has shown no sign of life for {self.limits.silence_s:g} s."
            self._break("hang", message)

    def _kill_for_cancel(self) -> None:
        self._drop_process()
        job = self._running
        if job is not None:
            self._end(job, jobs.CANCELLED)
            self._news.append(jobs.JobCancelled(job, killed=True))
        if any(job.state == jobs.QUEUED for job in self.jobs):
            self.start()

    def _died(self) -> None:
        assert self._process is not None
        code, greeted = self._process.exit_code(patience_s=0.003), self.state == jobs.READY
        inside = self._reader.inside_frame
        message, remedy = explain_end(
            self.command, code, self.log_tail(), greeted=greeted, inside_frame=inside
        )
        self._break("died", message, remedy)

    def _break(self, code: str, message: str, remedy: str = AGAIN) -> None:
        self._drop_process()
        self.failure = Failure(code, message, remedy, self.log_tail())
        self.state = jobs.BROKEN
        self._fail_running(self.failure)
        self._news.append(jobs.BackendFailed(self.failure))

    def _fail_running(self, failure: Failure) -> None:
        job = self._running
        if job is None:
            return
        if job.cancel_requested:
            self._end(job, jobs.CANCELLED)
            self._news.append(jobs.JobCancelled(job))
            return
        job.failure = failure
        self._end(job, jobs.FAILED)
        self._news.append(jobs.JobFailed(job, failure))

    def _end(self, job: Job, state: str) -> None:
        job.state = state
        if job is self._running:
            self._running, self._cancel_until = None, None
        self._note(job, state)

    def _note(self, job: Job, state: str) -> None:
        if self.journal is None or not job.kept or job.unsaved:
            return
        failure = job.failure
        error = (
            {"code": failure.code, "message": failure.message, "remedy": failure.remedy} if failure else {}
        )
        try:
            self.journal.set_state(job.id, state, error)
        except JournalError as problem:
            self._unsaved(job, problem)

    def _unsaved(self, job: Job, problem: JournalError) -> None:
        job.unsaved = f"{problem.message} {problem.remedy}"
        log.warning("job %s is not in the journal: %s", job.id, problem.message)

    def _drop_process(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._dying.append(self._process)
        self._process, self.state, self._cancel_until = None, jobs.STOPPED, None


def _error_texts(fields: Fields) -> tuple[str, str, str]:
    code, message, remedy = (str(fields.get(key, "")) for key in ("code", "message", "remedy"))
    return code or protocol.CODE_INTERNAL, message or "The backend gave no reason.", remedy
