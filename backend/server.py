"""The backend's side of the pipe: frames in, one job after another, frames out.

The main thread runs the handlers (torch likes the main thread best), a reader thread notices requests,
cancels and the end of input at any moment, and a third one sends heartbeats. The end of input, or the
death of the parent, ends the process at once, also in the middle of a job.
"""

import contextlib
import logging
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from backend.errors import IssError, MemoryShortError
from backend.handlers_request import HandlerTable, Reply, Request, Update
from iss_blender import protocol
from iss_blender.protocol import Fields, Frame, FrameReader, ProtocolError

log = logging.getLogger(__name__)

HEARTBEAT_S = 1.0
PROGRESS_S = 0.05
"""Progress events of one phase are sent no more often, so that the add-on's polls keep up."""
LONGEST_QUEUE = 256
GRACE_S = 0.2
"""From the end of input to a hard exit, for a job that does not reach its next yield."""


def serve(
    table: HandlerTable, input_fd: int, output_fd: int, *, exit_hard: Callable[[int], object] = os._exit
) -> int:
    """Serve requests until the input ends; returns the exit code.

    exit_hard: called where a running job keeps the process from ending in time.
    """
    return _Server(table, input_fd, output_fd, exit_hard).run()


@dataclass
class _Job:
    request: Request
    cancelled: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)
    """The best until now is wanted; the handler asks for it through `Request.stop`."""


