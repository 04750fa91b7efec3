"""A batch on a Ray of two workers, one of which is killed in the middle: nothing lost, nothing done twice."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from backend.__main__ import main
from tests.backend.tiny_bundle import write_tiny_bundle

ROOT = Path(__file__).resolve().parents[2]
PROMPTS = 5


pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="NOT CHECKED: batches on Ray; install it with `make developer` or `pip install ray`",
)


@pytest.mark.parametrize(
    ("address", "part"),
    [
        ("somewhere", "is no address"),
        ("host:99999", "is no address"),
        (":6379", "is no address"),
        ("127.0.0.1:1", "Nobody answers at '127.0.0.1:1'"),
    ],
)
def test_a_cluster_that_is_not_there_is_refused_at_once(
    address: str, part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "prompts.txt"
    table.write_text("a chair\n")
    command = ["batch", str(table), "--out", str(tmp_path / "out"), "--ray", address]
    assert main([*command, "--bundle", str(write_tiny_bundle(tmp_path))]) == 2
    assert part in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="NOT CHECKED: a worker is killed by a POSIX signal")
def test_a_killed_worker_loses_nothing_and_nothing_is_done_twice(tmp_path: Path) -> None:
    bundle, out, table = write_tiny_bundle(tmp_path), tmp_path / "out", tmp_path / "prompts.csv"
    # A worker loads torch and the bundle with its first item, so that the kill falls into that item.
    table.write_text("prompt,seed\n" + "".join(f"a chair,{i}\n" for i in range(PROMPTS)))
    command = [sys.executable, "-m", "backend", "batch", str(table), "--out", str(out), "--format", "glb"]
    command += ["--bundle", str(bundle), "--ray", "local", "--workers", "2", "--threads", "1"]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stderr is not None
    told: list[str] = []
    processes: dict[str, int] = {}
    killed = ""
    for line in child.stderr:
        told.append(line)
        if ready := re.match(r"worker (\d+): process (\d+) on ", line):
            processes[ready[1]] = int(ready[2])
        begun = re.match(r"worker (\d+): begins (\S+)", line)
        if begun and not killed and len(processes) == 2:
            killed = begun[2]
            os.kill(processes[begun[1]], signal.SIGKILL)
    child.stderr.close()
    summary = child.stdout.read()
    child.stdout.close()
    assert child.wait() == 0, "".join(told)
    # Ray itself writes to standard output as well, that a worker was killed.
    assert killed and f"{PROMPTS} done, 0 were there, 0 failed" in summary, "".join(told)

    report = json.loads((out / "report.json").read_text())
    stems = [f"{i + 1:03d}-a-chair-s{i}" for i in range(PROMPTS)]
    assert [item["folder"] for item in report["items"]] == stems
    assert all({"mesh.glb", "result.json"} < {p.name for p in (out / stem).iterdir()} for stem in stems)
    done = Counter(re.findall(r"\] done (\S+):", "".join(told)))
    assert done == dict.fromkeys(stems, 1)
    assert {item["folder"]: item["attempts"] for item in report["items"]} == {
        stem: 2 if stem == killed else 1 for stem in stems
    }
    assert len(processes) == 3 and {w["pid"] for w in report["workers"]} == set(processes.values())
    assert {item["worker"] for item in report["items"]} <= {1, 2, 3}
    seeds = [json.loads((out / stem / "result.json").read_text())["recipe"]["seed"] for stem in stems]
    assert seeds == list(range(PROMPTS)) and not list(out.glob(".unfinished*"))
