"""Jobs as the add-on sees them, and the typed events that `client.poll` returns."""

from dataclasses import dataclass, field

from .protocol import Array, Fields

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
"""States of a job."""

STOPPED, STARTING, READY, BROKEN = "stopped", "starting", "ready", "broken"
"""States of the backend as the client sees it."""


@dataclass(frozen=True)
class Failure:
    """What went wrong, as a sentence with a way out. `log_tail` holds the backend's last log lines."""

    code: str
    message: str
    remedy: str = ""
    log_tail: str = ""


@dataclass(frozen=True)
class Hello:
    """What a backend says of itself before any job."""

    backend_version: str
    device: str
    """A cheap guess; the backend's news named "device" brings the real one once torch is loaded."""
    bundles: list[Fields]
    fields: Fields
    """The whole greeting."""


TUNING_PHASES = ("propose", "guide", "stylize")
"""Phases of a job that go from one iterate to the next and keep the best."""


@dataclass
class Job:
    """One request and how far it has come. Only the client changes it."""

    id: str
    name: str
    """Handler name: generate, refine, blend, remesh, models, doctor, free_memory."""
    params: Fields
    arrays: dict[str, Array]
    title: str = ""
    kept: bool = True
    """In the journal and in the panel's list; False for control requests."""
    state: str = QUEUED
    cancel_requested: bool = False
    stop_requested: bool = False
    """The best until now is wanted."""
    progress: Fields = field(default_factory=dict)
    """Fields of the last progress event."""
    failure: Failure | None = None
    unsaved: str = ""
    """Why the journal holds no copy, "" when it does."""

    @property
    def can_stop(self) -> bool:
        """Whether a stop now would keep something: a best shape is known, and more iterations come."""
        return self.state == RUNNING and self.progress.get("phase") in TUNING_PHASES

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in (DONE, FAILED, CANCELLED)


@dataclass(frozen=True)
class BackendReady:
    """The hello came and fits."""

    hello: Hello


@dataclass(frozen=True)
class BackendNews:
    """The backend tells something that belongs to no job, such as its device."""

    name: str
    fields: Fields


@dataclass(frozen=True)
class BackendFailed:
    """The backend did not start, died, hung or spoke nonsense. Queued jobs wait for a restart."""

    failure: Failure


@dataclass(frozen=True)
class JobStarted:
    """The job was sent."""

    job: Job


@dataclass(frozen=True)
class JobProgress:
    """The job's progress fields changed."""

    job: Job
    fields: Fields


@dataclass(frozen=True)
class JobPreview:
    """An event with arrays (a mesh on the way, an iterate), or any other named event of a job."""

    job: Job
    name: str
    fields: Fields
    arrays: dict[str, Array]


@dataclass(frozen=True)
class JobFinished:
    """The result, already in the journal where there is one."""

    job: Job
    fields: Fields
    arrays: dict[str, Array]


@dataclass(frozen=True)
class JobFailed:
    """The job ended without a result."""

    job: Job
    failure: Failure


@dataclass(frozen=True)
class JobCancelled:
    """The job was stopped by the user; `killed` when the backend had to be killed for it."""

    job: Job
    killed: bool = False


ClientEvent = (
    BackendReady
    | BackendNews
    | BackendFailed
    | JobStarted
    | JobProgress
    | JobPreview
    | JobFinished
    | JobFailed
    | JobCancelled
)
