"""The command line as a program: a reader that leaves early, such as `| head`, sees no traceback."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHELLED = "import sys; sys.argv[0] = 'backend'; from backend.__main__ import program; sys.exit(program())"
NOISY = """
import sys, types
import backend.__main__ as entry
noisy = types.ModuleType("noisy")
noisy.configure = lambda parser: None
def run(arguments):
    {body}
    return 3
noisy.run = run
sys.modules["noisy"] = noisy
entry.COMMANDS["noisy"] = ("noisy", "make noise")
sys.argv = ["backend", "noisy"]
sys.exit(entry.program())
"""


def _with_a_reader_that_left(code: str, *arguments: str) -> tuple[int, str]:
    """Exit code and standard error of a program whose standard output nobody reads."""
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    child = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=buffered,
    )  # fmt: skip
    assert child.stdout is not None and child.stderr is not None
    child.stdout.close()
    told = child.stderr.read().decode()
    child.stderr.close()
    return child.wait(), told


def test_work_that_is_done_keeps_its_exit_code_when_the_reader_left() -> None:
    assert _with_a_reader_that_left(NOISY.format(body="print('a path')")) == (3, "")
    assert _with_a_reader_that_left(SHELLED, "--help") == (0, "")


def test_work_whose_output_nobody_reads_ends_quietly() -> None:
    body = "[print('x' * 1000) for _ in range(1000)]"
    assert _with_a_reader_that_left(NOISY.format(body=body)) == (141, "")
