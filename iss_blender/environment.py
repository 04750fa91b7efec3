"""Makes and checks the backend's own Python environment: `make`, CI and the Blender panel all use this file.

A set-up is a list of steps, each a child process that writes to `setup.log` in the chosen folder. Nothing is
compiled, nothing is installed into Blender's Python, and each finished step is stamped, so that a second run
continues where the first one stopped. Standard library only; no threads: a timer calls `poll`.

    python3 -m iss_blender.environment make --folder .venv --with train,dev
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from .interpreters import (
    PYTHON_VERSIONS,
    Interpreter,
    environment_version,
    environment_works,
    find_python,
    interpreter_of,
)
from .pins import checked_groups, load_pins, verify
from .setup_errors import SetupError, explain
from .setup_plan import (
    CONSTRAINTS_NAME,
    LOG_NAME,
    STAMP_NAME,
    Step,
    check_disk,
    check_folder,
    check_path_length,
    constraints_text,
    plan,
)

__all__ = ["EnvironmentSetup", "Event", "SetupError", "Status", "check", "interpreter_of", "make"]

LOCK_NAME, TEMPORARY_NAME = "setup.lock", "tmp"
TAIL_BYTES = 256 * 1024
"""Most bytes of the log that one poll reads."""
INSTALLING_SHARE = 0.7
"""Share of a step's time that its downloads take; the rest is unpacking."""
KILL_SECONDS = 2.0


@dataclass(frozen=True)
class Event:
    """One report: step `index` (from 1) of `total`, `fraction` of the whole set-up in [0, 1], a log line."""

    step: str
    index: int
    total: int
    fraction: float
    line: str


@dataclass(frozen=True)
class Status:
    """What `check` found. `missing` holds step titles; `reason` is a sentence, empty when complete."""

    complete: bool
    python: Path
    missing: tuple[str, ...]
    reason: str


