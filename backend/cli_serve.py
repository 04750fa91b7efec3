"""`python -m backend serve`: takes the standard streams for frames first, and only then loads the server."""

import argparse
import ctypes
import logging
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options; there are none, requests carry everything."""


def run(arguments: argparse.Namespace) -> int:
    """Serve Blender until its end of the pipe closes; returns the exit code."""
    input_fd, output_fd = claim_standard_streams()
    logging.getLogger().setLevel(logging.INFO)
    from backend.handlers import handler_table
    from backend.server import serve

    return serve(handler_table(), input_fd, output_fd)


def claim_standard_streams() -> tuple[int, int]:
    """Take descriptors 0 and 1 for frames; returns the new (input, output) descriptors.

    Afterwards 0 is empty and 1 is the log, so nothing that a library prints can damage a frame. Ctrl-C
    is left to the parent, whose death is this process's own.
    """
    input_fd, output_fd = os.dup(0), os.dup(1)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    sys.stdout.flush()
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "win32":
        import msvcrt

        for fd in (input_fd, output_fd):
            msvcrt.setmode(fd, os.O_BINARY)
    elif sys.platform == "linux":
        # Works even while no thread can run because a C library holds the interpreter's lock.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    return input_fd, output_fd
