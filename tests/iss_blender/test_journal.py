"""The journal: what is written survives, what is half written is not believed, nothing is unpickled."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from iss_blender import journal as journal_module
from iss_blender.journal import Journal, JournalError, new_job_id
from iss_blender.protocol import ProtocolError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "jobs")
    yield journal
    journal.close()


def finish(journal: Journal, job_id: str, fields: dict, arrays: dict) -> int:
    """Store a result; returns how many steps it took."""
    writer, steps = journal.result_writer(job_id, fields, arrays), 1
    while not writer.step():
        steps += 1
    return steps


def test_request_round_trip(journal: Journal) -> None:
    params = {"prompt": 'a "red"\nchair 🪑 \ud800', "seed": 2**40}
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    journal.record_request("j1", "generate", params, {"image": image, "file": np.zeros(0)}, title="chair")
    name, got, arrays = journal.load_request("j1")
    assert (name, got) == ("generate", params)
    np.testing.assert_array_equal(arrays["image"], image)
    assert arrays["file"].shape == (0,)
    (entry,) = journal.entries()
    assert (entry.id, entry.title, entry.state, entry.has_result) == ("j1", "chair", "queued", False)


def test_result_round_trip_in_bounded_steps(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "STEP_BYTES", 100)
    journal.record_request("j1", "generate", {}, {})
    arrays = {"0.vertices": np.random.default_rng(0).random((25, 3)), "0.faces": np.ones((5, 3), np.int32).T}
    # 600 and 60 bytes in steps of 100, and one step for the end.
    assert finish(journal, "j1", {"score": 0.25}, arrays) == 6 + 1 + 1
    fields, got = journal.load_result("j1")
    assert fields == {"score": 0.25}
    for name, array in arrays.items():
        assert got[name].dtype == array.dtype
        np.testing.assert_array_equal(got[name], array)
    assert [entry.id for entry in journal.unimported()] == ["j1"]
    assert not list(journal.folder.rglob("*.part"))


def test_half_a_result_is_no_result(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "STEP_BYTES", 8)
    journal.record_request("j1", "generate", {}, {})
    writer = journal.result_writer("j1", {}, {"v": np.zeros(100)})
    assert writer.step() is False
    with pytest.raises(JournalError):
        journal.load_result("j1")
    assert journal.unimported() == []


def test_jobs_of_a_killed_session_are_offered_again(tmp_path: Path) -> None:
    program = (
        "import sys, os, pathlib, numpy\nfrom iss_blender.journal import Journal\n"
        "j = Journal(pathlib.Path(sys.argv[1]))\n"
        "for n, state in (('a', 'running'), ('b', 'queued'), ('c', 'failed'), ('d', 'running')):\n"
        "    j.record_request(n, 'generate', {'n': n}, {}); j.set_state(n, state)\n"
        "w = j.result_writer('d', {}, {'v': numpy.ones(2)})\nwhile not w.step(): pass\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        mine = Journal(tmp_path)
        # The other session lives: its jobs are its own. A result is offered to everybody.
        assert mine.unfinished() == []
        assert {e.id: e.state for e in mine.entries()}["a"] == "running"
        other.kill()
    assert [entry.id for entry in mine.unfinished()] == ["a", "b"]
    assert [entry.id for entry in mine.unimported()] == ["d"]
    mine.prune()
    assert [lock.stem for lock in tmp_path.glob("*.lock")] == [mine.session]
    mine.close()
    assert not list(tmp_path.glob("*.lock"))


def test_a_crash_between_result_and_state_still_counts_as_done(journal: Journal) -> None:
    journal.record_request("j1", "generate", {}, {})
    finish(journal, "j1", {}, {"v": np.ones(1)})
    journal.set_state("j1", "running")
    assert [entry.id for entry in journal.unimported()] == ["j1"]


def test_imported_results_are_offered_no_more(journal: Journal) -> None:
    journal.record_request("j1", "generate", {}, {})
    finish(journal, "j1", {}, {})
    journal.mark_imported("j1")
    assert journal.unimported() == [] and journal.entries()[0].state == "imported"


def test_error_of_a_failed_job_is_kept(journal: Journal) -> None:
    journal.record_request("j1", "generate", {}, {})
    journal.set_state("j1", "failed", {"code": "memory", "message": "m", "remedy": "r"})
    assert journal.entries()[0].error["code"] == "memory"


def test_prune_keeps_what_waits_and_the_newest_of_the_rest(journal: Journal) -> None:
    for number in range(6):
        journal.record_request(f"j{number}", "generate", {}, {})
        journal.set_state(f"j{number}", "cancelled" if number != 1 else "queued")
    journal.record_request("done", "generate", {}, {})
    finish(journal, "done", {}, {})
    assert journal.prune(keep=2) == ["j0", "j2", "j3"]
    assert sorted(entry.id for entry in journal.entries()) == ["done", "j1", "j4", "j5"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"name": "x"}', '{"params": 3, "name": "", "title": "", "created": 0}']
)
def test_damaged_entries_are_passed_over(journal: Journal, text: str) -> None:
    journal.record_request("good", "generate", {}, {})
    (journal.folder / "bad").mkdir()
    (journal.folder / "bad" / "request.json").write_text(text)
    assert [entry.id for entry in journal.entries()] == ["good"]


def test_damaged_arrays_are_an_error_with_a_remedy(journal: Journal) -> None:
    journal.record_request("j1", "generate", {}, {})
    finish(journal, "j1", {}, {"v": np.arange(1000.0)})
    path = journal.folder / "j1" / "result.npz"
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)
    with pytest.raises(JournalError) as caught:
        journal.load_result("j1")
    assert caught.value.remedy


def test_pickled_arrays_are_refused(journal: Journal) -> None:
    journal.record_request("j1", "generate", {}, {})
    (journal.folder / "j1" / "result.json").write_text(json.dumps({}))
    np.savez(journal.folder / "j1" / "result.npz", v=np.array([{"evil": 1}], dtype=object))
    with pytest.raises(JournalError):
        journal.load_result("j1")


@pytest.mark.parametrize("job_id", ["..", "", ".", "a/b", "a\\b"])
def test_ids_that_leave_the_folder_are_refused(journal: Journal, job_id: str) -> None:
    with pytest.raises((JournalError, ProtocolError)):
        journal.discard(job_id)


def test_a_folder_that_cannot_be_made_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError):
        Journal(tmp_path / "file" / "jobs")


def test_job_ids_are_unique_and_file_names() -> None:
    ids = {new_job_id() for _ in range(200)}
    assert len(ids) == 200 and all(len(job_id) == 22 for job_id in ids)