class EnvironmentSetup:
    """A set-up under way: `start`, then `poll` from a timer until `state` leaves "running"; or `cancel`.

    `state` is one of idle, running, done, failed, cancelled; `error` is set when failed. A failed or
    cancelled set-up may be started again. `steps` replaces the real plan in tests.
    """

    def __init__(
        self,
        folder: Path,
        *,
        groups: Sequence[str] = ("run",),
        python: str | None = None,
        steps: Sequence[Step] | None = None,
    ) -> None:
        self.folder = Path(folder).absolute()
        self.log_path = self.folder / LOG_NAME
        self.state = "idle"
        self.error: SetupError | None = None
        self._groups, self._python, self._given_steps = checked_groups(groups), python, steps
        self._steps: list[Step] = []
        self._position = 0
        self._downloaded_mb = 0.0
        self._file_mb = (0.0, 0.0)
        self._installing = False
        self._child: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._lock: IO[bytes] | None = None
        self._read_from = 0

    def start(self) -> None:
        """Check Python, folder, path length and disk, then start the first step that is not done yet.

        Raises SetupError; nothing was started then. Looking for a Python takes up to about a second.
        """
        steps, constraints = self._planned() if self._given_steps is None else (list(self._given_steps), "")
        try:
            (self.folder / TEMPORARY_NAME).mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self.folder / LOCK_NAME)
            (self.folder / CONSTRAINTS_NAME).write_text(constraints, "utf-8")
            self._log = self.log_path.open("ab")
        except OSError as error:
            raise SetupError(
                "folder", f"{self.folder} cannot be written: {error}.", "Choose another folder."
            ) from error
        self._read_from = self._log.tell()
        self._steps, self._position, self.state, self.error = steps, 0, "running", None
        self._start_next()

    def poll(self) -> list[Event]:
        """Events since the last call; never blocks. At the end of a step the next one is started."""
        if self.state != "running" or self._child is None:
            return []
        exit_code = self._child.poll()
        events = self._read_log(everything=exit_code is not None)
        if exit_code is None:
            return events
        step = self._steps[self._position]
        if exit_code != 0:
            self._finish("failed", explain(step.title, exit_code, self.tail()))
            return events
        _stamp(self.folder, step)
        events.append(self._event("done", within=1.0))
        self._position += 1
        self._start_next()
        return events

    def cancel(self) -> None:
        """Stop the running step with everything it started; finished steps stay."""
        if self.state == "running":
            if self._child is not None:
                _kill(self._child)
            self._finish("cancelled", None)

    def tail(self, lines: int = 40) -> str:
        """The last lines of the log, without the progress of downloads."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(max(0, self.log_path.stat().st_size - TAIL_BYTES))
                text = log.read().decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join([line for line in text.splitlines() if not line.startswith("Progress ")][-lines:])

    def _planned(self) -> tuple[list[Step], str]:
        check_path_length(self.folder)
        interpreter, pins = find_python(self._python), load_pins()
        check_folder(self.folder, interpreter)
        steps = plan(self.folder, interpreter, self._groups, pins)
        unchanged = environment_version(self.folder) == interpreter.version
        if not (unchanged and environment_works(self.folder)):
            with contextlib.suppress(FileNotFoundError):
                (self.folder / STAMP_NAME).unlink()
        done = _stamps(self.folder)
        check_disk(self.folder, [step for step in steps if done.get(step.name) != step.digest])
        return steps, constraints_text(pins)

    def _start_next(self) -> None:
        done = _stamps(self.folder)
        while self._position < len(self._steps):
            step = self._steps[self._position]
            if done.get(step.name) != step.digest:
                break
            self._position += 1
        else:
            self._finish("done", None)
            return
        assert self._log is not None and self._lock is not None
        self._downloaded_mb, self._file_mb, self._installing = 0.0, (0.0, 0.0), False
        _forget_half_installed(self.folder)
        self._write(f"\n=== {time.strftime('%Y-%m-%d %H:%M:%S')} {step.title}")
        # The child holds the lock too: where this process is killed, the folder stays busy until pip is done.
        options: dict[str, Any] = {"start_new_session": True, "pass_fds": (self._lock.fileno(),)}
        if sys.platform == "win32":
            options = {"creationflags": subprocess.CREATE_NO_WINDOW}
        try:
            self._child = subprocess.Popen(
                step.command,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                cwd=Path(__file__).resolve().parent.parent,
                env=_child_variables(self.folder),
                **options,
            )
        except OSError as error:
            self._finish("failed", explain(step.title, -1, f"error: {error}"))

    def _finish(self, state: str, error: SetupError | None) -> None:
        self.state, self.error, self._child = state, error, None
        self._write(f"=== {state}{f': {error}' if error else ''}")
        shutil.rmtree(self.folder / TEMPORARY_NAME, ignore_errors=True)
        for handle in (self._log, self._lock):
            if handle is not None:
                handle.close()

    def _write(self, line: str) -> None:
        assert self._log is not None
        self._log.write(f"{line}\n".encode())
        self._log.flush()

    def _read_log(self, *, everything: bool) -> list[Event]:
        with self.log_path.open("rb") as log:
            log.seek(self._read_from)
            data = log.read(-1 if everything else TAIL_BYTES)
        if not everything:
            data = data[: data.rfind(b"\n") + 1]
        self._read_from += len(data)
        events: list[Event] = []
        for line in data.decode("utf-8", "replace").splitlines():
            progress = re.match(r"Progress (\d+) of (\d+)", line)
            if progress:
                self._note_download(int(progress[1]) / 1e6, int(progress[2]) / 1e6)
                line = f"{self._downloaded_mb + self._file_mb[0]:.0f} MB downloaded"
                if events and events[-1].line.endswith("MB downloaded"):
                    events.pop()
            self._installing = self._installing or line.startswith("Installing collected packages")
            if line.strip():
                events.append(self._event(line.rstrip(), within=self._within()))
        return events

    def _note_download(self, got_mb: float, size_mb: float) -> None:
        """Add up the files of a step: pip reports each on its own, from zero."""
        if size_mb != self._file_mb[1] or got_mb < self._file_mb[0]:
            self._downloaded_mb += self._file_mb[0]
        self._file_mb = (got_mb, size_mb)

    def _within(self) -> float:
        if self._installing:
            return INSTALLING_SHARE
        expected = self._steps[self._position].download_mb
        share = (self._downloaded_mb + self._file_mb[0]) / expected if expected else 0.0
        return INSTALLING_SHARE * min(1.0, share)

    def _event(self, line: str, *, within: float) -> Event:
        step = self._steps[self._position]
        total = sum(s.weight for s in self._steps)
        before = sum(s.weight for s in self._steps[: self._position])
        fraction = min(1.0, (before + within * step.weight) / total)
        return Event(step.title, self._position + 1, len(self._steps), fraction, line)


def make(setup: EnvironmentSetup, *, pause_s: float = 0.1) -> Iterator[Event]:
    """Run a set-up to its end, yielding events; closing the generator cancels. Raises SetupError."""
    setup.start()
    try:
        while setup.state == "running":
            yield from setup.poll()
            time.sleep(pause_s if setup.state == "running" else 0.0)
    finally:
        setup.cancel()
    if setup.error is not None:
        raise setup.error


def check(folder: Path, *, groups: Sequence[str] = ("run",)) -> Status:
    """Whether the environment in `folder` is complete for these groups; reads files only, starts nothing."""
    folder = Path(folder).absolute()
    python, version = interpreter_of(folder), environment_version(folder)
    if version is None or not environment_works(folder):
        return Status(False, python, (), f"There is no working Python environment in {folder}.")
    done = _stamps(folder)
    steps = plan(folder, Interpreter("", version), checked_groups(groups), load_pins())
    missing = tuple(step.title for step in steps if done.get(step.name) != step.digest)
    return Status(not missing, python, missing, f"Still to do: {', '.join(missing)}." if missing else "")


def _stamps(folder: Path) -> dict[str, str]:
    try:
        stamps = json.loads((folder / STAMP_NAME).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return stamps if isinstance(stamps, dict) else {}


def _stamp(folder: Path, step: Step) -> None:
    temporary = folder / f"{STAMP_NAME}.new"
    temporary.write_text(json.dumps({**_stamps(folder), step.name: step.digest}, indent=1), "utf-8")
    os.replace(temporary, folder / STAMP_NAME)


def _locked(path: Path) -> IO[bytes]:
    handle = path.open("ab")
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.close()
        raise SetupError(
            "busy", f"Another set-up is at work in {path.parent}.", "Wait for it to end, then retry."
        ) from error
    return handle


def _forget_half_installed(folder: Path) -> None:
    """Remove the records of packages whose unpacking was cut off: pip would take them for installed.

    pip writes INSTALLER after a package's last file.
    """
    for pattern in ("lib/python*/site-packages/*.dist-info", "Lib/site-packages/*.dist-info"):
        for record in folder.glob(pattern):
            if not (record / "INSTALLER").exists():
                shutil.rmtree(record, ignore_errors=True)


def _child_variables(folder: Path) -> dict[str, str]:
    """Variables of a step: nothing of Blender's Python, temporary files on the chosen disk."""
    temporary = str(folder / TEMPORARY_NAME)
    dropped = ("PYTHONHOME", "PYTHONPATH", "__PYVENV_LAUNCHER__", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    plain = {"PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONNOUSERSITE": "1"}
    return {
        **kept,
        **plain,
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": temporary,
        "TEMP": temporary,
        "TMP": temporary,
    }


def _kill(child: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        subprocess.run(
            ["taskkill", "/PID", str(child.pid), "/T", "/F"],
            capture_output=True,
            check=False,
            creationflags=subprocess.CREATE_NO_WINDOW,
        )
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(KILL_SECONDS)


def _show(events: Iterator[Event]) -> None:
    terminal, step = sys.stdout.isatty(), ""
    for event in events:
        head = f"[{event.index}/{event.total}] {100 * event.fraction:3.0f} % {event.step}"
        if terminal:
            print(f"\r\033[K{head}: {event.line}"[: shutil.get_terminal_size().columns], end="", flush=True)
        elif event.step != step or event.line == "done":
            print(head if event.line != "done" else f"{head}: done", flush=True)
        step = event.step
    if terminal:
        print()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: make, check, verify. Exit code 0, or 2 with a sentence on standard error."""
    parser = argparse.ArgumentParser(prog="iss_blender.environment", description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("make", "check", "verify"))
    parser.add_argument("--folder", type=Path, default=Path(".venv"))
    parser.add_argument("--with", dest="groups", default="", help="more groups: train, dev, ray, blender")
    parser.add_argument("--python", help="the Python to make it with (default: this one, else one from PATH)")
    given = parser.parse_args(arguments)
    groups = tuple(name for name in given.groups.split(",") if name)
    try:
        checked_groups(groups)
        if sys.version_info[:2] < PYTHON_VERSIONS[0]:
            command = [find_python(given.python).path, "-m", "iss_blender.environment"]
            return subprocess.call([*command, *(sys.argv[1:] if arguments is None else arguments)])
        if given.action == "verify":
            problems = verify(load_pins().of(groups or ("run",)))
            print("\n".join(problems) or "All packages are in place.")
            return 1 if problems else 0
        if given.action == "make":
            setup = EnvironmentSetup(given.folder, groups=groups, python=given.python)
            _show(make(setup))
        status = check(given.folder, groups=groups)
        print(f"Complete: {status.python}" if status.complete else status.reason)
        return 0 if status.complete else 2
    except SetupError as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped; finished steps are kept.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
