"""Drives one or more backends through a batch's items from a plain loop; no bpy.

Each backend has one job at a time. A job that fails is noted and the rest goes on; a backend that dies is
started again, and the item it died of gets a second chance.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from . import jobs
from .batch import DONE, FAILED, WAITING, Outcome
from .client import BackendClient
from .progress import JobClock, phases_of
from .protocol import Array, Fields, ProtocolError

PAUSE_S = 0.02
MOST_ATTEMPTS = 2
MOST_STARTS = 2
"""Starts in a row that may fail before a backend is given up."""
_BACKEND_FAULTS = ("died", "hang", "restarted", "start", "start_limit", "protocol")
"""Codes of failures that say nothing about the item."""

Deliver = Callable[[Outcome, Fields, dict[str, Array]], None]
"""Writes a result and fills in the outcome's record; an OSError or DeliveryError fails the item alone."""


class DeliveryError(Exception):
    """A result that cannot be written."""

    def __init__(self, code: str, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.remedy = code, message, remedy


class BatchRunner:
    """Runs the outcomes that wait. `tell` is called whenever something has changed, `wait` between polls."""

    def __init__(
        self,
        clients: Sequence[BackendClient],
        outcomes: Sequence[Outcome],
        deliver: Deliver,
        *,
        tell: Callable[["BatchRunner"], None] = lambda runner: None,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.outcomes = list(outcomes)
        self.workers = [_Worker(client) for client in clients]
        self.device = ""
        self._deliver, self._tell, self._wait = deliver, tell, wait
        self._queue = deque(outcome for outcome in self.outcomes if outcome.state == WAITING)

    @property
    def running(self) -> list[tuple[Outcome, JobClock]]:
        """Items under way, with their clocks."""
        return [(w.outcome, w.clock) for w in self.workers if w.outcome is not None]

    def run(self) -> None:
        """Work until every item is done or failed."""
        while self._queue or self.running:
            moved = False
            for worker in self.workers:
                for event in worker.client.poll():
                    moved = True
                    self._take(worker, event)
                if worker.outcome is None and not worker.given_up and self._queue:
                    self._begin(worker, self._queue.popleft())
                    moved = True
            if all(worker.given_up for worker in self.workers):
                self._fail_rest()
            if moved:
                self._tell(self)
            else:
                self._wait(PAUSE_S)

    def _begin(self, worker: "_Worker", outcome: Outcome) -> None:
        outcome.attempts += 1
        item = outcome.item
        try:
            arrays = {}
            if item.image:
                arrays["image_file"] = np.frombuffer(Path(item.image).read_bytes(), np.uint8)
            worker.outcome = outcome
            worker.clock = JobClock(phases=phases_of("generate", item.params))
            job = worker.client.submit("generate", item.params, arrays, title=item.title)
            worker.job_id = job.id
        except OSError as problem:
            message = f"{item.image} cannot be read: {problem.strerror}."
            self._fail(outcome, "image", message, "Check the path.")
            worker.outcome = None
        except ProtocolError as problem:
            self._fail(outcome, problem.code, problem.message, problem.remedy)
            worker.outcome = None

    def _take(self, worker: "_Worker", event: jobs.ClientEvent) -> None:
        if isinstance(event, jobs.BackendReady):
            worker.failed_starts = 0
            self.device = event.hello.device
        elif isinstance(event, jobs.BackendNews):
            self.device = str(event.fields.get("device", self.device))
        elif isinstance(event, jobs.BackendFailed):
            self._restart(worker, event.failure)
        elif worker.outcome is None or getattr(event, "job", None) is None or event.job.id != worker.job_id:
            return
        elif isinstance(event, jobs.JobProgress):
            worker.clock.update(event.fields)
        elif isinstance(event, jobs.JobFinished):
            self._finish(worker, event)
        elif isinstance(event, jobs.JobFailed):
            self._end_failed(worker, event.failure)

    def _finish(self, worker: "_Worker", event: jobs.JobFinished) -> None:
        outcome = worker.outcome
        assert outcome is not None
        worker.outcome = None
        worker.client.forget(event.job.id)
        outcome.record["total_s"] = round(worker.clock.elapsed_s, 3)
        outcome.record["device"] = self.device
        try:
            self._deliver(outcome, event.fields, event.arrays)
        except DeliveryError as problem:
            self._fail(outcome, problem.code, problem.message, problem.remedy)
        except OSError as problem:
            self._fail(outcome, "output", f"The result cannot be written: {problem}.", "Free disk space.")
        else:
            outcome.state, outcome.error = DONE, {}

    def _end_failed(self, worker: "_Worker", failure: jobs.Failure) -> None:
        outcome = worker.outcome
        assert outcome is not None
        worker.outcome = None
        worker.client.forget(worker.job_id)
        if failure.code in _BACKEND_FAULTS and outcome.attempts < MOST_ATTEMPTS:
            self._queue.appendleft(outcome)
        else:
            self._fail(outcome, failure.code, failure.message, failure.remedy)

    def _restart(self, worker: "_Worker", failure: jobs.Failure) -> None:
        """Start a backend again, which then takes the job that waits in its client; or give it up."""
        worker.failure = failure
        worker.failed_starts += 1
        if worker.failed_starts <= MOST_STARTS:
            worker.client.restart()
            return
        worker.given_up = True
        if worker.outcome is not None:
            worker.client.cancel(worker.job_id)
            self._queue.appendleft(worker.outcome)
            worker.outcome = None

    def _fail_rest(self) -> None:
        failure = self.workers[0].failure or jobs.Failure("start", "There is no backend.")
        while self._queue:
            outcome = self._queue.popleft()
            self._fail(outcome, failure.code, failure.message, failure.remedy)

    def _fail(self, outcome: Outcome, code: str, message: str, remedy: str) -> None:
        outcome.state = FAILED
        outcome.error = {"code": code, "message": message, "remedy": remedy}
        self._tell(self)


class _Worker:
    """A backend and the item it works on."""

    def __init__(self, client: BackendClient) -> None:
        self.client = client
        self.outcome: Outcome | None = None
        self.job_id = ""
        self.clock = JobClock()
        self.failed_starts = 0
        self.failure: jobs.Failure | None = None
        self.given_up = False
