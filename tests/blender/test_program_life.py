"""The extension over the life of the real program: an upgrade while it runs, and Blender's own end."""

import subprocess
from pathlib import Path

import pytest

from scripts import make_blender
from tests.blender.real_program import (
    EXTENSION,
    PYTHON,
    ROOT,
    install_extension,
    needs_program,
    run_python,
)
from tests.blender.test_window import PREPARE

UPGRADE = f"""
import bpy, sys
session = lambda: sys.modules["{EXTENSION}.iss_blender.session"].current()
session().history.remember("a red chair", seed=1, preset="draft", bundle="starter")
before, folder = session(), session().folder
result = bpy.ops.extensions.package_install_files(
    filepath=sys.argv[-1], repo="user_default", enable_on_install=True, overwrite=True)
assert result == {{"FINISHED"}}, result
assert session() is not None and session() is not before, "the new version does not run"
assert session().folder == folder and session().history.find("a red chair") is not None
assert "{EXTENSION}" in bpy.context.preferences.addons
assert len([name for name in dir(bpy.types) if name == "ISS_PT_main"]) == 1
chosen = bpy.context.preferences.addons["{EXTENSION}"].preferences
assert chosen.source == "PYTHON", "the preferences are gone"
import addon_utils
for _ in range(2):
    addon_utils.disable("{EXTENSION}", default_set=True)
    assert not [name for name in dir(bpy.types) if name.startswith("ISS_")]
    assert not hasattr(bpy.types.Scene, "iss")
    addon_utils.enable("{EXTENSION}", default_set=True)
    assert bpy.context.scene.iss.quality == "normal"
"""

START = f"""
import bpy, pathlib, sys, time
session = sys.modules["{EXTENSION}.iss_blender.session"].current()
session.client.start()
while session.state != "ready":
    session.tick()
    assert session.trouble is None, session.trouble
    time.sleep(0.05)
pathlib.Path(sys.argv[-1]).write_text(str(session.client.pid))
time.sleep(600)
"""

KILL = """
blender -b -P "$1/start.py" -- "$1/pid" >"$1/blender.log" 2>&1 &
blender=$!
while [ ! -s "$1/pid" ]; do kill -0 $blender || exit 5; sleep 0.2; done
pid=$(cat "$1/pid")
kill -0 $pid || exit 6
kill -9 $blender
for _ in $(seq 200); do
    grep -qs "^State:.*[ZX]" /proc/$pid/status && exit 0
    [ -e /proc/$pid ] || exit 0
    sleep 0.1
done
exit 7
"""


def prepared(folder: Path) -> None:
    install_extension(folder)
    done = run_python(folder, PREPARE, "ready")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.blender
@needs_program
def test_an_upgrade_over_a_running_version_is_clean_and_keeps_what_is_the_users(tmp_path: Path) -> None:
    prepared(tmp_path)
    (zipped,) = (tmp_path / "zip").glob("*.zip")
    done = run_python(tmp_path, UPGRADE, str(zipped))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.blender
@needs_program
def test_killing_blender_leaves_no_backend(tmp_path: Path) -> None:
    prepared(tmp_path)
    assert PYTHON.exists()
    (tmp_path / "start.py").write_text(START, "utf-8")
    command = make_blender.chroot_command(
        ["sh", "-c", KILL, "sh", str(tmp_path)],
        binds=[*make_blender.backend_binds(), tmp_path],
        variables=[f"BLENDER_USER_RESOURCES={tmp_path / 'user'}", f"HOME={tmp_path / 'home'}"],
        directory=ROOT,
    )
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    reasons = {5: "Blender ended early", 6: "no backend was started", 7: "the backend was left behind"}
    log = tmp_path / "blender.log"
    told = log.read_text("utf-8")[-3000:] if log.exists() else done.stderr
    assert done.returncode == 0, f"{reasons.get(done.returncode)}: {told}"
