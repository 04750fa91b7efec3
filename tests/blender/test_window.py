"""The window of the real Blender on a screen of its own: Generate, the mesh in the scene, Cancel."""

from pathlib import Path

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
import bpy
assert "{EXTENSION}" in bpy.context.preferences.addons, list(bpy.context.preferences.addons.keys())
bpy.context.preferences.view.show_splash = False
chosen = bpy.context.preferences.addons["{EXTENSION}"].preferences
chosen.source, chosen.python = "PYTHON", {str(PYTHON)!r}
bpy.ops.wm.save_userpref()
"""


@pytest.mark.blender
@needs_program
def test_generate_shows_a_mesh_and_cancel_stops_the_next_job(tmp_path: Path) -> None:
    from PIL import Image

    install_extension(tmp_path)
    prepared = run_python(tmp_path, PREPARE)
    assert prepared.returncode == 0, prepared.stdout[-3000:] + prepared.stderr[-3000:]
    bundle, _ = bundle_for_tests(tmp_path)
    driver = ROOT / "tests" / "blender" / "window_driver.py"
    start = f"import os; os.environ.update(ISS_WINDOW_OUT={str(tmp_path)!r}, ISS_WINDOW_BUNDLE={bundle!r})"
    done = run_blender(
        tmp_path,
        "--window-geometry", "0", "0", "1400", "900",
        "--python-expr", start, "-P", str(driver),
        display=True,
    )  # fmt: skip
    assert (tmp_path / "seen.json").exists(), done.stdout[-3000:] + done.stderr[-3000:]
    keep_pictures(tmp_path)
    seen = read_json(tmp_path / "seen.json")
    assert "problem" not in seen, seen["problem"]
    assert seen["pressed"] == ["FINISHED"] and seen["trouble"] == "None"
    (result,) = seen["objects"]
    assert result["name"] == result["prompt"] == "a red chair with a high back"
    assert result["size"][2] == pytest.approx(1.1, rel=1e-5) and result["location"][2] == 0
    # The client kills a backend that does not obey within 2 s; the rest is a busy machine's own slowness.
    assert seen["cancel_state"] == "cancelled" and seen["cancel_s"] < 10
    assert seen["after_cancel"] == [result["name"]]  # the preview of the cancelled job went with it
    assert "Traceback" not in done.stdout + done.stderr
    for name in ("1_panel", "3_result", "5_cancelled"):
        picture = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))
        assert picture.shape == (900, 1400, 3) and np.ptp(picture) > 100
