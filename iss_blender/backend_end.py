"""How the end of the backend command becomes a sentence with a remedy, also where the command is ssh."""

import re
from collections.abc import Sequence
from pathlib import PurePath

AGAIN = "Try again; the log has the details."
MEMORY = "It may have run out of memory: lower the quality, then try again."
_SSH_FAILED = 255
"""ssh's own exit code, also where a signal ended the far command; any other is that of the far command."""
_FAR_KILLED = 128 + 9
"""What the far end's shell says of a backend that signal 9 ended."""
_LOST = "closed by remote host|Connection reset|Broken pipe|not responding|timed out|Read from remote host"
"""What ssh writes when a connection breaks; it writes nothing when a signal ended the far command."""
_LONGEST = 160
"""Characters of a log line in a sentence."""
_NOT_CONNECTED = (
    (
        "Permission denied",
        "Nothing can be typed here: give ssh a key without a passphrase, or one that an agent holds.",
    ),
    ("Host key verification failed", "Log in once in a terminal, where ssh asks whether you know the host."),
    (
        "Could not resolve|refused|timed out|No route|unreachable",
        "Check the host's name, its port, and that it is on.",
    ),
)
_NOT_STARTED = (
    (
        "No module named '?backend",
        "Let the command go into this extension's folder first, over ssh as in "
        'ssh HOST "cd FOLDER && .venv/bin/python -m backend serve".',
    ),
    ("No such file|not found|not recognized", "Correct the folder and the Python in the backend command."),
)


def explain_end(
    command: Sequence[str], exit_code: int | None, log: str, *, greeted: bool, inside_frame: bool
) -> tuple[str, str]:
    """Message and remedy for a backend that ended by itself.

    exit_code: minus the signal on POSIX, None where it is not known. log: the last lines of its standard
    error. greeted: its hello had come. inside_frame: a message from it is incomplete.
    """
    where = ", in the middle of a message" if inside_frame else ""
    over_ssh = PurePath(command[0]).stem.lower() == "ssh" if command else False
    if over_ssh and exit_code == _SSH_FAILED:
        if not greeted:
            return f"There is no connection over ssh{_last_line(log)}.", _remedy(_NOT_CONNECTED, log, AGAIN)
        if re.search(_LOST, log):
            lost = f"The connection over ssh to the backend was lost{where}."
            return lost, "Check the network and the machine at the far end, then try again."
        return f"The backend at the far end was killed, or the connection over ssh was lost{where}.", MEMORY
    how = ""
    if exit_code is not None:
        how = f" with exit code {exit_code}" if exit_code >= 0 else f", killed by signal {-exit_code}"
    killed = exit_code == -9 or (over_ssh and exit_code == _FAR_KILLED)
    remedy = MEMORY if killed else AGAIN if greeted else _remedy(_NOT_STARTED, log, AGAIN)
    return f"The backend ended{how}{where}.", remedy


def _last_line(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return f": {lines[-1].removeprefix('ssh: ').rstrip('.')[:_LONGEST]}" if lines else ""


def _remedy(known: Sequence[tuple[str, str]], log: str, otherwise: str) -> str:
    return next((remedy for pattern, remedy in known if re.search(pattern, log)), otherwise)