class _Server:
    def __init__(
        self, table: HandlerTable, input_fd: int, output_fd: int, exit_hard: Callable[[int], object]
    ) -> None:
        self._table = table
        self._input_fd, self._output_fd, self._exit_hard = input_fd, output_fd, exit_hard
        self._write_lock = threading.Lock()
        self._changed = threading.Condition()
        self._queue: deque[_Job] = deque()
        self._active: _Job | None = None
        self._ended = False
        self._finished = threading.Event()
        self._exit_code = 0
        self._idle_unload_s = 0.0
        self._loaded = False

    def run(self) -> int:
        self._send(protocol.event("", protocol.HELLO, self._hello()))
        for work in (self._read, self._beat):
            threading.Thread(target=work, name=work.__name__, daemon=True).start()
        try:
            self._warm_up()
            while (job := self._next_job()) is not None:
                self._run_job(job)
                with self._changed:
                    self._active = None
        finally:
            self._finished.set()
        return self._exit_code

    def _hello(self) -> Fields:
        return {"protocol": protocol.PROTOCOL_VERSION, "pid": os.getpid(), **self._table.hello()}

    def _warm_up(self) -> None:
        """Load what is slow before the first job, which can be cancelled meanwhile as it only waits."""
        try:
            news = self._table.warm_up()
        except Exception as problem:  # every job will meet the same problem and report it
            log.exception("the backend could not warm up")
            news = describe_problem(problem)
        if news:
            self._send(protocol.event("", "device", news))

    def _next_job(self) -> _Job | None:
        """Wait for a job; None at the end of input. Unloads models after the idle time."""
        idle_since = time.monotonic()
        while True:
            with self._changed:
                if self._ended:
                    return None
                if self._queue:
                    self._active = self._queue.popleft()
                    return self._active
                wait_s = None
                if self._loaded and self._idle_unload_s:
                    wait_s = idle_since + self._idle_unload_s - time.monotonic()
                if wait_s is None or wait_s > 0:
                    self._changed.wait(wait_s)
                    continue
            self._loaded = False
            self._send(protocol.event("", "unloaded", self._table.free_memory()))

    def _run_job(self, job: _Job) -> None:
        job_id = job.request.id
        try:
            reply = self._drive(job)
            if reply is not None:
                self._send(Frame(protocol.RESULT, job_id, reply.fields, reply.arrays))
                return
            self._send(protocol.error(job_id, protocol.CODE_CANCELLED, "The job was cancelled."))
        except Exception as problem:
            # The one catch-all of this process: whatever a handler raises ends its job, not the backend.
            log.exception("job %s (%s) failed", job_id, job.request.name)
            fields = describe_problem(problem)
            if fields["code"] == protocol.CODE_MEMORY:
                self._table.free_memory()
            self._send(Frame(protocol.ERROR, job_id, fields))

    def _drive(self, job: _Job) -> Reply | None:
        """Run a handler to its end; None when it was cancelled between two of its yields."""
        handler = self._table.handlers[job.request.name]
        self._send(protocol.event(job.request.id, protocol.STARTED, {}))
        self._loaded = True
        steps = handler(job.request)
        last_phase, last_sent = "", -PROGRESS_S
        with contextlib.closing(steps):
            while not (job.cancelled.is_set() or self._ended):
                try:
                    update = next(steps)
                except StopIteration as end:
                    reply: Reply = end.value
                    return None if job.cancelled.is_set() else reply
                if update.name == protocol.PROGRESS:
                    now, phase = time.monotonic(), str(update.fields.get("phase"))
                    if phase == last_phase and now - last_sent < PROGRESS_S:
                        continue
                    last_phase, last_sent = phase, now
                self._send_update(job, update)
        return None

    def _send_update(self, job: _Job, update: Update) -> None:
        self._send(protocol.event(job.request.id, update.name, update.fields, update.arrays))

    def _send(self, frame: Frame) -> None:
        data = memoryview(protocol.encode_frame(frame))
        with self._write_lock:
            self._write(data)

    def _write(self, data: memoryview) -> None:
        try:
            while data:
                data = data[os.write(self._output_fd, data) :]
        except OSError as problem:
            log.info("nobody reads any more: %s", problem)
            self._end(0)

    def _beat(self) -> None:
        while not self._finished.wait(HEARTBEAT_S):
            active = self._active
            frame = protocol.event("", protocol.HEARTBEAT, {"job": active.request.id if active else ""})
            # While another frame is being written, that frame is the sign of life.
            if self._write_lock.acquire(blocking=False):
                try:
                    self._write(memoryview(protocol.encode_frame(frame)))
                finally:
                    self._write_lock.release()

    def _read(self) -> None:
        reader, exit_code = FrameReader(), 0
        try:
            while data := self._read_some():
                reader.feed(data)
                while (frame := reader.take()) is not None:
                    self._receive(frame)
            reader.finish()
        except ProtocolError as problem:
            log.error("the input is damaged: %s", problem.message)
            self._send(protocol.error("", problem.code, problem.message, problem.remedy))
            exit_code = 1
        self._end(exit_code)
        if not self._finished.wait(GRACE_S):
            log.info("the input ended while work was going on; the backend ends at once")
            self._exit_hard(exit_code)

    def _read_some(self) -> bytes:
        """Bytes as they come; b"" at the end of input or when the parent is gone."""
        parent = _parent_pid()
        try:
            # Windows cannot select on pipes; there the end of the parent closes the pipe reliably.
            while sys.platform != "win32" and not select.select([self._input_fd], [], [], HEARTBEAT_S)[0]:
                if _parent_pid() != parent or self._finished.is_set():
                    return b""
            return os.read(self._input_fd, 1 << 18)
        except OSError as problem:
            log.info("the input cannot be read any more: %s", problem)
            return b""

    def _receive(self, frame: Frame) -> None:
        """Runs in the reader thread, so that cancels and settings count while a handler works."""
        if frame.kind == protocol.CANCEL:
            self._cancel(frame.id)
            return
        if frame.kind == protocol.STOP:
            self._stop(frame.id)
            return
        if frame.kind != protocol.REQUEST:
            raise ProtocolError(f"The backend takes requests, cancels and stops, not {frame.kind} frames.")
        name, params = frame.fields.get("name"), frame.fields.get("params")
        if not isinstance(name, str) or not isinstance(params, dict):
            self._refuse(frame.id, protocol.CODE_PROTOCOL, "A request lacks its name or its parameters.")
        elif name == protocol.CONFIGURE:
            self._configure(frame.id, params)
        elif name not in self._table.handlers:
            self._refuse(frame.id, protocol.CODE_UNKNOWN, f"This backend has no {name!r:.80}.")
        else:
            stopped = threading.Event()
            request = Request(frame.id, name, params, frame.arrays, stop=stopped.is_set)
            self._enqueue(_Job(request, stopped=stopped))

    def _enqueue(self, job: _Job) -> None:
        with self._changed:
            known = [*self._queue, *([self._active] if self._active else [])]
            if len(known) < LONGEST_QUEUE and job.request.id not in {other.request.id for other in known}:
                self._queue.append(job)
                self._changed.notify_all()
                return
        problem = f"It is known already, or {LONGEST_QUEUE} jobs wait."
        self._refuse(job.request.id, protocol.CODE_BUSY, problem)

    def _cancel(self, job_id: str) -> None:
        with self._changed:
            if self._active is not None and self._active.request.id == job_id:
                self._active.cancelled.set()
                return
            waiting = next((job for job in self._queue if job.request.id == job_id), None)
            if waiting is None:
                return  # it ended while the cancel was on its way
            self._queue.remove(waiting)
        self._send(protocol.error(job_id, protocol.CODE_CANCELLED, "The job was cancelled before it began."))

    def _stop(self, job_id: str) -> None:
        with self._changed:
            if self._active is not None and self._active.request.id == job_id:
                self._active.stopped.set()

    def _configure(self, job_id: str, params: Fields) -> None:
        seconds = params.get("idle_unload_s", 0)
        if set(params) - {"idle_unload_s"} or not isinstance(seconds, int | float) or not 0 <= seconds <= 1e6:
            self._refuse(job_id, "setting", f"Settings {params!r:.200} are unknown.", "Give idle_unload_s.")
            return
        with self._changed:
            self._idle_unload_s = float(seconds)
            self._changed.notify_all()
        self._send(Frame(protocol.RESULT, job_id))

    def _refuse(
        self, job_id: str, code: str, message: str, remedy: str = "Update add-on and backend together."
    ) -> None:
        self._send(protocol.error(job_id, code, message, remedy))

    def _end(self, exit_code: int) -> None:
        with self._changed:
            self._ended, self._exit_code = True, max(self._exit_code, exit_code)
            self._changed.notify_all()


