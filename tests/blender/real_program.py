"""The real Blender program for tests: commands beside this checkout, with a user folder of the test's own."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from backend.bundle_places import RECORD_NAME, SHIPPED_FOLDER
from scripts import build_extension, make_blender
from tests.backend.tiny_bundle import write_tiny_bundle

ROOT = Path(__file__).resolve().parents[2]
EXTENSION = "bl_ext.user_default.iss_text_to_3d"
PYTHON = ROOT / ".venv" / "bin" / "python"
STARTER = SHIPPED_FOLDER / "starter"
PATIENCE_S = 1500
"""For a whole run of Blender on a busy machine without a GPU."""


def missing() -> str:
    """What is absent, as a loud sentence; empty where the tests can run."""
    if not make_blender.READY.exists():
        lack = "there is no Blender program: as root, run `python3 scripts/make_blender.py make`"
    elif not PYTHON.exists():
        lack = "there is no backend environment: run `make environment`"
    else:
        return ""
    return (
        "NOT CHECKED in the real Blender program: installing the zip, batch.py with the real backend, the "
        f"saved .blend, the window with Generate and Cancel. Reason: {lack}."
    )


needs_program = pytest.mark.skipif(bool(missing()), reason=missing() or "it is there")


def run_blender(folder: Path, *options: str, display: bool = False) -> "subprocess.CompletedProcess[str]":
    """Run Blender; `folder` is seen inside at the same path and holds its user folder and home."""
    command = make_blender.chroot_command(
        ["blender", *options],
        display=display,
        binds=[*make_blender.backend_binds(), folder],
        # A home of its own: bundles in another one would be taken for those that ship.
        variables=[f"BLENDER_USER_RESOURCES={folder / 'user'}", f"HOME={folder / 'home'}"],
        directory=ROOT,
    )
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)


def run_python(folder: Path, code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run code in a Blender without a window; `arguments` end sys.argv. An exception gives exit code 9."""
    path = folder / "code.py"
    path.write_text(code, "utf-8")
    return run_blender(folder, "-b", "--python-exit-code", "9", "-P", str(path), "--", *arguments)


def install_extension(folder: Path) -> None:
    """Build the zip of this tree and install it as a user does."""
    zipped = build_extension.build(folder / "zip")
    done = run_blender(
        folder, "--command", "extension", "install-file", "-r", "user_default", "-e", str(zipped)
    )
    assert done.returncode == 0, done.stdout + done.stderr


def bundle_for_tests(folder: Path) -> tuple[str, bool]:
    """The bundle to use, and whether it is the starter: a tiny one with random weights stands in for it."""
    if (STARTER / RECORD_NAME).exists():
        return "starter", True
    return str(write_tiny_bundle(folder)), False


def read_json(path: Path) -> Any:
    """What a script inside Blender has written."""
    return json.loads(path.read_text("utf-8"))


def keep_pictures(folder: Path) -> None:
    """Copy screenshots to out/screenshots, where people look for them."""
    target = ROOT / "out" / "screenshots"
    target.mkdir(parents=True, exist_ok=True)
    for picture in sorted(folder.glob("*.png")):
        shutil.copy(picture, target / picture.name)
