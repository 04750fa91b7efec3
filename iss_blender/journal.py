"""The job journal on disk: no finished result is lost by a crash of the backend or of Blender.

One folder per job: request.json (+ request.npz) written before the request is sent, result.npz and then
result.json when it is done, state.json all along. Files appear by rename, so a reader sees a whole file
or none; result.json is the mark that the arrays before it are complete. Nothing is ever unpickled.
"""

import contextlib
import json
import logging
import os
import secrets
import shutil
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from .protocol import Array, Fields, check_id

log = logging.getLogger(__name__)

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
IMPORTED, INTERRUPTED = "imported", "interrupted"
"""Journal states. Imported: the result is in a scene. Interrupted: its session died before the end."""

STEP_BYTES = 1 << 18
"""Bytes of a result written per step; well under a millisecond."""


class JournalError(Exception):
    """A journal entry that is missing or damaged, or a folder that cannot be written."""

    code = "journal"

    def __init__(self, message: str, *, remedy: str = "Discard the entry or choose another folder.") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


@dataclass(frozen=True)
class Entry:
    """One job as the journal knows it."""

    id: str
    name: str
    title: str
    params: Fields
    created: float
    """Seconds since the epoch."""
    state: str
    error: Fields
    """code, message and remedy of a failed job, else empty."""
    has_result: bool
    elsewhere: bool = False
    """It belongs to another Blender that is open now."""


def new_job_id() -> str:
    """A fresh id that sorts by time: date, time, six random hex digits."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"


class Journal:
    """The jobs of one folder, shared by any number of Blenders; each holds a lock file while it lives."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.session = secrets.token_hex(6)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _open_locked(folder / f"{self.session}.lock")
        except OSError as problem:
            raise JournalError(f"The journal folder {folder} cannot be written: {problem}.") from problem

    def close(self) -> None:
        """Give the session's lock back; jobs still running count as interrupted from now on."""
        self._lock.close()
        with contextlib.suppress(OSError):
            (self.folder / f"{self.session}.lock").unlink()

    def record_request(
        self, job_id: str, name: str, params: Fields, arrays: Mapping[str, Array], *, title: str = ""
    ) -> None:
        """Write a request before it is sent; JournalError when the disk refuses."""
        place = self._place(job_id)
        try:
            place.mkdir(exist_ok=True)
            if arrays:
                for _ in _array_steps(place / "request.npz", arrays):
                    pass
            content = {"name": name, "params": params, "title": title, "created": time.time()}
            write_json(place / "request.json", content)
        except OSError as problem:
            raise JournalError(f"Job {job_id} cannot be written to {place}: {problem}.") from problem
        self.set_state(job_id, QUEUED)

    def set_state(self, job_id: str, state: str, error: Fields | None = None) -> None:
        """Write a job's state; JournalError when the disk refuses."""
        place = self._place(job_id)
        try:
            write_json(place / "state.json", {"state": state, "session": self.session, "error": error or {}})
        except OSError as problem:
            raise JournalError(f"The state of job {job_id} cannot be written: {problem}.") from problem

    def result_writer(self, job_id: str, fields: Fields, arrays: Mapping[str, Array]) -> "ResultWriter":
        """A writer that stores a result in steps of bounded size."""
        return ResultWriter(self, self._place(job_id), fields, arrays)

    def mark_imported(self, job_id: str) -> None:
        """The result is in a scene and is offered no more."""
        self.set_state(job_id, IMPORTED)

    def entries(self) -> list[Entry]:
        """All readable entries, oldest first. Jobs of a session that died are `interrupted`."""
        found, alive = [], {self.session: True}
        for place in sorted(p for p in self.folder.iterdir() if p.is_dir()):
            try:
                found.append(self._entry(place, alive))
            except (OSError, ValueError, KeyError, TypeError) as problem:
                log.warning("journal entry %s is unreadable: %s", place.name, problem)
        return sorted(found, key=lambda entry: (entry.created, entry.id))

    def entry(self, job_id: str) -> Entry | None:
        """One job; None where it is missing or unreadable."""
        try:
            return self._entry(self._place(job_id), {self.session: True})
        except (OSError, ValueError, KeyError, TypeError) as problem:
            log.warning("journal entry %s is unreadable: %s", job_id, problem)
            return None

    def unfinished(self) -> list[Entry]:
        """Jobs without a result whose session died; the panel offers to run them again."""
        return [entry for entry in self.entries() if entry.state == INTERRUPTED]

    def unimported(self) -> list[Entry]:
        """Finished results that no scene has taken yet, those of other open Blenders aside."""
        entries = self.entries()
        return [e for e in entries if e.state == DONE and e.has_result and not e.elsewhere]

    def load_request(self, job_id: str) -> tuple[str, Fields, dict[str, Array]]:
        """Handler name, parameters and arrays of a job; JournalError when damaged."""
        place = self._place(job_id)
        with _damage(job_id):
            content = _read_json(place / "request.json")
            arrays = _read_arrays(place / "request.npz") if (place / "request.npz").exists() else {}
            return str(content["name"]), dict(content["params"]), arrays

    def load_result(self, job_id: str) -> tuple[Fields, dict[str, Array]]:
        """Fields and arrays of a finished job; JournalError when missing or damaged."""
        place = self._place(job_id)
        with _damage(job_id):
            return _read_json(place / "result.json"), _read_arrays(place / "result.npz")

    def discard(self, job_id: str) -> None:
        """Remove a job and its result for good."""
        shutil.rmtree(self._place(job_id), ignore_errors=True)

    def prune(self, *, keep: int = 50) -> list[str]:
        """Remove the oldest entries beyond `keep` that are imported, failed or cancelled; returns their ids.

        Results that wait for a scene and jobs of living sessions stay, however many they are.
        """
        settled = [e for e in self.entries() if e.state in (IMPORTED, FAILED, CANCELLED)]
        removed = [entry.id for entry in settled[: max(0, len(settled) - keep)]]
        for job_id in removed:
            self.discard(job_id)
        for lock in self.folder.glob("*.lock"):
            if lock.stem != self.session and not _is_locked(lock):
                lock.unlink(missing_ok=True)
        return removed

    def _place(self, job_id: str) -> Path:
        if not check_id(job_id).strip("."):
            raise JournalError(f"{job_id!r} is no job id.")
        return self.folder / job_id

    def _entry(self, place: Path, alive: dict[str, bool]) -> Entry:
        request = _read_json(place / "request.json")
        status = _read_json(place / "state.json") if (place / "state.json").exists() else {}
        state, session = str(status.get("state", QUEUED)), str(status.get("session", ""))
        has_result = (place / "result.json").exists()
        if session not in alive:
            alive[session] = _is_locked(self.folder / f"{session}.lock")
        if state in (QUEUED, RUNNING):
            if has_result:
                state = DONE
            elif not alive[session]:
                state = INTERRUPTED
        return Entry(
            id=place.name,
            name=str(request["name"]),
            title=str(request["title"]),
            params=dict(request["params"]),
            created=float(request["created"]),
            state=state,
            error=dict(status.get("error", {})),
            has_result=has_result,
            elsewhere=alive[session] and session != self.session,
        )


