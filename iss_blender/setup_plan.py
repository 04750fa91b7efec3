"""The steps of a set-up, and the checks before the first one: folder, path length, disk space."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .interpreters import Interpreter, environment_version, environment_works, interpreter_of
from .pins import GROUPS, Pins
from .setup_errors import SetupError

LOG_NAME, STAMP_NAME, CONSTRAINTS_NAME = "setup.log", "setup.json", "constraints.txt"
WINDOWS_PATH_LIMIT = 259
LONGEST_INSIDE = 170
"""Characters of the longest path inside an environment (149 measured), with a margin."""

_WITH_CUDA = sys.platform == "linux"
_DISK_MB = {
    "interpreter": 60,
    "installer": 20,
    "torch": 7800 if _WITH_CUDA else 1200,
    "run": 450,
    "train": 400,
    "dev": 150,
    "ray": 350,
    "blender": 1250,
}
"""Disk need of each step while it runs, measured: installed files with the downloads beside them."""
_DOWNLOAD_MB = {
    "torch": 2770 if _WITH_CUDA else 120,
    "run": 96,
    "train": 89,
    "dev": 31,
    "ray": 75,
    "blender": 374,
}
_TITLES = {
    "run": "Packages",
    "train": "Training packages",
    "dev": "Developer tools",
    "ray": "Ray",
    "blender": "Blender module",
}
_MAKE = """
import os, pathlib, shutil, sys, venv
folder = pathlib.Path(sys.argv[1])
if sys.argv[2] == "renew":
    for name in ("bin", "Scripts", "include", "Include", "lib64", "lib", "Lib", "pyvenv.cfg"):
        path = folder / name
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
venv.EnvBuilder(with_pip=True, symlinks=os.name != "nt").create(folder)
"""
"""Makes the environment; "renew" first removes one whose Python is gone or has another version."""


@dataclass(frozen=True)
class Step:
    """A child process of the set-up.

    `digest` changes whenever the step must be done again; `weight` is its share of the whole time.
    """

    name: str
    title: str
    command: tuple[str, ...]
    digest: str
    weight: float = 1.0
    download_mb: float = 0.0


def plan(folder: Path, interpreter: Interpreter, groups: Sequence[str], pins: Pins) -> list[Step]:
    """The steps of a complete set-up, in order, finished ones included."""
    python = str(interpreter_of(folder))
    current = environment_version(folder)
    stale = current is not None and not (environment_works(folder) and current == interpreter.version)
    torch = [r for r in pins.groups["run"] if r.partition("==")[0] in ("torch", "torchvision")]
    others = [r for r in pins.groups["run"] if r not in torch]

    def step(name: str, title: str, command: Sequence[str], contents: Sequence[str], weight: float) -> Step:
        text = json.dumps([name, interpreter.version, list(contents)])
        digest = hashlib.sha256(text.encode()).hexdigest()
        return Step(name, title, tuple(command), digest, weight, _DOWNLOAD_MB.get(name, 0.0))

    def install(name: str, title: str, weight: float, requirements: Sequence[str], *options: str) -> Step:
        wheels_only = ["--only-binary=:all:", "--no-input", "--no-warn-script-location", *options]
        # The pip that came with Python may be too old for the progress option; it installs the pinned pip.
        reporting = [] if name == "installer" else ["--progress-bar=raw", "--retries=5", "--resume-retries=5"]
        command = [python, "-I", "-m", "pip", "install", *wheels_only, *reporting]
        held = [] if "--no-deps" in options else ["-c", str(folder / CONSTRAINTS_NAME)]
        return step(name, title, [*command, *held, *requirements], requirements, weight)

    makes = [interpreter.path, "-I", "-c", _MAKE, str(folder), "renew" if stale else "keep"]

    def verify(group: str) -> Step:
        command = [python, "-m", "iss_blender.environment", "verify", "--with", group]
        return step(f"verify {group}", f"Check of {_TITLES[group].lower()}", command, pins.groups[group], 2)

    steps = [
        step("interpreter", "Python environment", makes, [], 4),
        install("installer", "Installer", 2, [pins.installer]),
        install("torch", "PyTorch", 60, torch),
        install("run", _TITLES["run"], 15, others),
        verify("run"),
    ]
    for group in (name for name in GROUPS[1:] if name in groups):
        # The bpy module asks for an older numpy, and works with ours.
        options = ["--no-deps"] if group == "blender" else []
        steps += [install(group, _TITLES[group], 6, pins.groups[group], *options), verify(group)]
    return steps


def needed_mb(groups: Sequence[str] = ("run",)) -> tuple[float, float]:
    """Megabytes to download and on the disk that a whole set-up takes, about; to be told beforehand."""
    steps = ("interpreter", "installer", "torch", *groups)
    download, disk = (sum(table.get(step, 0) for step in steps) for table in (_DOWNLOAD_MB, _DISK_MB))
    return float(download), float(disk)


def constraints_text(pins: Pins) -> str:
    """Contents of pip's constraints file: direct and indirect packages, whatever asks for them."""
    direct = pins.of([group for group in GROUPS if group != "blender"])
    return "\n".join((*direct, *pins.constraints)) + "\n"


def check_folder(folder: Path, interpreter: Interpreter) -> None:
    """Refuse a folder with other files in it, or with a foreign environment of another Python version."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise SetupError("folder", f"{folder} is a file.", "Choose a folder.")
    ours = (folder / STAMP_NAME).exists() or (folder / LOG_NAME).exists()
    version = environment_version(folder)
    if version is None and not ours and any(folder.iterdir()):
        raise SetupError("folder", f"{folder} holds other files.", "Choose an empty or a new folder.")
    if version not in (None, interpreter.version) and not ours:
        raise SetupError(
            "folder",
            f"{folder} holds an environment of another Python version that something else made.",
            "Choose an empty or a new folder.",
        )


def check_path_length(folder: Path, *, platform: str = sys.platform, long_paths: bool | None = None) -> None:
    """Refuse a folder whose deepest file Windows could not open."""
    if platform != "win32" or (_long_paths_enabled() if long_paths is None else long_paths):
        return
    excess = len(str(folder)) + LONGEST_INSIDE - WINDOWS_PATH_LIMIT
    if excess > 0:
        raise SetupError(
            "path_length",
            f"The path of {folder} is {excess} characters too long for Windows.",
            "Choose a folder with a shorter path, or switch on long paths in Windows.",
        )


def check_disk(folder: Path, steps: Sequence[Step], *, free_mb: float | None = None) -> None:
    """Refuse to start when the disk cannot hold what the steps need; both figures are in the message."""
    need_mb = sum(_DISK_MB.get(step.name, 0) for step in steps)
    if free_mb is None:
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free_mb = shutil.disk_usage(existing).free / 1e6
    if free_mb < need_mb:
        raise SetupError(
            "disk",
            f"{folder} needs {need_mb / 1000:.1f} GB; {free_mb / 1000:.1f} GB are free.",
            "Free some space or choose a folder on another disk.",
        )


def _long_paths_enabled() -> bool:
    if sys.platform != "win32":
        return True
    import winreg

    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SYSTEM\CurrentControlSet\Control\FileSystem") as key:
            return bool(winreg.QueryValueEx(key, "LongPathsEnabled")[0])
    except OSError:
        return False
