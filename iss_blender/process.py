"""The backend as a child process: started without blocking, spoken to over pipes, never left behind.

Its standard error goes to a log file. Closing its standard input tells it to end; it is killed with its
whole process group where that does not help, so that a wrapper (a shell, ssh) leaves no child either.
"""

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import pipe

TAIL_BYTES = 16 * 1024
"""Most bytes of the log that are read for its last lines."""


class BackendProcess:
    """A running backend command. Raises OSError when it cannot be started."""

    def __init__(
        self,
        command: Sequence[str],
        log_path: Path,
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._pending: deque[memoryview] = deque()
        self._killed = False
        log_path.parent.mkdir(parents=True, exist_ok=True)
        if log_path.exists():
            with contextlib.suppress(OSError):
                os.replace(log_path, log_path.with_name(log_path.name + ".old"))
        with log_path.open("wb") as log:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                cwd=cwd,
                env=None if env is None else dict(env),
                start_new_session=sys.platform != "win32",
                creationflags=_CREATION_FLAGS,
            )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._write_fd, self._read_fd = self._process.stdin.fileno(), self._process.stdout.fileno()
        pipe.make_nonblocking(self._read_fd, self._write_fd)
        _remember(self)

    @property
    def pid(self) -> int:
        """Process number of the command itself."""
        return self._process.pid

    def exit_code(self, *, patience_s: float = 0.0) -> int | None:
        """The exit code (minus the signal number on POSIX), or None while it runs."""
        end = time.monotonic() + patience_s
        while (code := self._process.poll()) is None and time.monotonic() < end:
            time.sleep(0.0005)
        return code

    def send(self, data: bytes) -> None:
        """Queue bytes for `flush`; never blocks."""
        self._pending.append(memoryview(data))

    def flush(self) -> None:
        """Write as much of the queue as the pipe takes now; PipeClosedError."""
        while self._pending:
            taken = pipe.write_some(self._write_fd, self._pending[0])
            if not taken:
                return
            rest = self._pending.popleft()[taken:]
            if rest:
                self._pending.appendleft(rest)

    def read(self) -> bytes:
        """Bytes that are waiting, or b"" for none; PipeClosedError at the end."""
        return pipe.read_some(self._read_fd)

    def kill(self) -> None:
        """End it and its group now, without waiting. Ask `exit_code` later to reap it."""
        if self._killed:
            return
        self._killed = True
        if sys.platform == "win32":
            self._process.kill()
        else:
            # The group outlives a leader that is gone, so this also reaches a wrapper's children.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._close_pipes()

    def close(self, *, grace_s: float = 0.5) -> None:
        """End of input first, then kill after `grace_s`; returns when it is gone."""
        if not self._killed:
            assert self._process.stdin is not None
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_s)
            self.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5.0)

    def _close_pipes(self) -> None:
        self._pending.clear()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(OSError):
                stream.close()


def read_log_tail(log_path: Path, lines: int = 20) -> str:
    """The last lines of a log file, "" when there is none."""
    try:
        with log_path.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
            text = log.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


if sys.platform == "win32":
    _CREATION_FLAGS = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
else:
    _CREATION_FLAGS = 0

_living: "weakref.WeakSet[BackendProcess]" = weakref.WeakSet()


def _remember(process: BackendProcess) -> None:
    # Python's own exit hook also runs when Blender quits without unregistering its add-ons.
    if not _living:
        atexit.unregister(_close_living)
        atexit.register(_close_living)
    _living.add(process)


def _close_living() -> None:
    for process in list(_living):
        process.close(grace_s=0.2)
