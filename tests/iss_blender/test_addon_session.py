"""The session without Blender: requests, the journal's share, recovery, the self-test."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from iss_blender import jobs
from iss_blender.job_requests import (
    JobRequest,
    Place,
    batch_row,
    batch_text,
    generate_request,
    promote_request,
    prompts_of_text,
    vary_request,
)
from iss_blender.object_record import ObjectRecord
from iss_blender.progress import JobClock, format_seconds, phases_of
from iss_blender.prompt_list import read_prompts
from iss_blender.prompts import PromptHistory
from iss_blender.self_test import format_report, own_checks
from iss_blender.session import FAILED, RESULT, Backend, Session

FAKE = Path(__file__).with_name("fake_artist_backend.py")
PLACE = Place(location=(1.0, 2.0, 0.0), height=1.5)


def pump(session: Session, until: Callable[[], Any], *, limit_s: float = 20.0) -> None:
    end = time.monotonic() + limit_s
    while not until():
        assert time.monotonic() < end, (
            session.state,
            session.trouble,
            session.client and session.client.jobs,
        )
        session.tick()
        time.sleep(0.005)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    made = Session(tmp_path / "user")
    made.use_backend(Backend((sys.executable, str(FAKE))))
    yield made
    made.close()


def request(prompt: str = "a red chair", **options: Any) -> JobRequest:
    return generate_request(prompt, seed=7, place=PLACE, preview_every=1, **options)


def test_a_prompt_arrives_as_typed(session: Session) -> None:
    words = 'a "quoted" chair\nwith a newline, \U0001f680 and é\\'
    session.submit(request(words))
    pump(session, lambda: any(work.kind == RESULT for work in session.scene_work))
    result = next(work for work in session.scene_work if work.kind == RESULT)
    assert result.fields["recipe"]["prompt"] == words


def test_only_the_latest_preview_waits_and_the_result_replaces_it(session: Session) -> None:
    job = session.submit(request())
    assert job is not None
    pump(session, lambda: job.state == jobs.DONE)
    assert [work.kind for work in session.scene_work] == [RESULT]
    assert not session.listed_jobs()


def test_results_of_another_file_wait_for_being_asked_for(session: Session) -> None:
    job = session.submit(request())
    assert job is not None
    session.file_loaded()
    pump(session, lambda: job.state == jobs.DONE)
    assert not session.scene_work
    assert [entry.id for entry in session.waiting] == [job.id]
    session.recover(session.waiting[0])
    assert [work.kind for work in session.scene_work] == [RESULT]
    assert not session.waiting


def test_a_result_is_offered_until_a_file_is_saved_with_it(session: Session, tmp_path: Path) -> None:
    job = session.submit(request())
    assert job is not None
    pump(session, lambda: job.state == jobs.DONE)
    session.placed.add(job.id)
    session.close()
    again = Session(tmp_path / "user")
    assert [entry.title for entry in again.waiting] == ["a red chair"]
    again.placed.add(job.id)
    again.file_saved()
    again.close()
    third = Session(tmp_path / "user")
    assert third.waiting == []
    third.close()


def test_another_open_blender_is_not_offered_our_results(session: Session, tmp_path: Path) -> None:
    job = session.submit(request())
    assert job is not None
    pump(session, lambda: job.state == jobs.DONE)
    other = Session(tmp_path / "user")
    assert other.waiting == []
    other.close()


def test_a_job_that_was_cut_off_can_run_again(session: Session, tmp_path: Path) -> None:
    job = session.submit(request("slow"))
    assert job is not None
    pump(session, lambda: job.state == jobs.RUNNING)
    session.close()
    again = Session(tmp_path / "user")
    again.use_backend(Backend((sys.executable, str(FAKE))))
    assert [entry.id for entry in again.interrupted] == [job.id]
    again.rerun(again.interrupted[0])
    assert again.client is not None
    assert again.client.job(job.id) is not None
    assert not again.interrupted
    again.close()


def test_discarding_removes_it_for_good(session: Session, tmp_path: Path) -> None:
    job = session.submit(request())
    assert job is not None
    pump(session, lambda: job.state == jobs.DONE)
    session.file_loaded()
    session.discard(session.waiting[0])
    assert session.waiting == []
    assert not (tmp_path / "user" / "journal" / job.id).exists()


def test_an_error_keeps_its_sentence_and_can_be_retried(session: Session) -> None:
    job = session.submit(request("fail"))
    assert job is not None
    pump(session, lambda: job.state == jobs.FAILED)
    assert [work.kind for work in session.scene_work] == [FAILED]
    assert job.failure is not None and job.failure.remedy == "Say it differently."
    again = session.retry(job.id)
    assert again is not None and again.id != job.id and again.params["recipe"]["prompt"] == "fail"
    assert [listed.id for listed in session.listed_jobs()] == [again.id]


def test_a_dead_backend_is_told_and_restarted(session: Session) -> None:
    job = session.submit(request("die"))
    assert job is not None
    pump(session, lambda: session.trouble is not None)
    assert session.state == jobs.BROKEN and session.trouble is not None and session.trouble.remedy
    session.restart()
    assert session.trouble is None
    second = session.submit(request())
    assert second is not None
    pump(session, lambda: second.state == jobs.DONE)


def test_without_a_backend_submitting_says_why(tmp_path: Path) -> None:
    session = Session(tmp_path)
    assert session.submit(request()) is None
    assert session.trouble is not None and "Set up" in session.trouble.remedy
    session.close()


def test_devices_and_bundles_are_learned(session: Session) -> None:
    session.submit(request())
    pump(session, lambda: len(session.devices) > 1)
    assert session.device == "Fake device" and session.bundles[0]["name"] == "starter"


def test_the_doctor_collects_both_sides(session: Session, tmp_path: Path) -> None:
    checks = own_checks(program="Blender", version="1", online=False, folder=tmp_path, how="python")
    session.examine(checks, {})
    pump(session, lambda: session.doctor.done)
    names = [check["name"] for check in session.doctor.checks]
    assert names[:2] == ["add-on", "online access"] and names[-1] == "device"


def test_the_doctor_ends_when_the_backend_cannot_start(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.use_backend(Backend((str(tmp_path / "missing"),)))
    session.examine([], {})
    pump(session, lambda: session.doctor.done)
    assert not session.doctor.checks[-1]["passed"] and session.doctor.checks[-1]["remedy"]
    session.close()


def test_the_report_holds_no_home_folder() -> None:
    check = {"name": "disk", "passed": False, "detail": "/home/anna/x is full", "remedy": "Free it."}
    assert format_report([check], home=Path("/home/anna")) == "FAIL disk: ~/x is full\n     -> Free it.\n"
    assert "berta" not in format_report([{**check, "detail": "/home/berta/x"}], home=Path("/home/anna"))


def record(**options: Any) -> ObjectRecord:
    recipe = {"prompt": "a red chair", "seed": 3, "bundle": "starter", "bundle_sha256": "ab", "settings": {}}
    recipe["start_code"] = [1.0]
    return ObjectRecord("id", recipe, np.ones(4, np.float32), **options)


def test_a_variation_keeps_the_words_and_settings_but_nothing_of_the_run() -> None:
    varied = vary_request(record(), PLACE, seed=9)
    assert varied.params["recipe"] == {
        "prompt": "a red chair", "seed": 9, "bundle": "starter", "settings": {},
    }  # fmt: skip


def test_a_promoted_draft_starts_from_its_own_code() -> None:
    promoted = promote_request(record(), PLACE, preset="fine", changes={})
    assert promoted.name == "refine" and promoted.params["preset"] == "fine"
    assert "settings" not in promoted.params["recipe"] and "start_code" not in promoted.params["recipe"]
    assert promoted.arrays["code"].tolist() == [1, 1, 1, 1]


def test_a_place_survives_the_journal_and_damage() -> None:
    params = json.loads(json.dumps(request().params))
    assert Place.from_params(params) == PLACE
    assert Place.from_params({"scene": {"location": "here"}}) == Place()
    assert Place.from_params({}) == Place()


def test_the_queue_file_is_what_the_batch_script_reads(tmp_path: Path) -> None:
    jobs_made = [request('a "red"\nchair', preset="fine", changes={"stage2": {"steps": 5}}), request("é")]
    path = tmp_path / "queue.json"
    path.write_text(batch_text(batch_row(job.name, job.params) for job in jobs_made), "utf-8")
    first, second = read_prompts(path)
    assert first.recipe["prompt"] == 'a "red"\nchair' and second.recipe["prompt"] == "é"
    assert (first.preset, first.changes, first.recipe["seed"]) == ("fine", {"stage2": {"steps": 5}}, 7)
    assert (first.variations, first.height_m) == (1, 1.5)
    with pytest.raises(ValueError, match="blend"):
        batch_row("blend", {})


def test_prompts_of_a_text() -> None:
    assert prompts_of_text("a chair\n\n  # no\n  a #2 table \r\n") == ["a chair", "a #2 table"]


def test_progress_tells_the_remaining_time() -> None:
    now = [0.0]
    clock = JobClock({"load": 1.0, "guide": 10.0, "mesh": 2.0}, lambda: now[0])
    clock.update({"phase": "guide", "step": 0, "total": 20})
    assert clock.remaining_s == pytest.approx(12.0)
    now[0] = 4.0
    clock.update({"phase": "guide", "step": 5, "total": 20, "score": 0.25})
    assert clock.remaining_s == pytest.approx(16 - 4 + 2.0)
    assert clock.fraction == pytest.approx((1 + 10 * 0.25) / 13)
    assert clock.describe() == "Tuning the shape 5/20  ·  score 0.250  ·  14 s left"
    now[0] = 16.0
    clock.update({"phase": "mesh", "step": 0, "total": 100, "score": float("nan")})
    assert clock.score == 0.25
    now[0] = 18.0
    assert clock.finish() == {"start": 0.0, "guide": 16.0, "mesh": 2.0}


def test_progress_of_a_first_job_says_nothing_it_cannot_know() -> None:
    now = [0.0]
    clock = JobClock(None, lambda: now[0])
    assert clock.remaining_s is None
    clock.update({"phase": "guide", "step": 3, "total": 30})
    now[0] = 0.1
    assert clock.remaining_s is None
    now[0] = 3.0
    # 30 s for this phase, usually 15 s: the mesh and the import take twice their usual 4.2 s.
    assert clock.remaining_s == pytest.approx(27 + 8.4)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "<1 s"), (8.2, "9 s"), (89, "89 s"), (91, "2 min"), (3900, "1 h 5 min")]
)
def test_seconds_are_told_as_people_do(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_prompts_survive_a_restart_and_damage(tmp_path: Path) -> None:
    path = tmp_path / "prompts.json"
    times = iter(range(100))
    history = PromptHistory(path, clock=lambda: next(times))
    for words in ("a chair", "a table", 'a "é" \U0001f680'):
        history.remember(words, seed=3, preset="fine", bundle="starter")
    history.set_favourite("a chair", True)
    again = PromptHistory(path)
    assert [e.prompt for e in again.listed()] == ["a chair", 'a "é" \U0001f680', "a table"]
    assert [e.prompt for e in again.listed(search="TAB")] == ["a table"]
    again.remember("a chair", seed=4, preset="draft", bundle="starter")
    entry = again.find("a chair")
    assert entry is not None and entry.favourite and entry.seed == 4
    again.clear()
    assert [e.prompt for e in again.entries] == ["a chair"]
    path.write_text("{", "utf-8")
    damaged = PromptHistory(path)
    assert damaged.entries == [] and "put aside" in damaged.problem
    assert path.with_suffix(".damaged").exists()


def test_blank_prompts_are_not_remembered(tmp_path: Path) -> None:
    history = PromptHistory(tmp_path / "prompts.json")
    history.remember("  ", seed=0, preset="normal", bundle="starter")
    assert history.entries == []


def test_the_clock_knows_styles() -> None:
    now = [0.0]
    styled = {"recipe": {"styles": [{"style": "wooden"}]}}
    assert "stylize" in phases_of("generate", styled) and "stylize" not in phases_of("generate", {})
    clock = JobClock({"mesh": 1.0, "stylize": 8.0, "remesh": 1.0}, lambda: now[0], phases_of("stylize", {}))
    clock.update({"phase": "mesh", "step": 100, "total": 100})
    assert clock.fraction == pytest.approx(0.1)
    clock.update({"phase": "stylize", "step": 10, "total": 40, "score": 0.5})
    assert clock.title == "Stylizing" and clock.fraction == pytest.approx(0.3)
    clock.update({"phase": "mesh", "step": 50, "total": 100})
    assert clock.phase == "remesh" and clock.fraction == pytest.approx(0.95)
    assert "Building the mesh 50%" in clock.describe()
    clock.update({"phase": "stylize", "step": 1, "total": 40})
    assert clock.fraction == pytest.approx(0.95)
