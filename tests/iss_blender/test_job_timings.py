"""The remaining time from the start: seconds per iteration of earlier jobs, across restarts of Blender."""

from pathlib import Path
from typing import Any

import pytest

from iss_blender.job_timings import JobTimings
from iss_blender.progress import JobClock

COUNTS = {"normal": {"propose": 8, "guide": 12}, "fine": {"propose": 24, "guide": 60}}


def params(preset: str = "normal", **more: Any) -> dict[str, Any]:
    return {"recipe": {"bundle": "starter", "device": "auto"}, "preset": preset, **more}


def run(seconds: dict[str, tuple[float, int]]) -> JobClock:
    """A clock after a job with these seconds and counts per phase."""
    now = [0.0]
    clock = JobClock(None, lambda: now[0])
    for phase, (took, count) in seconds.items():
        clock.update({"phase": phase, "step": 0, "total": count})
        now[0] += took
    return clock


FIRST = {"start": (5.0, 0), "load": (1.0, 1), "propose": (4.0, 8), "guide": (6.0, 12), "mesh": (2.0, 100)}


def test_nothing_is_told_before_a_first_job(tmp_path: Path) -> None:
    timings = JobTimings(tmp_path / "timings.json")
    assert timings.expected("generate", params(), "auto", cold=True, presets=COUNTS) is None


def test_the_next_blender_knows_what_a_job_takes_warm_and_cold(tmp_path: Path) -> None:
    path = tmp_path / "new" / "timings.json"
    JobTimings(path).note("generate", params(), "auto", run(FIRST), cold=True)
    timings = JobTimings(path)
    warm = {"propose": 4.0, "guide": 6.0, "mesh": 2.0}
    assert timings.expected("generate", params(), "auto", cold=False) == warm
    assert timings.expected("generate", params(), "auto", cold=True) == {"start": 5.0, "load": 1.0, **warm}
    assert timings.expected("generate", params(), "cpu", cold=False) is None  # another device
    clock = JobClock(timings.expected("generate", params(), "auto", cold=False), lambda: 0.0)
    assert clock.remaining_s == pytest.approx(12.0)


def test_other_numbers_of_iterations_are_scaled(tmp_path: Path) -> None:
    timings = JobTimings(tmp_path / "timings.json")
    timings.note("generate", params(), "auto", run(FIRST), cold=True)
    more = timings.expected("generate", params(changes={"stage2": {"steps": 24}}), "auto", cold=False)
    assert more == {"propose": 4.0, "guide": 12.0, "mesh": 2.0}
    fine = timings.expected("generate", params("fine"), "auto", cold=False, presets=COUNTS)
    assert fine == {"propose": 12.0, "guide": 30.0, "mesh": 2.0}
    assert timings.expected("generate", params("fine"), "auto", cold=False) is None  # nobody knows its counts


def test_a_warm_job_leaves_what_loading_took(tmp_path: Path) -> None:
    timings = JobTimings(tmp_path / "timings.json")
    timings.note("generate", params(), "auto", run(FIRST), cold=True)
    faster = {"load": (0.0, 1), "propose": (3.0, 8), "guide": (5.0, 12), "mesh": (1.0, 100)}
    timings.note("generate", params(), "auto", run(faster), cold=False)
    cold = timings.expected("generate", params(), "auto", cold=True)
    assert cold == {"start": 5.0, "load": 1.0, "propose": 3.0, "guide": 5.0, "mesh": 1.0}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"kinds": {"a": 1}}', '{"kinds": {"a": {"seconds": {"x": -1}, "counts": {}}}}']
)
def test_a_damaged_file_is_an_empty_one(tmp_path: Path, text: str) -> None:
    path = tmp_path / "timings.json"
    path.write_text(text, "utf-8")
    assert JobTimings(path).expected("generate", params(), "auto", cold=True, presets=COUNTS) is None


def test_a_disk_that_refuses_costs_the_estimate_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    JobTimings(tmp_path / "file" / "timings.json").note("generate", params(), "auto", run(FIRST), cold=True)


@pytest.mark.parametrize("settings", [None, [], {"stage2": 3}, {"stage2": {"steps": "many"}}])
def test_odd_settings_in_a_recipe_change_nothing(tmp_path: Path, settings: Any) -> None:
    timings = JobTimings(tmp_path / "timings.json")
    odd = {"recipe": {"bundle": "starter", "settings": settings}, "preset": "normal"}
    timings.note("generate", odd, "auto", run(FIRST), cold=True)
    assert timings.expected("generate", odd, "auto", cold=False) == {
        "propose": 4.0,
        "guide": 6.0,
        "mesh": 2.0,
    }
