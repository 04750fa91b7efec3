"""Runs inside Blender's window: presses Generate, watches the mesh appear, moves the slider over iterations,
stops a second job early, cancels a third one."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy

sys.path.insert(0, str(Path(__file__).parent))

from window_tools import (
    OUT,
    PATIENCE_S,
    look_at_selection,
    opened,
    part,
    play,
    results,
    running,
    seen,
    session,
    settled,
    take_picture,
    take_sidebar,
    until,
)

BUNDLE = os.environ["ISS_WINDOW_BUNDLE"]
PROMPT = "a red chair with a high back"


def phase() -> str:
    """Of the job under way."""
    return str(running().progress.get("phase", "start")) if running() is not None else ""


def ticks_timed() -> None:
    """Let polls and scene work note the processor time that they took at most, in milliseconds."""
    took = seen.setdefault("longest_ms", {"poll": 0.0, "scene_work": 0.0})

    def timed(name: str, own: Callable[..., bool]) -> Callable[..., bool]:
        def run(*given: Any) -> bool:
            begun = time.thread_time()
            done = own(*given)
            took[name] = max(took[name], 1000 * (time.thread_time() - begun))
            return done

        return run

    session().tick = timed("poll", session().tick)
    part("addon_scene").carry_out_one = timed("scene_work", part("addon_scene").carry_out_one)


def generate_and_watch(settings: Any) -> Iterator[float]:
    """The first job, from the press of the button to the result."""
    settings.prompt, settings.random_seed, settings.seed = PROMPT, False, 1
    settings.bundle, settings.height, settings.quality = BUNDLE, 1.1, "normal"
    pressed = time.monotonic()
    seen["pressed"] = sorted(bpy.ops.iss.generate("INVOKE_DEFAULT"))
    while not settled() and time.monotonic() - pressed < PATIENCE_S:
        if results() and "first_mesh_s" not in seen:
            seen["first_mesh_s"], seen["first_mesh_phase"] = time.monotonic() - pressed, phase()
            seen["first_faces"] = len(results()[0].data.polygons)
            seen["first_step"] = running().progress.get("step") if running() else None
            for obj in results():
                obj.select_set(True)
            look_at_selection()
            yield 0.3
            take_picture("2_running")
            take_sidebar("2_running_panel", rows=330)
        yield 0.05
    seen["result_s"] = time.monotonic() - pressed
    seen["trouble"] = str(session().trouble)
    seen["objects"] = [
        {
            "name": o.name,
            "size": list(o.dimensions),
            "location": list(o.location),
            "prompt": o["iss_prompt"],
            "faces": len(o.data.polygons),
        }
        for o in results()
    ]
    for obj in results():
        obj.select_set(True)
    look_at_selection()
    yield 2.0
    take_picture("3_result")


def move_the_slider(obj: Any) -> Iterator[float]:
    """From the best iteration, which it stands on, to the first one."""
    seen["slider_at"] = [obj["iss_iteration"], part("object_record").read_record(obj).best_step]
    before = [tuple(v.co) for v in obj.data.vertices]
    obj["iss_iteration"] = wanted = 0 if obj["iss_iteration"] else 1
    yield from until(lambda: obj["iss_iteration_shown"] == wanted and settled())
    seen["slider_moved_mesh"] = before != [tuple(v.co) for v in obj.data.vertices]
    yield 1.0
    take_picture("3b_slider")


def stop_early(settings: Any) -> Iterator[float]:
    """A long job is stopped; its best shape becomes the result."""
    settings.prompt, settings.steps = "a green lamp", settings.bl_rna.properties["steps"].hard_max
    bpy.ops.iss.generate("INVOKE_DEFAULT")
    yield from until(lambda: running() is not None and running().id in session().clocks)
    job = running()
    seen["told_at_once"] = session().clocks[job.id].describe()
    yield from until(lambda: phase() == "guide" and job.progress.get("step", 0) >= 1)
    yield 0.5
    take_sidebar("4_stop_and_keep", rows=380)
    bpy.ops.iss.stop_and_keep(job_id=job.id)
    yield from until(settled)
    seen["stopped"] = [job.state, [o.name for o in results()]]


def cancel(settings: Any) -> Iterator[float]:
    """Another long job is cancelled."""
    settings.prompt = "a blue table"
    bpy.ops.iss.generate("INVOKE_DEFAULT")
    yield from until(lambda: phase() == "guide")
    job = running()
    yield 1.0
    take_picture("5_third_job")
    asked = time.monotonic()
    bpy.ops.iss.cancel(job_id=job.id)
    while not job.ended and time.monotonic() - asked < 30:
        yield 0.02
    seen["cancel_s"], seen["cancel_state"] = time.monotonic() - asked, job.state
    yield 1.0
    seen["after_cancel"] = sorted(o.name for o in results())
    take_picture("6_cancelled")


def steps() -> Iterator[float]:
    """The session of an artist; yields seconds to wait."""
    yield from opened()
    ticks_timed()
    take_picture("1_panel")
    settings = bpy.context.scene.iss
    yield from generate_and_watch(settings)
    yield from move_the_slider(results()[0])
    yield from stop_early(settings)
    yield from cancel(settings)
    bpy.ops.wm.save_as_mainfile(filepath=str(OUT / "window.blend"))
    seen["ended"] = True


play(steps())
