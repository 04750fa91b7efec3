"""Reads and writes on the backend's pipes that never block, on POSIX and on Windows.

Blender polls from its main thread and may start no thread, so both directions must return at once:
by O_NONBLOCK on POSIX, by PeekNamedPipe and PIPE_NOWAIT on Windows.
"""

import errno
import os
import signal
import sys

CHUNK_BYTES = 1 << 16
"""Most bytes per read or write, the usual pipe buffer of Linux; small enough to keep a poll short."""
WINDOWS_WRITE_BYTES = 2048
"""Most bytes per write on Windows, where a PIPE_NOWAIT write larger than the free space writes nothing."""


class PipeClosedError(Exception):
    """The other side closed the pipe or died."""


if sys.platform == "win32":
    import ctypes
    import msvcrt
    from ctypes import wintypes

    _kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    _PIPE_NOWAIT = wintypes.DWORD(1)

    def make_nonblocking(read_fd: int, write_fd: int) -> None:
        """Prepare both ends held by this process."""
        handle = wintypes.HANDLE(msvcrt.get_osfhandle(write_fd))
        if not _kernel32.SetNamedPipeHandleState(handle, ctypes.byref(_PIPE_NOWAIT), None, None):
            raise ctypes.WinError(ctypes.get_last_error())

    def read_some(fd: int) -> bytes:
        """Bytes that are waiting, or b"" for none; PipeClosedError at the end of the stream."""
        waiting = wintypes.DWORD(0)
        handle = wintypes.HANDLE(msvcrt.get_osfhandle(fd))
        if not _kernel32.PeekNamedPipe(handle, None, 0, None, ctypes.byref(waiting), None):
            raise PipeClosedError
        return os.read(fd, min(waiting.value, CHUNK_BYTES)) if waiting.value else b""

    def write_some(fd: int, data: memoryview) -> int:
        """Bytes taken of `data`, 0 when the pipe is full; PipeClosedError when nobody reads any more."""
        try:
            return os.write(fd, data[:WINDOWS_WRITE_BYTES])
        except OSError as problem:
            if problem.errno in (errno.ENOSPC, errno.EAGAIN):
                return 0
            raise PipeClosedError from problem

else:

    def make_nonblocking(read_fd: int, write_fd: int) -> None:
        """Prepare both ends held by this process."""
        os.set_blocking(read_fd, False)
        os.set_blocking(write_fd, False)

    def read_some(fd: int) -> bytes:
        """Bytes that are waiting, or b"" for none; PipeClosedError at the end of the stream."""
        try:
            data = os.read(fd, CHUNK_BYTES)
        except BlockingIOError:
            return b""
        except OSError as problem:
            if problem.errno == errno.EIO:
                raise PipeClosedError from problem
            raise
        if not data:
            raise PipeClosedError
        return data

    def write_some(fd: int, data: memoryview) -> int:
        """Bytes taken of `data`, 0 when the pipe is full; PipeClosedError when nobody reads any more."""
        # Blender's Python leaves SIGPIPE as it is, which would end Blender together with the backend. It is
        # held back in this thread and for this call only: Blender's own handling is not ours to change.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
        try:
            return os.write(fd, data[:CHUNK_BYTES])
        except BlockingIOError:
            return 0
        except BrokenPipeError as problem:
            if signal.SIGPIPE not in before and signal.SIGPIPE in signal.sigpending():
                signal.sigwait({signal.SIGPIPE})
            raise PipeClosedError from problem
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
