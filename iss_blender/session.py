"""One Blender session's jobs: the backend client, the journal, the set-up, and what the panel shows of them.

`tick` is called from Blender's timer: it polls, sorts what came into `scene_work`, and is bounded like the
polls themselves. Needs no bpy; addon_scene.py carries the scene work out.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import jobs, protocol
from .client import BackendClient, Limits
from .environment import EnvironmentSetup, SetupError
from .environment import Event as SetupEvent
from .job_requests import JobRequest, Place
from .job_timings import JobTimings
from .journal import Entry, Journal, JournalError, new_job_id
from .model_list import ModelList
from .progress import JobClock, phases_of
from .prompts import PromptHistory
from .protocol import Array, Fields, ProtocolError

log = logging.getLogger(__name__)

PREVIEW, RESULT, FAILED = "preview", "result", "failed"
"""Kinds of scene work."""
FREE_MEMORY, DOCTOR = "free_memory", "doctor"
MOST_ENDED = 30
"""Ended jobs that are remembered; the oldest are forgotten."""
BUSY_TICK_S, IDLE_TICK_S = 0.05, 0.3
KEPT_ENTRIES = 50


@dataclass(frozen=True)
class Trouble:
    """A problem as the panel shows it."""

    message: str
    remedy: str = ""
    code: str = ""
    log: str = ""
    """The last lines of the backend's log, where they tell more."""


@dataclass(frozen=True)
class SceneWork:
    """Something to be done in the scene. `arrays` are those of the frame."""

    kind: str
    job: jobs.Job
    fields: Fields
    arrays: dict[str, Array]


@dataclass
class Doctor:
    """A self-test under way or done; each check has name, passed, detail and remedy."""

    job_id: str = ""
    checks: list[Fields] = field(default_factory=list)
    done: bool = False


@dataclass(frozen=True)
class Backend:
    """How the backend is started; `problem` says why it cannot be."""

    command: tuple[str, ...] = ()
    cwd: Path | None = None
    env: Mapping[str, str] | None = None
    problem: Trouble | None = None