class ResultWriter:
    """Stores one result: call `step` until it returns True. Each step writes at most STEP_BYTES.

    The arrays go into an uncompressed npz; steps keep a poll of the add-on under its time limit.
    Nothing is flushed to the platter: the journal guards against dying processes, not power cuts.
    """

    def __init__(self, journal: Journal, place: Path, fields: Fields, arrays: Mapping[str, Array]) -> None:
        self._journal = journal
        self._place = place
        self._work = self._run(fields, arrays)

    def step(self) -> bool:
        """Write one more piece; True when the result is complete on disk. JournalError; then give up."""
        try:
            return next(self._work, True)
        except OSError as problem:
            raise JournalError(
                f"The result of job {self._place.name} cannot be stored in {self._place}: {problem}.",
                remedy="Free disk space, and save the .blend file to keep this result.",
            ) from problem

    def _run(self, fields: Fields, arrays: Mapping[str, Array]) -> Iterator[bool]:
        yield from _array_steps(self._place / "result.npz", arrays)
        write_json(self._place / "result.json", fields)
        self._journal.set_state(self._place.name, DONE)


def _write_whole(path: Path, write: Any) -> None:
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as file:
        write(file)
    os.replace(temporary, path)


def _array_steps(path: Path, arrays: Mapping[str, Array]) -> Iterator[bool]:
    """Write an npz, yielding False after each STEP_BYTES of it."""
    temporary = path.with_name(path.name + ".part")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            descr = np.lib.format.dtype_to_descr(array.dtype)
            header = {"descr": descr, "fortran_order": False, "shape": array.shape}
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(member, header)
                for start in range(0, flat.size, STEP_BYTES):
                    member.write(flat[start : start + STEP_BYTES].data)
                    yield False
    os.replace(temporary, path)


def write_json(path: Path, content: Fields) -> None:
    """Write an object as ASCII JSON; a reader sees the old file or the whole new one. OSError."""
    text = json.dumps(content, allow_nan=False)
    _write_whole(path, lambda file: file.write(text.encode("ascii")))


def _read_json(path: Path) -> Fields:
    content = json.loads(path.read_text("ascii"))
    if not isinstance(content, dict):
        raise TypeError(f"{path.name} holds no object")
    return content


def _read_arrays(path: Path) -> dict[str, Array]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


@contextlib.contextmanager
def _damage(job_id: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as problem:
        raise JournalError(f"Journal entry {job_id} is missing or damaged: {problem}.") from problem


# A lock is dropped by the system when its process dies, so it tells the living from the dead without
# the guesses that process numbers need.
if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[bytes]) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


def _open_locked(path: Path) -> IO[bytes]:
    file = path.open("a+b")
    if not _try_lock(file):
        file.close()
        raise OSError(f"{path.name} is locked by another process")
    return file


def _is_locked(path: Path) -> bool:
    try:
        with path.open("r+b") as file:
            return not _try_lock(file)
    except OSError:
        return False
