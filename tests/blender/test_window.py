"""The window of the real Blender on a screen of its own: Generate, the mesh in the scene, the slider over its
iterations, Stop and Keep, Cancel; and what the panel says when things go wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.blender.real_program import (
    EXTENSION,
    PYTHON,
    ROOT,
    bundle_for_tests,
    install_extension,
    keep_pictures,
    needs_program,
    read_json,
    run_blender,
    run_python,
)

PREPARE = f"""
import bpy, sys
assert "{EXTENSION}" in bpy.context.preferences.addons, list(bpy.context.preferences.addons.keys())
bpy.context.preferences.view.show_splash = False
if sys.argv[-1] == "ready":
    chosen = bpy.context.preferences.addons["{EXTENSION}"].preferences
    chosen.source, chosen.python = "PYTHON", {str(PYTHON)!r}
bpy.ops.wm.save_userpref()
"""
SENTENCES = {
    "03_foreign_folder": "holds other files",
    "04_disk_full": "GB are free",
    "05_no_python": "Install a 64-bit Python",
    "05_debian_without_venv": "python3-venv",
    "06_step_failed": "Check the internet connection",
    "09_no_python_chosen": "No Python is chosen",
    "10_python_missing": "There is no Python at /nowhere/python",
    "11_command_unreadable": "cannot be read",
    "12_command_missing": "cannot be started",
    "20_other_version": "speaks protocol 1",
    "21_rubbish": "Welcome to workstation!",
    "22_died": "ended with exit code 3",
    "23_died_in_a_message": "in the middle of a message",
    "24_hang": "no sign of life",
    "25_slow_start": "said nothing for 1 s",
    "26_job_failed": "Try another seed",
    "27_memory": "Lower the mesh resolution",
    "28_killed": "killed by signal 9",
    "40_empty_prompt": "Type what to make",
    "41_image_missing": "cannot be read",
    "43_branch_without_words": "Type the new words",
    "44_failed_with_retry": "Say it differently",
}
"""What the panel or the button says in a case of trouble_driver.py, in part."""


def in_the_window(folder: Path, driver: str, *, ready: bool, **variables: str) -> tuple[dict[str, Any], str]:
    """Run a driver in the window of a Blender that has the extension; what it saw, and all output."""
    install_extension(folder)
    prepared = run_python(folder, PREPARE, "ready" if ready else "fresh")
    assert prepared.returncode == 0, prepared.stdout[-3000:] + prepared.stderr[-3000:]
    wanted = {"ISS_WINDOW_OUT": str(folder), "ISS_WINDOW_PYTHON": str(PYTHON), **variables}
    done = run_blender(
        folder,
        "--window-geometry", "0", "0", "1400", "900",
        "--python-expr", f"import os; os.environ.update({wanted!r})",
        "-P", str(ROOT / "tests" / "blender" / driver),
        display=True,
    )  # fmt: skip
    output = done.stdout + done.stderr
    assert (folder / "seen.json").exists(), output[-6000:]
    keep_pictures(folder)
    seen = read_json(folder / "seen.json")
    assert "problem" not in seen, seen["problem"]
    assert "Traceback" not in output, output[-6000:]
    return seen, output


@pytest.mark.blender
@needs_program
def test_an_artist_makes_improves_stops_and_cancels(tmp_path: Path) -> None:
    from PIL import Image

    bundle, _ = bundle_for_tests(tmp_path)
    seen, _ = in_the_window(tmp_path, "window_driver.py", ready=True, ISS_WINDOW_BUNDLE=bundle)
    assert seen["pressed"] == ["FINISHED"] and seen["trouble"] == "None"
    (result,) = seen["objects"]
    assert result["name"] == result["prompt"] == "a red chair with a high back"
    assert result["size"][2] == pytest.approx(1.1, rel=1e-5) and result["location"][2] == 0
    # Stage 1's shape was in the scene as tuning began (its first step may be told in the same tick), and the
    # result replaced it.
    assert seen["first_mesh_phase"] == "guide" and seen["first_step"] <= 1
    assert seen["first_faces"] != result["faces"]
    at, best = seen["slider_at"]
    assert at == best and seen["slider_moved_mesh"]
    state, names = seen["stopped"]
    assert state == "done" and "a green lamp" in names
    # The client kills a backend that does not obey in 1.5 s; the rest is a busy machine's own slowness.
    assert seen["cancel_state"] == "cancelled" and seen["cancel_s"] < 10
    assert seen["after_cancel"] == sorted(names)  # the preview of the cancelled job went with it
    for name in ("1_panel", "3_result", "6_cancelled"):
        picture = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))
        assert picture.shape == (900, 1400, 3) and np.ptp(picture) > 100


@pytest.mark.blender
@needs_program
def test_what_goes_wrong_is_told_in_a_sentence_with_a_way_out(tmp_path: Path) -> None:
    seen, _ = in_the_window(tmp_path, "trouble_driver.py", ready=False)
    told = seen["told"]
    wrong = {name: told.get(name) for name, part in SENTENCES.items() if part not in told.get(name, "")}
    assert not wrong