class Session:
    """Everything between the add-on's registration and its end."""

    def __init__(
        self, folder: Path, *, limits: Limits | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder = folder
        self.history = PromptHistory(folder / "prompts.json")
        self.backend = Backend()
        self.client: BackendClient | None = None
        self.journal: Journal | None = None
        self.file = new_job_id()
        """Token of the open .blend file."""
        self.trouble: Trouble | None = None
        self.device, self.devices = "", ["auto"]
        self.bundles: list[Fields] = []
        self.models = ModelList()
        self.scene_work: deque[SceneWork] = deque()
        self.placed: set[str] = set()
        """Jobs whose results are in the open file, which is not saved with them yet."""
        self.previewed: dict[str, dict[int, str]] = {}
        """Jobs of which a mesh was shown already, and what Solid views showed before."""
        self.waiting: list[Entry] = []
        """Results of earlier sessions that no saved file has."""
        self.interrupted: list[Entry] = []
        """Jobs that an earlier session did not finish."""
        self.clocks: dict[str, JobClock] = {}
        self.notices: dict[str, list[str]] = {}
        self.setup: EnvironmentSetup | None = None
        self.setup_event: SetupEvent | None = None
        self.setup_ended = False
        """Set once when a set-up ends, for the add-on to look at the environment again."""
        self.doctor = Doctor()
        self._limits, self._clock = limits, clock
        self._timings = JobTimings(folder / "timings.json")
        self._cold_job = ""
        """Id of the first job since the backend's start, which waits for the model to load."""
        self._settings: Fields = {}
        try:
            self.journal = Journal(folder / "journal")
            self.journal.prune(keep=KEPT_ENTRIES)
        except (JournalError, OSError) as problem:
            self.trouble = Trouble(f"Results cannot be kept on disk: {problem}", "Check the folder's rights.")
        self.look_for_lost()

    @property
    def log_path(self) -> Path:
        """The backend's log."""
        return self.folder / "backend.log"

    @property
    def state(self) -> str:
        """State of the backend, as in jobs.py."""
        return self.client.state if self.client else jobs.STOPPED

    @property
    def interval_s(self) -> float:
        """Seconds until the next tick."""
        busy = self.is_working or self.scene_work or (self.client is not None and self.client.busy)
        return BUSY_TICK_S if busy else IDLE_TICK_S

    @property
    def is_working(self) -> bool:
        """Whether the panel shows something that moves."""
        setting_up = self.setup is not None and self.setup.state == "running"
        return setting_up or (self.client is not None and self.client.running is not None)

    def listed_jobs(self) -> list[jobs.Job]:
        """The jobs that the panel lists: kept ones that run, wait or failed."""
        known = self.client.jobs if self.client else []
        return [job for job in known if job.kept and job.state not in (jobs.DONE, jobs.CANCELLED)]

    def use_backend(self, backend: Backend) -> None:
        """How to start the backend from now on; a running one of another command is ended."""
        same = backend.command == self.backend.command and backend.cwd == self.backend.cwd
        self.backend = backend
        if not same and self.client is not None:
            self.client.close()
            self.client = None
        if self.client is None and backend.command:
            self.client = BackendClient(
                backend.command,
                log_path=self.log_path,
                journal=self.journal,
                limits=self._limits,
                cwd=backend.cwd,
                env=backend.env,
                clock=self._clock,
            )
            self.client.configure(self._settings)

    def configure(self, settings: Fields) -> None:
        """Settings of the backend process, now and after every start."""
        if settings != self._settings:
            self._settings = dict(settings)
            if self.client is not None:
                self.client.configure(settings)

    def submit(self, request: JobRequest, *, kept: bool = True, job_id: str | None = None) -> jobs.Job | None:
        """Queue a request; None, with `trouble` saying why, where that is impossible."""
        if self.client is None:
            self.trouble = self.backend.problem or Trouble("The backend is not set up.", "Press Set up.")
            return None
        place = Place.from_params(request.params)
        params = {**request.params, "scene": {**place.to_fields(), "file": self.file}}
        try:
            job = self.client.submit(
                request.name, params, request.arrays, title=request.title, kept=kept, job_id=job_id
            )
        except ProtocolError as problem:
            self.trouble = Trouble(problem.message, problem.remedy, problem.code)
            return None
        if job.unsaved:
            self.trouble = Trouble(job.unsaved, "", "unsaved")
        elif kept:
            self.trouble = None
        return job

    def retry(self, job_id: str) -> jobs.Job | None:
        """Run a failed job again, as it was."""
        job = self.client.job(job_id) if self.client else None
        if job is None or not job.ended or self.client is None:
            return None
        self.client.forget(job_id)
        return self.submit(JobRequest(job.name, job.params, job.arrays, job.title), kept=job.kept)

    def dismiss(self, job_id: str) -> None:
        """Drop a failed job from the list."""
        if self.client is not None:
            self.client.forget(job_id)

    def cut_off(self) -> list[jobs.Job]:
        """Failed jobs of the list that only share the backend's own trouble."""
        told = self.trouble.message if self.trouble is not None else None
        return [job for job in self.listed_jobs() if job.failure is not None and job.failure.message == told]

    def dismiss_trouble(self) -> None:
        """Drop the trouble, and the failed jobs that it stands for."""
        for job in self.cut_off():
            self.dismiss(job.id)
        self.trouble = None

    def cancel(self, job_id: str) -> None:
        """Stop one job."""
        if self.client is not None:
            self.client.cancel(job_id)

    def stop_and_keep(self, job_id: str) -> None:
        """Let a running job end with the best that it has."""
        if self.client is not None:
            self.client.stop(job_id)

    def cancel_all(self) -> None:
        """Stop every job."""
        if self.client is not None:
            self.client.cancel_all()

    def restart(self) -> None:
        """Start the backend anew; waiting jobs go on."""
        self.trouble = None
        if self.client is not None:
            self.client.restart()

    def stop(self) -> None:
        """End the backend process; its memory is free then."""
        if self.client is not None:
            self.client.close()

    def free_memory(self) -> None:
        """Let the backend drop its models, after the job that runs."""
        if self.client is not None and self.client.state in (jobs.READY, jobs.STARTING):
            self.client.submit(FREE_MEMORY, {}, kept=False)

    def examine(self, own_checks: Sequence[Fields], params: Fields) -> None:
        """Start the self-test: the add-on's checks are there, the backend's follow."""
        self.doctor = Doctor(checks=list(own_checks))
        job = self.submit(JobRequest(DOCTOR, params, title="Doctor"), kept=False)
        if job is None:
            self._end_doctor(self.trouble)
        else:
            self.doctor.job_id = job.id

    def start_setup(self, setup: EnvironmentSetup) -> None:
        """Begin or continue making the backend's environment. Takes up to a second."""
        self.setup, self.setup_event, self.trouble = setup, None, None
        try:
            setup.start()
        except SetupError as problem:
            self.trouble = Trouble(problem.message, problem.remedy, "setup")

    def cancel_setup(self) -> None:
        """Stop the set-up; finished steps stay."""
        if self.setup is not None and self.setup.state == "running":
            self.setup.cancel()
            self.setup_ended = True

    def tick(self, budget_s: float = 0.003) -> bool:
        """Poll once; True when the panel should be drawn again."""
        changed = self._poll_setup()
        for event in self.client.poll(budget_s) if self.client else ():
            # Progress alone is drawn at a leisurely pace.
            changed = changed or not isinstance(event, jobs.JobProgress)
            self._take(event)
        return changed

    def file_loaded(self) -> None:
        """Another .blend file is open: results that belong to the last one wait for being asked for."""
        self.file = new_job_id()
        self.placed.clear()
        self.scene_work.clear()
        self.look_for_lost()

    def file_saved(self) -> None:
        """The open file was saved: the results in it are safe, and offered no more."""
        for job_id in sorted(self.placed):
            try:
                if self.journal is not None:
                    self.journal.mark_imported(job_id)
            except JournalError as problem:
                log.warning("%s is offered again although it was saved: %s", job_id, problem.message)
        self.placed.clear()

    def look_for_lost(self) -> None:
        """Read from the journal what earlier sessions or files left."""
        self.waiting, self.interrupted = [], []
        if self.journal is None:
            return
        try:
            self.waiting = [e for e in self.journal.unimported() if e.id not in self.placed]
            self.interrupted = self.journal.unfinished()
        except OSError as problem:
            log.warning("the journal cannot be read: %s", problem)

    def recover(self, entry: Entry) -> None:
        """Queue a waiting result for import into the open file."""
        assert self.journal is not None
        self.waiting = [other for other in self.waiting if other.id != entry.id]
        try:
            fields, arrays = self.journal.load_result(entry.id)
            _, _, request_arrays = self.journal.load_request(entry.id)
        except JournalError as problem:
            self.trouble = Trouble(problem.message, problem.remedy, problem.code)
            return
        job = jobs.Job(entry.id, entry.name, dict(entry.params), request_arrays, title=entry.title)
        job.state = jobs.DONE
        job.params["scene"] = {**Place.from_params(job.params).to_fields(), "file": self.file}
        self.scene_work.append(SceneWork(RESULT, job, fields, arrays))

    def rerun(self, entry: Entry) -> None:
        """Run a job again that an earlier session did not finish."""
        assert self.journal is not None
        self.interrupted = [other for other in self.interrupted if other.id != entry.id]
        try:
            name, params, arrays = self.journal.load_request(entry.id)
        except JournalError as problem:
            self.trouble = Trouble(problem.message, problem.remedy, problem.code)
            return
        self.submit(JobRequest(name, params, arrays, entry.title), job_id=entry.id)

    def discard(self, entry: Entry) -> None:
        """Remove a waiting result or an interrupted job for good."""
        if self.journal is not None:
            self.journal.discard(entry.id)
        self.waiting = [other for other in self.waiting if other.id != entry.id]
        self.interrupted = [other for other in self.interrupted if other.id != entry.id]

    def close(self) -> None:
        """End everything that was started."""
        self.cancel_setup()
        if self.client is not None:
            self.client.close()
        if self.journal is not None:
            self.journal.close()

    def _poll_setup(self) -> bool:
        setup = self.setup
        if setup is None or setup.state != "running":
            return False
        events = setup.poll()
        if events:
            self.setup_event = events[-1]
        if setup.state != "running":
            self.setup_ended = True
            if setup.error is not None:
                self.trouble = Trouble(setup.error.message, setup.error.remedy, "setup")
        return bool(events) or self.setup_ended

    def _take(self, event: jobs.ClientEvent) -> None:
        self.bundles = self.models.take(event) or self.bundles
        if isinstance(event, jobs.BackendReady):
            self.device, self.bundles = event.hello.device, event.hello.bundles
            self._cold_job = ""
        elif isinstance(event, jobs.BackendNews):
            self._take_news(event)
        elif isinstance(event, jobs.BackendFailed):
            failure = event.failure
            self.trouble = Trouble(failure.message, failure.remedy, failure.code, failure.log_tail)
            if self.doctor.job_id:
                self._end_doctor(self.trouble)
        elif isinstance(event, jobs.JobStarted):
            self._start_clock(event.job)
        elif isinstance(event, jobs.JobProgress):
            if event.job.id in self.clocks:
                self.clocks[event.job.id].update(event.fields)
        elif isinstance(event, jobs.JobPreview):
            self._take_preview(event)
        elif isinstance(event, jobs.JobFinished):
            self._take_result(event)
        elif isinstance(event, jobs.JobFailed):
            self._end_job(event.job)
            if event.job.name == DOCTOR:
                self._end_doctor(Trouble(event.failure.message, event.failure.remedy))
            elif not event.job.kept:
                self.trouble = Trouble(event.failure.message, event.failure.remedy, event.failure.code)
        elif isinstance(event, jobs.JobCancelled):
            self._end_job(event.job)
            self._forget_oldest()

    def _take_news(self, news: jobs.BackendNews) -> None:
        if news.name == "device" and "device" in news.fields:
            self.device = str(news.fields["device"])
            self.devices = [str(name) for name in news.fields.get("devices") or ["auto"]]
        elif news.name == "device":  # the backend cannot load what it needs
            texts = (str(news.fields.get(key, "")) for key in ("message", "remedy", "code"))
            self.trouble = Trouble(*texts)

    def _take_preview(self, event: jobs.JobPreview) -> None:
        if event.name == protocol.PREVIEW and event.arrays:
            self._drop_previews(event.job.id)
            if Place.from_params(event.job.params).file == self.file:
                self.scene_work.append(SceneWork(PREVIEW, event.job, event.fields, event.arrays))
        elif event.name == "notice":
            self.notices.setdefault(event.job.id, []).append(str(event.fields.get("message", "")))
        elif event.name == "check":
            self.doctor.checks.append(dict(event.fields.get("check") or {}))

    def _take_result(self, event: jobs.JobFinished) -> None:
        job = event.job
        if job.name == DOCTOR:
            self._end_doctor(None)
        clock = self.clocks.pop(job.id, None)
        if clock is not None and job.kept and not job.stop_requested:
            device = str(job.params.get("recipe", {}).get("device", ""))
            self._timings.note(job.name, job.params, device, clock, cold=job.id == self._cold_job)
        self._drop_previews(job.id)
        if event.arrays:
            if Place.from_params(job.params).file == self.file:
                self.scene_work.append(SceneWork(RESULT, job, event.fields, event.arrays))
            else:
                self._offer(job.id)
        self._forget_oldest()

    def _start_clock(self, job: jobs.Job) -> None:
        hello = self.client.hello if self.client else None
        if job.kept and not self._cold_job:
            self._cold_job = job.id
        device = str(job.params.get("recipe", {}).get("device", ""))
        expected = self._timings.expected(
            job.name,
            job.params,
            device,
            cold=job.id == self._cold_job,
            presets=hello.fields.get("counts") if hello else None,
        )
        self.clocks[job.id] = JobClock(expected, self._clock, phases_of(job.name, job.params))

    def _offer(self, job_id: str) -> None:
        """A result came for a closed file. Reading the whole journal again would be too long for a tick."""
        entry = self.journal.entry(job_id) if self.journal is not None else None
        if entry is not None and entry.has_result:
            self.waiting.append(entry)

    def _end_job(self, job: jobs.Job) -> None:
        self.clocks.pop(job.id, None)
        self._drop_previews(job.id)
        if Place.from_params(job.params).file == self.file:
            self.scene_work.append(SceneWork(FAILED, job, {}, {}))

    def _end_doctor(self, trouble: Trouble | None) -> None:
        if trouble is not None:
            check = {"name": "backend", "passed": False, "detail": trouble.message, "remedy": trouble.remedy}
            self.doctor.checks.append(check)
        self.doctor.job_id, self.doctor.done = "", True

    def _drop_previews(self, job_id: str) -> None:
        outdated = [w for w in self.scene_work if w.kind == PREVIEW and w.job.id == job_id]
        for work in outdated:
            self.scene_work.remove(work)

    def _forget_oldest(self) -> None:
        assert self.client is not None
        ended = [job.id for job in self.client.jobs if job.ended]
        for job_id in ended[: max(0, len(ended) - MOST_ENDED)]:
            self.client.forget(job_id)
            self.notices.pop(job_id, None)


_current: Session | None = None


def current() -> Session | None:
    """The session of this Blender, None where the add-on is not registered."""
    return _current


def begin(session: Session) -> Session:
    """Make it the session of this Blender; an earlier one is closed."""
    global _current
    end()
    _current = session
    return session


def end() -> None:
    """Close the session of this Blender."""
    global _current
    if _current is not None:
        _current.close()
    _current = None
