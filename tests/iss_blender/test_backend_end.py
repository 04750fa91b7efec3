"""What is told when the backend command ends. The lines of ssh are those that OpenSSH 9.2 wrote when a real
server refused it, was killed, or could not be found."""

import json
import sys
import time
from pathlib import Path

import pytest

from iss_blender import jobs
from iss_blender.backend_end import AGAIN, MEMORY, explain_end
from iss_blender.client import BackendClient
from tests.iss_blender.test_client import FAKE, PATIENCE_S

SSH = ["/usr/bin/ssh", "-p", "22", "host", "cd /opt/iss && .venv/bin/python -m backend serve"]
LOCAL = ["/opt/iss/.venv/bin/python", "-m", "backend", "serve"]


def told(
    command: list[str], code: int | None, log: str = "", *, greeted: bool = False, inside: bool = False
) -> tuple[str, str]:
    return explain_end(command, code, log, greeted=greeted, inside_frame=inside)


@pytest.mark.parametrize(
    ("log", "said", "remedy"),
    [
        (
            "root@127.0.0.1: Permission denied (publickey,keyboard-interactive).\n",
            "root@127.0.0.1: Permission denied (publickey,keyboard-interactive).",
            "give ssh a key",
        ),
        ("Host key verification failed.", "Host key verification failed.", "Log in once in a terminal"),
        (
            "ssh: connect to host 127.0.0.1 port 22423: Connection refused",
            "connect to host 127.0.0.1 port 22423: Connection refused.",
            "Check the host's name, its port",
        ),
        (
            "ssh: Could not resolve hostname workstation.invalid: Name or service not known",
            "Could not resolve hostname workstation.invalid: Name or service not known.",
            "Check the host's name",
        ),
    ],
)
def test_ssh_that_does_not_connect_says_why(log: str, said: str, remedy: str) -> None:
    message, way_out = told(SSH, 255, log)
    assert message == f"There is no connection over ssh: {said}" and remedy in way_out


def test_ssh_that_says_nothing_or_too_much() -> None:
    assert told(["ssh.exe", "host"], 255) == ("There is no connection over ssh.", AGAIN)
    assert len(told(SSH, 255, "x" * 5000)[0]) < 250
    assert told(SSH, 255, "A banner.\n\nHost key verification failed.\n\n")[0].endswith(
        "ssh: Host key verification failed."
    )


def test_a_lost_connection_is_no_end_of_the_backend() -> None:
    lost = "The connection over ssh to the backend was lost"
    remedy = "Check the network and the machine at the far end, then try again."
    log = "Connection to 127.0.0.1 closed by remote host."
    assert told(SSH, 255, log, greeted=True) == (f"{lost}.", remedy)
    assert told(SSH, 255, log, greeted=True, inside=True)[0] == f"{lost}, in the middle of a message."
    assert told(LOCAL, 255, greeted=True) == ("The backend ended with exit code 255.", AGAIN)


def test_a_backend_that_is_killed_may_have_lacked_memory_also_at_the_far_end() -> None:
    assert told(LOCAL, -9, greeted=True) == ("The backend ended, killed by signal 9.", MEMORY)
    assert told(SSH, 255, greeted=True) == (
        "The backend at the far end was killed, or the connection over ssh was lost.",
        MEMORY,
    )
    assert told(SSH, 137, greeted=True) == ("The backend ended with exit code 137.", MEMORY)
    assert told(LOCAL, 137, greeted=True)[1] == AGAIN


def test_a_wrong_folder_or_python_is_told_before_the_hello_only() -> None:
    no_module = "/opt/iss/bin/python: No module named backend"
    message, remedy = told(SSH, 1, no_module)
    assert message == "The backend ended with exit code 1." and '"cd FOLDER && ' in remedy
    assert told(LOCAL, 1, no_module)[1] == remedy and told(LOCAL, 1, no_module, greeted=True)[1] == AGAIN
    no_python = "bash: line 1: /opt/iss/bin/python: No such file or directory"
    assert "Correct the folder and the Python" in told(SSH, 127, no_python)[1]
    assert told(SSH, None) == ("The backend ended.", AGAIN)


@pytest.mark.parametrize("greeted", [False, True])
def test_the_client_tells_what_became_of_ssh(tmp_path: Path, greeted: bool) -> None:
    """A stand-in that is called ssh, brings a backend's hello or not, and ends as ssh does."""
    line = "Connection to 127.0.0.1 closed by remote host." if greeted else "Host key verification failed."
    steps = [*([["hello"]] if greeted else []), ["log", line], ["exit", 255]]
    (tmp_path / "script.json").write_text(json.dumps(steps))
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE}" "{tmp_path / "script.json"}"\n')
    ssh.chmod(0o755)
    client = BackendClient([str(ssh), "host", "backend"], log_path=tmp_path / "backend.log")
    client.start()
    end = time.monotonic() + PATIENCE_S
    while client.state != jobs.BROKEN and time.monotonic() < end:
        client.poll()
        time.sleep(0.005)
    client.close()
    assert client.failure is not None and client.failure.code == "died" and client.failure.log_tail == line
    wanted = "to the backend was lost." if greeted else "There is no connection over ssh: Host key"
    assert wanted in client.failure.message
