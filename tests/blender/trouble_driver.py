"""Runs inside Blender's window: brings about what can go wrong for an artist, and pictures each panel.

Backends are the scripted one and the artists' one of tests/iss_blender; texts of the panel that a case has to
show are noted in seen.json, beside those that were there.
"""

import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy

sys.path.insert(0, str(Path(__file__).parent))

from window_tools import OUT, opened, part, play, preferences, seen, session, take_sidebar

PYTHON = os.environ["ISS_WINDOW_PYTHON"]
FAKES = Path(__file__).resolve().parents[1] / "iss_blender"
ROWS = 620
told: dict[str, str] = seen.setdefault("told", {})


def wait(condition: Callable[[], Any], seconds: float = 60.0) -> Iterator[float]:
    """Until a condition holds."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        yield 0.05


def use(*script: list[Any], command: str | None = None) -> None:
    """A backend that plays a script, or any command."""
    if command is None:
        path = OUT / f"script{len(told)}.json"
        path.write_text(json.dumps(script), "utf-8")
        command = shlex.join([PYTHON, str(FAKES / "fake_backend.py"), str(path)])
    if session().client is not None:
        session().client.close()
    preferences().command = command
    preferences().source = "COMMAND"
    session().trouble = None


def press(name: str, **values: Any) -> str:
    """Press a button; what it reports when it refuses."""
    try:
        getattr(bpy.ops.iss, name)("INVOKE_DEFAULT", **values)
    except RuntimeError as problem:
        return str(problem).strip()
    return ""


def texts() -> str:
    """What the session would tell: problems of backend, set-up and jobs."""
    now = session()
    found = [now.backend.problem, now.trouble]
    lines = [f"{t.message} {t.remedy}" for t in found if t is not None]
    failures = [job.failure for job in now.listed_jobs() if job.failure is not None]
    return " / ".join(lines + [f"{f.message} {f.remedy}" for f in failures])


def show(name: str, extra: str = "") -> Iterator[float]:
    """Let the panel be drawn, take the picture, tidy up."""
    part("addon_timer").redraw()
    yield 1.5  # panels glide to their places
    told[name] = f"{extra} {texts()}".strip()
    take_sidebar(name, rows=ROWS)
    client = session().client
    if client is not None:
        client.cancel_all()
        for job in client.jobs:
            client.forget(job.id)
    session().trouble = None


def before_the_set_up() -> Iterator[float]:
    """Choices in the preferences that cannot work."""
    yield from show("01_fresh")
    bpy.context.preferences.system.use_online_access = False
    yield from show("02_offline", press("set_up"))
    bpy.context.preferences.system.use_online_access = True
    preferences().base_python = PYTHON
    preferences().environment_folder = str(OUT / "full")
    (OUT / "full").mkdir(exist_ok=True)
    (OUT / "full" / "thesis.txt").write_text("mine", "utf-8")
    press("set_up")
    yield from show("03_foreign_folder")
    preferences().environment_folder = "/proc/nowhere"
    press("set_up")
    yield from show("04_disk_full")
    preferences().environment_folder = str(OUT / "environment")
    for name, python in (("05_no_python", "/usr/bin/false"), ("05_debian_without_venv", "")):
        preferences().base_python = python
        press("set_up")
        yield from show(name)
    preferences().base_python = PYTHON
    steps = part("setup_plan")
    failing = steps.Step("one", "PyTorch", (PYTHON, "-c", "print('Connection timed out'); exit(1)"), "x")
    environment = part("environment")
    session().start_setup(environment.EnvironmentSetup(OUT / "environment", steps=[failing]))
    yield from wait(lambda: session().setup.state == "failed")
    yield 0.3
    yield from show("06_step_failed")
    slow = steps.Step("one", "PyTorch", (PYTHON, "-c", "import time; time.sleep(600)"), "y")
    session().start_setup(environment.EnvironmentSetup(OUT / "environment", steps=[slow]))
    yield 0.5
    yield from show("07_setting_up")
    press("cancel_set_up")
    yield from show("08_set_up_cancelled")
    preferences().environment_folder = preferences().base_python = ""
    preferences().source = "PYTHON"
    yield from show("09_no_python_chosen")
    preferences().python = "/nowhere/python"
    yield from show("10_python_missing")
    use(command='"ssh workstation')
    yield from show("11_command_unreadable")
    use(command="/nowhere/backend serve")
    bpy.context.scene.iss.prompt = "a red chair"
    press("generate")
    yield from wait(lambda: session().trouble)
    yield from show("12_command_missing")


def backends_in_trouble() -> Iterator[float]:
    """Backends that die, lie, hang or are of another version."""
    settings = bpy.context.scene.iss
    settings.prompt = "a red chair"
    limits = part("client").Limits
    cases: list[tuple[str, list[list[Any]], Any]] = [
        ("20_other_version", [["hello", 1]], None),
        ("21_rubbish", [["print", "Welcome to workstation!\n"]], None),
        ("22_died", [["hello"], ["expect"], ["expect"], ["log", "CUDA driver error"], ["exit", 3]], None),
        ("23_died_in_a_message", [["hello"], ["expect"], ["expect"], ["partial", 500], ["exit", 1]], None),
        ("24_hang", [["hello"], ["expect"], ["sleep", 600]], limits(silence_s=1.0)),
        ("25_slow_start", [["sleep", 600]], limits(start_s=1.0)),
        ("26_job_failed", [["hello"], ["expect"], ["expect"], ["error", "empty_shape", "The shape is empty.",
                           "Try another seed."]], None),
        ("27_memory", [["hello"], ["expect"], ["expect"], ["error", "memory", "Memory does not suffice.",
                       "Lower the mesh resolution or the quality, or choose the CPU."]], None),
    ]  # fmt: skip
    for name, script, given in cases:
        session()._limits = given
        use(*script)
        press("generate")
        broken = lambda: session().trouble or any(j.failure for j in session().client.jobs)  # noqa: E731
        yield from wait(broken)
        yield 0.3
        yield from show(name)
    session()._limits = None
    use(["hello"], ["expect"], ["expect"], ["beat", 1000, 0.1])
    press("generate")
    yield from wait(lambda: session().client.running)
    os.kill(session().client.pid, signal.SIGKILL)
    yield from wait(lambda: session().trouble)
    yield from show("28_killed")


def refusals() -> Iterator[float]:
    """What buttons refuse, and jobs that an earlier session left."""
    artists = shlex.join([PYTHON, str(FAKES / "fake_artist_backend.py")])
    use(command=artists)
    settings = bpy.context.scene.iss
    settings.prompt = "  "
    yield from show("40_empty_prompt", press("generate"))
    settings.prompt, settings.image_path = "", str(OUT / "missing.png")
    yield from show("41_image_missing", press("generate"))
    settings.prompt, settings.image_path = "a red chair", ""
    press("generate")
    yield from wait(lambda: bpy.data.objects.get("a red chair"))
    yield 0.5
    yield from show("42_result_panel")
    obj = bpy.data.objects["a red chair"]
    settings.prompt = ""
    yield from show("43_branch_without_words", press("branch"))
    settings.prompt = "a fail chair"
    press("generate")
    yield from wait(lambda: any(j.failure for j in session().client.jobs))
    yield from show("44_failed_with_retry")
    obj["iss"] = "{"
    yield from show("45_recipe_unreadable")
    with bpy.context.temp_override(window=bpy.context.window_manager.windows[0]):
        bpy.ops.wm.read_homefile(app_template="")
    yield 2.0
    yield from opened()
    yield from show("46_lost_results")
    (session().journal.folder).chmod(0o500)
    settings = bpy.context.scene.iss
    use(command=artists)
    settings.prompt = 'a "slow" chair\nwith a newline and \U0001f680'
    settings.variations = 3
    press("generate")
    yield from wait(lambda: session().client.running and session().client.running.can_stop)
    yield from show("47_queue_and_odd_words")
    (session().journal.folder).chmod(0o700)


def steps() -> Iterator[float]:
    """Everything, one after the other."""
    yield from opened()
    yield from before_the_set_up()
    yield from backends_in_trouble()
    yield from refusals()
    seen["ended"] = True


play(steps())