def describe_problem(problem: BaseException) -> Fields:
    """code, message and remedy of an exception, as an error frame carries them."""
    if isinstance(problem, IssError):
        return {"code": problem.code, "message": problem.message, "remedy": problem.remedy}
    if isinstance(problem, ProtocolError):
        return {"code": problem.code, "message": problem.message, "remedy": problem.remedy}
    text = str(problem).splitlines()[0] if str(problem) else ""
    if _is_memory_short(problem, text):
        return {
            "code": MemoryShortError.code,
            "message": "The memory does not suffice for this job.",
            "remedy": "Lower the mesh resolution or the quality, close other programs, or choose the CPU.",
        }
    if isinstance(problem, ImportError):
        return {
            "code": "environment",
            "message": f"The backend's environment is incomplete: {text}.",
            "remedy": "Press Set up to repair it.",
        }
    return {
        "code": protocol.CODE_INTERNAL,
        "message": f"Something unexpected went wrong ({type(problem).__name__}: {text:.300}).",
        "remedy": "Try again; if it happens again, report it together with the log.",
    }


def _is_memory_short(problem: BaseException, text: str) -> bool:
    # By name, as torch may not be loaded: torch.OutOfMemoryError, and a RuntimeError of its CPU allocator.
    return (
        isinstance(problem, MemoryError)
        or type(problem).__name__ == "OutOfMemoryError"
        or (isinstance(problem, RuntimeError) and ("allocate memory" in text or "out of memory" in text))
    )


def _parent_pid() -> int:
    return os.getppid()
